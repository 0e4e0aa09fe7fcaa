"""A transformer over sequences with holes and ends: what is not real is neither read nor written."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention


class TransformerLayer(nn.Module):
    """Self-attention and a ReLU network, each added to what enters and then normalised (post-norm).

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.1. Weights begin as in PyTorch's
    ``TransformerEncoderLayer``, which computes the same.
    """

    def __init__(self, width: int, *, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.first_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, feedforward)
        self.narrow = nn.Linear(feedforward, width)
        self.second_norm = nn.LayerNorm(width)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.merge.bias)

    def forward(
        self, data: Float[Tensor, "items turns width"], visible: Bool[Tensor, "items turns turns"]
    ) -> Float[Tensor, "items turns width"]:
        """Return the sequence after one layer; place ``i`` reads place ``j`` where ``visible[:, i, j]``."""
        split = self.project(data).unflatten(-1, (3, self.heads, -1))
        query, key, value = (part.transpose(1, 2) for part in split.unbind(dim=2))
        rate = self.dropout if self.training else 0.0
        read = scaled_dot_product_attention(query, key, value, visible.unsqueeze(1), dropout_p=rate)
        data = self.first_norm(data + self._dropped(self.merge(read.transpose(1, 2).flatten(2))))
        inner = self._dropped(torch.relu(self.widen(data)))
        left: Tensor = self.second_norm(data + self._dropped(self.narrow(inner)))
        return left

    def _dropped(self, data: Tensor) -> Tensor:
        if not self.training or not data.is_cpu:
            return dropout(data, self.dropout, self.training)
        # PyTorch draws bernoulli numbers on the CPU four times as slowly as uniform ones
        kept = torch.rand_like(data, dtype=torch.float32) >= self.dropout
        return data * kept.to(data.dtype).div_(1.0 - self.dropout)


class MaskedTransformer(nn.Module):
    """Layers of a transformer without a code of position; ``width`` stays the same throughout.

    With ``causal`` a place reads itself and what is before it.
    """

    def __init__(
        self, width: int, *, layers: int, heads: int, feedforward: int, dropout: float, causal: bool = False
    ) -> None:
        super().__init__()
        self.width = width
        self.causal = causal
        self.layers = nn.ModuleList(
            TransformerLayer(width, heads=heads, feedforward=feedforward, dropout=dropout) for _ in range(layers)
        )

    def forward(
        self, data: Float[Tensor, "items turns width"], mask: Bool[Tensor, "items turns"]
    ) -> Float[Tensor, "items turns width"]:
        """Return vectors at real places and zeros elsewhere."""
        hidden = ~mask.unsqueeze(-1)
        data = data.masked_fill(hidden, 0.0)
        visible = visible_places(mask, self.causal)
        for layer in self.layers:
            data = layer(data, visible)
        return data.masked_fill(hidden, 0.0)


def visible_places(mask: Bool[Tensor, "items turns"], causal: bool) -> Bool[Tensor, "items turns turns"]:
    """Return which place (last axis) each place (middle axis) may read: the real ones, if ``causal`` up to itself.

    Every place sees itself, also one that is not real: attention over nothing would be NaN.
    """
    square = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device)
    real = mask.unsqueeze(1) & square.tril() if causal else mask.unsqueeze(1)
    return real | torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
