"""From a sequence of vectors to one vector, of real frames only.

Convention: a sequence without a real frame gives zeros and no gradient. Padded positions (garbage, infinities, NaN)
never affect a result or a gradient.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Pooling = Literal["mean", "max", "mean_std", "mean_std_max", "first", "first_and_mean"]
"""Names of the poolings that have no weights."""


def masked_mean(
    data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch dim"]:
    """Return the mean over real frames."""
    total = _zeroed(data, mask).sum(dim=-2)
    return total / mask.sum(dim=-1, keepdim=True).clamp(min=1).to(data.dtype)


def masked_std(
    data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch dim"]:
    """Return the standard deviation over real frames (of the population: divided by n); one frame gives 0."""
    centred = _zeroed(data, mask) - masked_mean(data, mask).unsqueeze(-2)
    variance = masked_mean(centred.square(), mask)
    positive = variance > 0
    # the square root's slope at 0 is infinite: it only sees positive numbers
    return torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)


def masked_max(
    data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch dim"]:
    """Return the largest value over real frames, per dimension; ``time >= 1``."""
    largest = data.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=-2)
    return torch.where(mask.any(dim=-1, keepdim=True), largest, 0.0)


def first_real(
    data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch dim"]:
    """Return the first real frame; ``time >= 1``."""
    first = mask.to(torch.uint8).argmax(dim=-1)
    index = first[..., None, None].expand(*first.shape, 1, data.shape[-1])
    return torch.where(mask.any(dim=-1, keepdim=True), data.gather(-2, index).squeeze(-2), 0.0)


def pool(
    name: Pooling, data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch pooled"]:
    """Return the statistics in a pooling's name, concatenated in that order."""
    return torch.cat([statistic(data, mask) for statistic in _STATISTICS[name]], dim=-1)


def pooled_dim(name: Pooling, dim: int) -> int:
    """Return the last axis of ``pool``'s result for frames of ``dim``."""
    return dim * len(_STATISTICS[name])


def mean_of_real(values: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]) -> Float[Tensor, ""]:
    """Return the mean of one number per real item; 0 without any."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1).to(values.dtype)


class AttentivePooling(nn.Module):
    """Weighted mean over real frames whose weights are learned: ``softmax(v . tanh(W x + b))``.

    After Bahdanau et al. 2015 with a constant query, as used by Yang et al., "Hierarchical Attention Networks", NAACL
    2016, eqs. 5 to 7.
    """

    def __init__(self, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.project = nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(
        self, data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
    ) -> Float[Tensor, "*batch dim"]:
        """Return the weighted mean."""
        data = _zeroed(data, mask)
        weights = masked_softmax(self.score(torch.tanh(self.project(data))).squeeze(-1), mask)
        return (weights.unsqueeze(-1) * data).sum(dim=-2)


def masked_softmax(
    scores: Float[Tensor, "*batch time"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch time"]:
    """Return weights over the last axis: they sum to 1 over real positions, and are 0 at all others."""
    low = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, low), dim=-1)
    return torch.where(mask, weights, 0.0)


def _zeroed(
    data: Float[Tensor, "*batch time dim"], mask: Bool[Tensor, "*batch time"]
) -> Float[Tensor, "*batch time dim"]:
    """Return the data with zeros in padded positions (multiplying by the mask would let NaN through)."""
    return data.masked_fill(~mask.unsqueeze(-1), 0.0)


_STATISTICS: dict[Pooling, tuple[Callable[[Tensor, Tensor], Tensor], ...]] = {
    "mean": (masked_mean,),
    "max": (masked_max,),
    "mean_std": (masked_mean, masked_std),
    "mean_std_max": (masked_mean, masked_std, masked_max),
    "first": (first_real,),
    "first_and_mean": (first_real, masked_mean),
}
