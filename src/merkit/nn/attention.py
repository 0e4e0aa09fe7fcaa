"""Attention: positions of one sequence read another sequence (cross-attention) or their own (self-attention).

Convention: padded positions of the source never affect a result or a gradient, and a query without a readable position
gets zeros. Queries are not masked: a padded query must be finite and affects its own position only.
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
"""Of the position-wise network; GELU is exact, not the tanh approximation."""


class MultiHeadAttention(nn.Module):
    """Multi-head attention of Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.2."""

    def __init__(self, dim: int, heads: int, *, source_dim: int | None = None, dropout: float = 0.0) -> None:
        """Make the four projections.

        Args:
            dim: Last axis of the queries and of the result; a multiple of ``heads``.
            heads: Number of parallel attentions.
            source_dim: Last axis of the source; ``None``: ``dim``.
            dropout: Of the attention weights.

        Raises:
            ValueError: ``dim`` is not a multiple of ``heads``.
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
        queries: Float[Tensor, "items positions dim"],
        source: Float[Tensor, "items source_positions source_dim"],
        mask: Bool[Tensor, "items source_positions"],
        allowed: Bool[Tensor, "positions source_positions"] | None = None,
    ) -> Float[Tensor, "items positions dim"]:
        """Return what each query reads from the real positions of the source.

        Args:
            queries: Vectors that read.
            source: Vectors that are read, as keys and as values.
            mask: ``True`` where the source is real.
            allowed: ``True`` where a query may read a position (``causal_pairs``); ``None``: everywhere.
        """
        readable = mask.unsqueeze(1) if allowed is None else mask.unsqueeze(1) & allowed
        has_any = readable.any(dim=-1, keepdim=True)
        source = source.masked_fill(~mask.unsqueeze(-1), 0.0)
        attended = scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(self.key(source)),
            self._split(self.value(source)),
            # a query without a readable position reads all of them, to avoid an empty softmax, and is zeroed below
            attn_mask=(readable | ~has_any).unsqueeze(1),
            dropout_p=self.dropout if self.training else 0.0,
        )
        read: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return read.masked_fill(~has_any, 0.0)

    def _split(self, data: Float[Tensor, "items positions dim"]) -> Float[Tensor, "items heads positions part"]:
        items, positions, dim = data.shape
        return data.view(items, positions, self.heads, dim // self.heads).transpose(1, 2)


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

        Args:
            dim: Of queries and result.
            heads: Of the attention.
            hidden: Inner dim of the position-wise network; 0: no such network.
            norm: Where layers are normalised.
            dropout: Of attention weights and of the sub-layers' results.
            activation: Of the position-wise network.
            source_dim: Last axis of the source; ``None``: ``dim``.
            epsilon: Of the layer norms.
            hidden_dropout: Inside the position-wise network; ``None``: ``dropout``. BERT's layers have 0.
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
        queries: Float[Tensor, "items positions dim"],
        mask: Bool[Tensor, "items source_positions"],
        source: Float[Tensor, "items source_positions source_dim"] | None = None,
        allowed: Bool[Tensor, "positions source_positions"] | None = None,
    ) -> Float[Tensor, "items positions dim"]:
        """Return the updated queries; without a source they read one another, and ``mask`` is theirs."""
        pre = self.norm == "pre"
        reader = self.attention_norm(queries) if pre else queries
        read = self.attention(reader, reader if source is None else source, mask, allowed)
        data: Tensor = queries + self.dropout(read)
        data = data if pre else self.attention_norm(data)
        if self.feed_forward is not None and self.feed_forward_norm is not None:
            data = data + self.dropout(self.feed_forward(self.feed_forward_norm(data) if pre else data))
            data = data if pre else self.feed_forward_norm(data)
        return data


def causal_pairs(length: int, device: torch.device) -> Bool[Tensor, "positions positions"]:
    """Return which position may read which: itself and those before it."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
