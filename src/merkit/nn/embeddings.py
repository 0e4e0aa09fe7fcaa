"""Codes of position and speaker, which are added to a turn's vector."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def sinusoidal_positions(length: int, dim: int, device: torch.device) -> Float[Tensor, "length dim"]:
    """Return the position code of Vaswani et al. 2017, section 3.5: sine in even columns, cosine in odd ones.

    Columns ``2i`` and ``2i + 1`` of position ``p`` hold sine and cosine of ``p / 10000^(2i / dim)``.
    """
    rates = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10000.0) / dim))
    angles = torch.arange(length, device=device).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]


class SpeakerEmbedding(nn.Module):
    """A learned vector for each speaker number of a conversation; zeros at padded positions.

    Speakers beyond the table share its last vector.
    """

    def __init__(self, speakers: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(speakers + 1, dim, padding_idx=speakers)

    def forward(
        self, speakers: Int[Tensor, "items turns"], mask: Bool[Tensor, "items turns"]
    ) -> Float[Tensor, "items turns dim"]:
        """Return the speaker's vector of each real turn."""
        padding = self.table.num_embeddings - 1
        vectors: Tensor = self.table(speakers.clamp(max=padding - 1).masked_fill(~mask, padding))
        return vectors
