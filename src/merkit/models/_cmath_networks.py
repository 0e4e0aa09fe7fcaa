"""The networks of CMATH's stages (``merkit.models.cmath``): reconstruction, interaction, fusion."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from merkit.core.batch import Padded
from merkit.core.precision import at_least_float32
from merkit.nn.attention import AttentionBlock, MultiHeadAttention, feed_forward
from merkit.nn.convolution import MaskedConv1d
from merkit.nn.distributions import Gaussian, product_of_experts
from merkit.nn.layers import Dropout

Skip = Literal["inner", "none", "outer"]
Posterior = Literal["network", "experts", "none"]

_LOG_VARIANCE_LIMIT = 8.0
"""Of every Gaussian's log variance, either side: exp(8) is about 3000."""


class Reconstruction(nn.Module):
    """A U-Net along the turns that reduces channels, not turns, because each turn has a label."""

    def __init__(self, inputs: int, hidden: int, dim: int, *, kernel: int, skip: Skip, causal: bool) -> None:
        super().__init__()
        self.skip: Skip = skip
        joined = {"none": hidden, "inner": 2 * hidden, "outer": 2 * hidden + inputs}[skip]
        self.outer_encoder = MaskedConv1d(inputs, hidden, kernel, causal=causal)
        self.inner_encoder = MaskedConv1d(hidden, dim, kernel, causal=causal)
        self.inner_decoder = MaskedConv1d(dim, hidden, kernel, causal=causal)
        self.outer_decoder = MaskedConv1d(joined, inputs, kernel, causal=causal)

    def forward(
        self, data: Float[Tensor, "items turns inputs"], mask: Bool[Tensor, "items turns"]
    ) -> tuple[Float[Tensor, "items turns dim"], Float[Tensor, "items turns inputs"]]:
        """Return the compressed representation and the rebuilt input; zeros where the mask is ``False``."""
        outer, inner = self.encode(data, mask)
        return inner, self.decode(data, outer, inner, mask)

    def encode(
        self, data: Float[Tensor, "items turns inputs"], mask: Bool[Tensor, "items turns"]
    ) -> tuple[Float[Tensor, "items turns hidden"], Float[Tensor, "items turns dim"]]:
        """Return the outer level and the inner one, which is the compressed representation."""
        outer = gelu(self.outer_encoder(data, mask))
        return outer, gelu(self.inner_encoder(outer, mask))

    def decode(
        self,
        data: Float[Tensor, "items turns inputs"],
        outer: Float[Tensor, "items turns hidden"],
        inner: Float[Tensor, "items turns dim"],
        mask: Bool[Tensor, "items turns"],
    ) -> Float[Tensor, "items turns inputs"]:
        """Return the rebuilt input; ``data`` itself is read by an outer skip only."""
        joined = [gelu(self.inner_decoder(inner, mask))]
        joined += [outer] if self.skip != "none" else []
        joined += [data] if self.skip == "outer" else []
        rebuilt: Tensor = self.outer_decoder(torch.cat(joined, dim=-1), mask)
        return rebuilt


def reconstruction_error(
    rebuilt: Float[Tensor, "items turns inputs"], data: Float[Tensor, "items turns inputs"]
) -> Float[Tensor, "items turns"]:
    """Return ``||x - r||^2 / columns`` of each turn; no gradient reaches the encoder that made ``x``."""
    return at_least_float32(rebuilt - data.detach()).square().mean(dim=-1)


class CentralLayer(nn.Module):
    """One layer of the CMA-Transformer: the centre attends to itself, then to its auxiliaries through gates; pre-norm.

    ``c = c + A(LN c)``; ``q = LN c``; ``c = c + sum over o of g_o * v_o`` with ``v_o = A(q, LN h_o)`` and
    ``g_o = sigmoid(W_o [q ; v_o])``; ``c = c + F(LN c)``. The auxiliaries ``h_o`` are not changed.
    """

    def __init__(
        self, dim: int, heads: int, groups: Mapping[str, Sequence[str]], *, hidden: int, dropout: float
    ) -> None:
        """Make the layer; ``groups``: by name, the auxiliaries that share one attention and one gate."""
        super().__init__()
        self.groups = dict(groups)
        self.own_norm = nn.LayerNorm(dim)
        self.own = MultiHeadAttention(dim, heads, dropout=dropout)
        self.query_norm = nn.LayerNorm(dim) if groups else None
        self.norms = nn.ModuleDict({name: nn.LayerNorm(dim) for group in groups.values() for name in group})
        self.readers = nn.ModuleDict({name: MultiHeadAttention(dim, heads, dropout=dropout) for name in groups})
        self.gates = nn.ModuleDict({name: nn.Linear(2 * dim, dim) for name in groups})
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = feed_forward(dim, hidden, dropout=dropout)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        centre: Float[Tensor, "items turns dim"],
        mask: Bool[Tensor, "items turns"],
        auxiliaries: Mapping[str, Padded],
        allowed: Bool[Tensor, "turns turns"] | None,
    ) -> tuple[Float[Tensor, "items turns dim"], dict[str, Tensor]]:
        """Return the centre and, by group, its gates ``[items, turns, dim]``."""
        own = self.own_norm(centre)
        centre = centre + self.dropout(self.own(own, own, mask, allowed))
        gates = {}
        if self.query_norm is not None:
            query = self.query_norm(centre)
            for name, group in self.groups.items():
                source = torch.cat([self.norms[one](auxiliaries[one].data) for one in group], dim=1)
                mask_read = torch.cat([auxiliaries[one].mask for one in group], dim=1)
                pairs = None if allowed is None else allowed.repeat(1, len(group))
                read = self.readers[name](query, source, mask_read, pairs)
                gates[name] = torch.sigmoid(self.gates[name](torch.cat([query, read], dim=-1)))
                centre = centre + self.dropout(gates[name] * read)
        return centre + self.dropout(self.feed_forward(self.feed_forward_norm(centre))), gates


class CentralBranch(nn.Module):
    """All layers of one central modality."""

    def __init__(
        self,
        centre: str,
        modalities: Sequence[str],
        dim: int,
        heads: int,
        *,
        layers: int,
        hidden: int,
        dropout: float,
        concatenated: bool,
    ) -> None:
        super().__init__()
        self.centre = centre
        others = tuple(name for name in modalities if name != centre)
        groups = {"_".join(others): others} if concatenated and others else {name: (name,) for name in others}
        self.layers = nn.ModuleList(
            CentralLayer(dim, heads, groups, hidden=hidden, dropout=dropout) for _ in range(layers)
        )

    def forward(
        self, streams: Mapping[str, Padded], allowed: Bool[Tensor, "turns turns"] | None
    ) -> tuple[Float[Tensor, "items turns dim"], dict[str, Tensor]]:
        """Return the branch and, by group of auxiliaries, its gates, mean of the layers."""
        data, mask = streams[self.centre].data, streams[self.centre].mask
        by_layer: list[dict[str, Tensor]] = []
        for layer in self.layers:
            data, gates = layer(data, mask, streams, allowed)
            by_layer.append(gates)
        return data, {name: torch.stack([gates[name] for gates in by_layer]).mean(dim=0) for name in by_layer[0]}


class SymmetricInteraction(nn.Module):
    """Self-attention over all modalities' turns in one sequence: none is central."""

    def __init__(
        self, modalities: Sequence[str], dim: int, heads: int, *, layers: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.kinds = nn.ParameterDict({name: torch.empty(dim).normal_(std=0.02) for name in modalities})
        self.layers = nn.ModuleList(
            AttentionBlock(dim, heads, hidden=hidden, norm="pre", dropout=dropout) for _ in range(layers)
        )

    def forward(self, streams: Mapping[str, Padded], allowed: Bool[Tensor, "turns turns"] | None) -> dict[str, Tensor]:
        """Return each modality's representation ``[items, turns, dim]``."""
        data = torch.cat([stream.data + self.kinds[name] for name, stream in streams.items()], dim=1)
        mask = torch.cat([stream.mask for stream in streams.values()], dim=1)
        pairs = None if allowed is None else allowed.repeat(len(streams), len(streams))
        for layer in self.layers:
            data = layer(data, mask, allowed=pairs)
        return dict(zip(streams, data.chunk(len(streams), dim=1), strict=True))


class Fusion(nn.Module):
    """From fine-grained representations to a coarse-grained one, both Gaussians.

    With ``posterior`` ``none`` they are plain vectors: means whose variance is not used.
    """

    def __init__(self, centres: Sequence[str], dim: int, *, posterior: Posterior, dropout: float) -> None:
        super().__init__()
        self.variational = posterior != "none"
        out = 2 * dim if self.variational else dim
        self.fine = nn.ModuleDict({name: nn.Linear(dim, out) for name in centres})
        self.network = (
            nn.Sequential(nn.Linear(len(centres) * dim, dim), nn.GELU(), Dropout(dropout), nn.Linear(dim, out))
            if posterior != "experts"
            else None
        )

    def forward(self, branches: Mapping[str, Padded]) -> tuple[Gaussian, dict[str, Gaussian]]:
        """Return the coarse distribution and each branch's own, ``[items, turns, dim]``."""
        fine = {name: self._gaussian(self.fine[name](branch.data)) for name, branch in branches.items()}
        if self.network is None:
            return product_of_experts(list(fine.values()), [branch.mask for branch in branches.values()]), fine
        return self._gaussian(self.network(torch.cat([branch.data for branch in branches.values()], dim=-1))), fine

    def _gaussian(self, parameters: Float[Tensor, "items turns parameters"]) -> Gaussian:
        if not self.variational:
            return Gaussian(parameters, torch.zeros_like(parameters))
        mean, log_variance = at_least_float32(parameters).chunk(2, dim=-1)
        return Gaussian(mean, log_variance.clamp(-_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT))
