"""Attention from products over all modalities: tensor rings of rank-one cores."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from merkit.core.precision import at_least_float32

Ring = Literal["cyclic", "mirrored"]
"""Order of the other modalities in each product: those that follow it in the ring, or a fixed order."""


def khatri_rao(first: Float[Tensor, "*batch r"], second: Float[Tensor, "*batch r"]) -> Float[Tensor, "*batch r r"]:
    """Return ``G[n, i, j] = p[n, i] q[n, j]``: the mode-1 Khatri-Rao product, rows kept as matrices."""
    return first.unsqueeze(-1) * second.unsqueeze(-2)


class FeatureWeighting(nn.Module):
    """One layer of adaptive feature weighting: an attention that depends on all modalities multiplies each feature.

    With ``q_1, q_2, k_1, k_2`` four linear maps of a feature to r numbers, ``G = (q_1 q_2^T) * (k_1 k_2^T)`` is the
    product of two Khatri-Rao products and of rank one, ``(q_1 * k_1) (q_2 * k_2)^T``: the two factors are all that is
    computed. ``M`` is the mean of ``G`` over a modality's utterances, ``S_j = G_j M_l M_k`` over the other modalities
    (which equals the mean of the products over all pairs of their utterances), and the attention a linear map of ``S``.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        hidden: int,
        *,
        rank: int,
        beta: float,
        dropout: float,
        ring: Ring,
        bond_scale: bool,
        target: Literal["attention", "output"],
        causal: bool,
    ) -> None:
        super().__init__()
        self.beta = beta
        self.scale = rank**-0.5 if bond_scale else 1.0
        self.target = target
        self.causal = causal
        self.others = {
            name: names[index + 1 :] + names[:index] if ring == "cyclic" else names[:index] + names[index + 1 :]
            for index, name in enumerate(names)
        }
        self.factors = nn.ModuleDict({name: nn.Linear(hidden, 4 * rank) for name in names})
        self.attention = nn.ModuleDict({name: nn.Linear(rank * rank, hidden) for name in names})
        self.mapping = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in names})
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        features: Mapping[str, Float[Tensor, "items turns hidden"]],
        seen: Mapping[str, Bool[Tensor, "items turns"]],
    ) -> tuple[dict[str, Tensor], Float[Tensor, ""]]:
        """Return the weighted features, and the mean L1 distance of the attention mapping's prediction."""
        factors = {name: self._factors(name, feature) for name, feature in features.items()}
        means = {name: self._mean(*factors[name], seen[name]) for name in features}
        weighted: dict[str, Tensor] = {}
        distances, counts = [], []
        for name, feature in features.items():
            left, right = factors[name]
            for other in self.others[name]:
                right = (right.unsqueeze(-2) @ means[other]).squeeze(-2)
            attention = self.attention[name](self.scale * khatri_rao(left, right).flatten(-2))
            gated = attention * feature + self.beta * feature
            target = attention.detach() if self.target == "attention" else gated
            present = seen[name].unsqueeze(-1)
            distances.append(
                at_least_float32(torch.where(present, (self.mapping[name](feature) - target).abs(), 0.0)).sum()
            )
            counts.append(seen[name].sum() * feature.shape[-1])
            weighted[name] = self.dropout(gated).masked_fill(~present, 0.0)
        return weighted, torch.stack(distances).sum() / torch.stack(counts).sum().clamp(min=1)

    def _factors(self, name: str, feature: Tensor) -> tuple[Tensor, Tensor]:
        q_1, q_2, k_1, k_2 = self.factors[name](feature).chunk(4, dim=-1)
        return q_1 * k_1, q_2 * k_2

    def _mean(self, left: Tensor, right: Tensor, seen: Tensor) -> Tensor:
        """Return the mean of ``G`` over seen utterances ``[items, 1, r, r]``, causal: up to each ``[items, turns, …]``.

        A modality without any is left out of the product: its mean is the identity.
        """
        products = khatri_rao(left, right).masked_fill(~seen[..., None, None], 0.0)
        if self.causal:
            total, count = products.cumsum(dim=1), seen.cumsum(dim=1)
        else:
            total, count = products.sum(dim=1, keepdim=True), seen.sum(dim=1, keepdim=True)
        identity = torch.eye(left.shape[-1], dtype=total.dtype, device=total.device)
        count = count[..., None, None]
        return torch.where(count > 0, total / count.clamp(min=1), identity).to(left.dtype)
