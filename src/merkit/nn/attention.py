"""Attention: places of one sequence read another sequence (cross-attention) or their own (self-attention).

Convention: what stands in padded places of the source never reaches a result or a gradient, and a query that finds
nothing to read gets zeros. Queries are not masked: what stands in a padded query must be finite, and comes out of its
own place only.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from merkit.nn.layers import Dropout

Norm = Literal["pre", "post"]
"""Where layers are normalised: before each sub-layer, or after its residual sum (Vaswani et al. 2017)."""
Activation = Literal["relu", "gelu"]
"""Of the position-wise network; GELU is the exact one."""


class MultiHeadAttention(nn.Module):
    """Multi-head attention of Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.2."""

    def __init__(self, dim: int, heads: int, *, source_dim: int | None = None, dropout: float = 0.0) -> None:
        """Make the four projections.

        Args:
            dim: Last axis of the queries and of the result; a multiple of ``heads``.
            heads: How many attentions work side by side.
            source_dim: Last axis of what is read; ``None``: as wide as the queries.
            dropout: Of the attention weights.

        Raises:
            ValueError: ``dim`` is no multiple of ``heads``.
        """
        super().__init__()
        if dim % heads:
            raise ValueError(f"the dim of attention ({dim}) must be a multiple of its heads ({heads})")
        self.heads = heads
        self.dropout = dropout
        read = dim if source_dim is None else source_dim
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(read, dim)
        self.value = nn.Linear(read, dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self,
        queries: Float[Tensor, "items places dim"],
        source: Float[Tensor, "items source_places source_dim"],
        mask: Bool[Tensor, "items source_places"],
        allowed: Bool[Tensor, "places source_places"] | None = None,
    ) -> Float[Tensor, "items places dim"]:
        """Return what each query reads from the real places of the source.

        Args:
            queries: Who reads.
            source: What is read, as keys and as values.
            mask: ``True`` where the source is real.
            allowed: ``True`` where a query may read a place (``causal_pairs``); ``None``: everywhere.
        """
        readable = mask.unsqueeze(1) if allowed is None else mask.unsqueeze(1) & allowed
        finds = readable.any(dim=-1, keepdim=True)
        source = source.masked_fill(~mask.unsqueeze(-1), 0.0)
        attended = scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(self.key(source)),
            self._split(self.value(source)),
            # a query without a readable place reads all of them and is overwritten below: no softmax over nothing
            attn_mask=(readable | ~finds).unsqueeze(1),
            dropout_p=self.dropout if self.training else 0.0,
        )
        read: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return read.masked_fill(~finds, 0.0)

    def _split(self, data: Float[Tensor, "items places dim"]) -> Float[Tensor, "items heads places part"]:
        items, places, dim = data.shape
        return data.view(items, places, self.heads, dim // self.heads).transpose(1, 2)


def feed_forward(dim: int, hidden: int, *, dropout: float, activation: Activation = "gelu") -> nn.Sequential:
    """Return the position-wise network of a transformer: linear, activation, dropout, linear."""
    active = nn.ReLU() if activation == "relu" else nn.GELU()
    return nn.Sequential(nn.Linear(dim, hidden), active, Dropout(dropout), nn.Linear(hidden, dim))


class AttentionBlock(nn.Module):
    """One layer of a transformer: attention, then a position-wise network, each with a residual and a layer norm.

    ``post``: ``x = LN(x + A(x, s)); x = LN(x + F(x))``. ``pre``: ``x = x + A(LN x, s); x = x + F(LN x)``, where a block
    that reads itself reads ``LN x``, and another source is read as it is given.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        hidden: int,
        norm: Norm,
        dropout: float,
        activation: Activation = "gelu",
        source_dim: int | None = None,
        epsilon: float = 1e-5,
        hidden_dropout: float | None = None,
    ) -> None:
        """Make the layer.

        ``hidden`` is the inner dim of the position-wise network, 0: there is none; ``hidden_dropout`` is the dropout
        within it, by default as everywhere. BERT's layers have none there.
        """
        super().__init__()
        self.norm: Norm = norm
        self.attention = MultiHeadAttention(dim, heads, source_dim=source_dim, dropout=dropout)
        self.attention_norm = nn.LayerNorm(dim, epsilon)
        inner = dropout if hidden_dropout is None else hidden_dropout
        self.feed_forward = feed_forward(dim, hidden, dropout=inner, activation=activation) if hidden else None
        self.feed_forward_norm = nn.LayerNorm(dim, epsilon) if hidden else None
        self.dropout = Dropout(dropout)

    def forward(
        self,
        queries: Float[Tensor, "items places dim"],
        mask: Bool[Tensor, "items source_places"],
        source: Float[Tensor, "items source_places source_dim"] | None = None,
        allowed: Bool[Tensor, "places source_places"] | None = None,
    ) -> Float[Tensor, "items places dim"]:
        """Return the queries with what they read; without a source they read one another, and the mask is theirs."""
        pre = self.norm == "pre"
        reader = self.attention_norm(queries) if pre else queries
        read = self.attention(reader, reader if source is None else source, mask, allowed)
        data: Tensor = queries + self.dropout(read)
        data = data if pre else self.attention_norm(data)
        if self.feed_forward is not None and self.feed_forward_norm is not None:
            data = data + self.dropout(self.feed_forward(self.feed_forward_norm(data) if pre else data))
            data = data if pre else self.feed_forward_norm(data)
        return data


def causal_pairs(places: int, device: torch.device) -> Bool[Tensor, "places places"]:
    """Return which place may read which: itself and what came before."""
    return torch.ones(places, places, dtype=torch.bool, device=device).tril()
