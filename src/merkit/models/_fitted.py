"""What baselines without gradients share: a state of tensors whose size depends on the training split."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from merkit.core.batch import Batch
from merkit.core.encoder import Encoder
from merkit.core.errors import MerkitError
from merkit.core.model import FittedModel, ModelConfig
from merkit.nn.losses import IGNORED

LOG_NEVER = -20.0
"""Log-probability of a class without training items: finite, and too small to be predicted."""

UNSEEN = -1e4
"""Score of a class without training items: its probability is 0, and all numbers are finite."""


class FittedBaseline(FittedModel):
    """A fitted model whose buffers take the shapes of a loaded state, so that loading is strict.

    ``log_prior`` is the logarithm of the classes' shares in the training split; of a multi-label model each share's
    log-odds.
    """

    log_prior: Tensor

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ModelConfig) -> None:
        super().__init__(encoders)
        self.classes = classes
        self.register_buffer("log_prior", torch.full((classes,), -float(np.log(classes))))

    def keep_prior(self, labels: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """Store the classes' shares among the labels, `labelled` ones."""
        if labels.ndim == 2:
            shares = torch.from_numpy(labels.mean(axis=0))
            self.log_prior = shares.logit().clamp(LOG_NEVER, -LOG_NEVER).float()
            return
        counts = np.bincount(labels, minlength=self.classes)
        shares = torch.from_numpy(counts / counts.sum())
        self.log_prior = torch.where(shares > 0, shares.log(), LOG_NEVER).float()

    def spread(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return ``[*batch, classes]`` with ``rows`` at the real items, in their order, and the prior elsewhere."""
        logits = self.log_prior.to(mask.device).expand(*mask.shape, self.classes).clone()
        logits[mask] = rows.to(logits)
        return logits

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            stored = state_dict.get(prefix + name)
            if stored is not None and stored.shape != buffer.shape:
                setattr(self, name, torch.empty(stored.shape, dtype=buffer.dtype, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self.forget()

    def forget(self) -> None:
        """Drop what was computed from buffers; called when they change."""
        return


def labelled(model: str, batches: Iterable[Batch]) -> tuple[list[str | None], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return texts and class numbers of all utterances that have a label; with several labels ``[items, classes]``.

    Raises:
        MerkitError: There is none.
    """
    texts: list[str | None] = []
    numbers: list[int | list[float]] = []
    for batch in batches:
        assert batch.labels is not None
        row = batch.labels[batch.mask].tolist()
        words: Sequence[str | None] = batch.texts or [None] * len(row)
        for text, number in zip(words, row, strict=True):
            if (number[0] if isinstance(number, list) else number) != IGNORED:
                texts.append(text)
                numbers.append(number)
    if not numbers:
        raise MerkitError(f"{model}: no labelled utterance to learn from; check the protocol's training split")
    return texts, np.asarray(numbers, dtype=np.int64)


def class_rows(
    regression: Any, classes: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Return weights ``[classes, dim]`` and biases ``[classes]`` of a linear classifier of scikit-learn.

    Classes that it has not seen get ``UNSEEN``. Of two classes it keeps the second one's row alone: the first one's
    scores are 0.
    """
    seen = regression.classes_
    rows = seen[1:] if len(seen) == 2 else seen
    weight = np.zeros((classes, regression.coef_.shape[1]))
    bias = np.full(classes, UNSEEN)
    bias[seen] = 0.0
    weight[rows], bias[rows] = regression.coef_, regression.intercept_
    return weight, bias


def to_bytes(value: object) -> Tensor:
    """Return a JSON value as a tensor of bytes, which a checkpoint can hold."""
    return torch.frombuffer(bytearray(json.dumps(value, ensure_ascii=False).encode()), dtype=torch.uint8)


def from_bytes(stored: Tensor) -> Any:
    """Return the JSON value that ``to_bytes`` stored."""
    return json.loads(stored.cpu().numpy().tobytes())
