"""What a computation keeps in memory: bytes of the tensors that are alive, counted and not guessed from the system."""

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Watches every operation inside ``with``; what was there before does not count."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and _address(leaf) not in given:
                storage = leaf.untyped_storage()
                self._sizes[_address(leaf)] = (StorageWeakRef(storage), storage.nbytes())
        return out

    @property
    def bytes(self) -> int:
        """How many bytes the tensors take that were made inside and are still alive."""
        return sum(size for storage, size in self._sizes.values() if not storage.expired())


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
