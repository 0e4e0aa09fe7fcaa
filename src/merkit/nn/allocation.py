"""A bound on the memory that building a network may take, checked before it is taken.

The settings of a network come with its weights, in files of others: a size that no weight stands for is a mistake or an
attack, and the machine must not run out of memory on it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from merkit.core.errors import MerkitError

_BASE = 1 << 28
_TIMES = 16
"""How many bytes of tensors may be made for each byte of weights: they are made, filled, and read in float32."""
_LEAST = 1 << 14
"""Bytes that a tensor counts as at least, so that the number of empty layers is bounded too."""


class _Bound(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made, those on the meta device too."""

    def __init__(self, most: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left = most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        count = _elements(func, args)
        if count is not None:
            width = ((kwargs or {}).get("dtype") or torch.get_default_dtype()).itemsize
            self.left -= max(count * width, _LEAST)
            if self.left < 0:
                raise MerkitError("its settings ask for more memory than its weights explain: were they edited?")
        return func(*args, **(kwargs or {}))


_ACTIVE: ContextVar[_Bound | None] = ContextVar("active", default=None)


@contextmanager
def bounded_memory(folder: Path) -> Iterator[None]:
    """Bound what tensors may take while a network is built whose weights lie in ``folder``, at any depth.

    Inside another bound, what this folder explains is added to that.

    Raises:
        MerkitError: The bound is reached.
    """
    weights = sum(path.stat().st_size for path in folder.rglob("*.safetensors") if path.is_file())
    active = _ACTIVE.get()
    if active is not None:
        active.left += _TIMES * weights
        yield
        return
    bound = _Bound(_BASE + _TIMES * weights)
    token = _ACTIVE.set(bound)
    try:
        with bound:
            yield
    finally:
        _ACTIVE.reset(token)


def _elements(func: Any, args: Sequence[Any]) -> int | None:
    """Return how many elements an operation makes from sizes; ``None``: it makes none, or works on tensors."""
    name = func._schema.name
    if name.startswith("aten::arange"):
        numbers = [value for value in args if isinstance(value, (int, float))]
        return int(abs(numbers[1] - numbers[0] if len(numbers) > 1 else numbers[0]))
    if name in ("aten::empty_like", "aten::zeros_like", "aten::ones_like", "aten::clone"):
        return int(args[0].numel())
    sizes = (
        args[1] if args and isinstance(args[0], Tensor) and name.startswith("aten::new_") else args[0] if args else None
    )
    if isinstance(sizes, (list, tuple)) and all(isinstance(size, int) for size in sizes):
        return math.prod(sizes)
    return None
