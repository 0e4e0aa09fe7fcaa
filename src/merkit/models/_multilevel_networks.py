"""Networks of ``multilevel``: co-attention, pooling of a sequence, a gate over granularities."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.nn.attention import AttentionBlock
from merkit.nn.pooling import AttentivePooling, Pooling, pool, pooled_dim

Pool = Literal["mean", "statistics", "attention"]


class CoAttention(nn.Module):
    """Two sequences, each recomputed by attending over the other (Lu et al., "ViLBERT", NeurIPS 2019, figure 2b).

    ``S' = LN(S + MHA(q = S, kv = T)); S'' = LN(S' + FFN(S'))``, and the same for ``T`` over ``S`` as it was.
    """

    def __init__(self, dim: int, heads: int, *, layers: int, hidden: int, dropout: float) -> None:
        super().__init__()

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(
                AttentionBlock(dim, heads, hidden=hidden, norm="post", dropout=dropout) for _ in range(layers)
            )

        self.first, self.second = blocks(), blocks()

    def forward(self, first: Padded, second: Padded) -> tuple[Padded, Padded]:
        """Return both sequences ``[items, time, dim]``, with their masks."""
        one, two = first.data, second.data
        for over_second, over_first in zip(self.first, self.second, strict=True):
            one, two = over_second(one, second.mask, two), over_first(two, first.mask, one)
        return Padded(one, first.mask), Padded(two, second.mask)


class SequencePooling(nn.Module):
    """One vector per sequence; where the sequence is absent a learned one, or (``lone``) zeros, which are not read."""

    def __init__(self, dim: int, pooling: Pool, *, lone: bool) -> None:
        super().__init__()
        self.pooling: Pooling = "mean_std" if pooling == "statistics" else "mean"
        self.attention = AttentivePooling(dim) if pooling == "attention" else None
        self.dim = pooled_dim(self.pooling, dim)
        self.absent = None if lone else nn.Parameter(torch.empty(self.dim).normal_(std=0.02))

    def forward(
        self, data: Float[Tensor, "items time dim"], mask: Bool[Tensor, "items time"]
    ) -> Float[Tensor, "items pooled"]:
        """Return the pooled vector."""
        pooled: Tensor = pool(self.pooling, data, mask) if self.attention is None else self.attention(data, mask)
        if self.absent is None:
            return pooled
        return torch.where(mask.any(-1, keepdim=True), pooled, self.absent.to(pooled.dtype))


class Gate(nn.Module):
    """Sum of several vectors, weighted by a softmax over learned scores."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def forward(self, vectors: Float[Tensor, "items vectors dim"]) -> Float[Tensor, "items dim"]:
        """Return the weighted sum."""
        weights: Tensor = self.score(vectors).softmax(dim=-2)
        return (weights * vectors).sum(dim=-2)
