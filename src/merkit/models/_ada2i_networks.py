"""The networks of Ada2I (``merkit.models.ada2i``): context, products over all modalities, fusion by cosines."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from merkit.core.precision import at_least_float32
from merkit.nn.attention import AttentionBlock, MultiHeadAttention, causal_pairs
from merkit.nn.layers import Dropout
from merkit.nn.recurrent import MaskedLSTM

Ring = Literal["cyclic", "mirrored"]
"""Order of the other modalities in each product: those that follow it in the ring, or a fixed order."""


class TransformerContext(nn.Module):
    """A transformer at the dim of what it reads, without a code of position, and a linear layer (released code)."""

    def __init__(
        self,
        dim: int,
        hidden: int,
        layers: int,
        feed_forward: int,
        dropout: float,
        causal: bool,
        *,
        copied: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.layers = nn.ModuleList(
            AttentionBlock(dim, heads_for(dim), hidden=feed_forward, norm="post", dropout=dropout, activation="relu")
            for _ in range(layers)
        )
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                _init_as_pytorch(module)
        for layer in self.layers[1:] if copied else ():
            layer.load_state_dict(self.layers[0].state_dict())
        self.project = nn.Linear(dim, hidden)

    def forward(
        self, vectors: Float[Tensor, "items turns dim"], seen: Bool[Tensor, "items turns"]
    ) -> Float[Tensor, "items turns hidden"]:
        """Return features at seen turns and zeros elsewhere."""
        unseen = ~seen.unsqueeze(-1)
        data = vectors.masked_fill(unseen, 0.0)
        allowed = causal_pairs(data.shape[1], data.device) if self.causal else None
        for layer in self.layers:
            data = layer(data, seen, allowed=allowed)
        features: Tensor = self.project(data)
        return features.masked_fill(unseen, 0.0)


class LstmContext(nn.Module):
    """A bidirectional LSTM, ``hidden / 2`` wide per direction (released code), or one that reads the past only."""

    def __init__(self, dim: int, hidden: int, layers: int, dropout: float, causal: bool) -> None:
        super().__init__()
        if not causal and hidden % 2:
            raise ValueError(f"hidden_size = {hidden}: an LSTM of two directions needs an even number")
        each = hidden if causal else hidden // 2
        self.lstm = MaskedLSTM(dim, each, layers=layers, dropout=dropout, bidirectional=not causal)

    def forward(
        self, vectors: Float[Tensor, "items turns dim"], seen: Bool[Tensor, "items turns"]
    ) -> Float[Tensor, "items turns hidden"]:
        """Return features at seen turns and zeros elsewhere."""
        states: Tensor = self.lstm(vectors, seen)
        return states


def _init_as_pytorch(attention: MultiHeadAttention) -> None:
    """Draw weights as PyTorch's ``TransformerEncoderLayer`` does, where query, key and value are one matrix."""
    for layer in (attention.query, attention.key, attention.value):
        nn.init.xavier_uniform_(layer.weight, gain=0.5**0.5)  # as of [3 dim, dim]: 3 + 1 in place of 1 + 1
        nn.init.zeros_(layer.bias)
    nn.init.zeros_(attention.output.bias)


def heads_for(dim: int) -> int:
    """Return the first of 5 to 14 that divides the dim, 1 if none does (released code)."""
    return next((heads for heads in range(5, 15) if dim % heads == 0), 1)


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
        self.dropout = Dropout(dropout)

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


class CosineFusion(nn.Module):
    """For each modality the cosines of its feature with its block of output weights.

    MMCosine (Xu et al., ICASSP 2023). A vector of zeros (an absent modality) adds only its share of the bias.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        hidden: int,
        classes: int,
        *,
        cosine: bool,
        weight_norm: Literal["hidden", "classes"],
        scale: float,
        bias: bool,
    ) -> None:
        super().__init__()
        self.names = names
        self.cosine = cosine
        self.axis = -1 if weight_norm == "hidden" else 0
        self.scale = scale
        whole = nn.Linear(len(names) * hidden, classes, bias=bias)
        self.weight = whole.weight
        self.bias = whole.bias if bias else None

    def forward(
        self, features: Mapping[str, Float[Tensor, "*batch hidden"]]
    ) -> dict[str, Float[Tensor, "*batch classes"]]:
        """Return each modality's summand of the fused scores."""
        return {
            name: self._cosines(name, feature) if self.cosine else self.product(name, feature)
            for name, feature in features.items()
        }

    def product(self, name: str, feature: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch classes"]:
        """Return inner products with a modality's block of weights, and its share of the bias."""
        return linear(feature, self._block(name), self._share())

    def _cosines(self, name: str, feature: Tensor) -> Tensor:
        # float32: half precision cannot represent the small number by which normalize avoids a division by 0
        unit = normalize(at_least_float32(feature), dim=-1)
        weight = normalize(at_least_float32(self._block(name)), dim=self.axis)
        return linear(unit, self.scale * weight, self._share())

    def _block(self, name: str) -> Tensor:
        return self.weight.chunk(len(self.names), dim=1)[self.names.index(name)]

    def _share(self) -> Tensor | None:
        return None if self.bias is None else self.bias / len(self.names)
