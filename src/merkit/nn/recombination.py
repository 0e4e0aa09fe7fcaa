"""Recombination: pair encoded streams of different utterances of a batch, without encoding anything again.

Partners are drawn among the utterances that a task allows: a plain shuffle of IEMOCAP's four classes gives a partner of
the same class in only 26 % of the draws (the sum of the squared shares of the classes).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def same_class(labels: Int[Tensor, " items"]) -> Bool[Tensor, "items items"]:
    """Return which pairs of items have the same label, a symmetric matrix with ``True`` on the diagonal."""
    return labels.unsqueeze(0) == labels.unsqueeze(1)


def pairs_of_two(usable: Bool[Tensor, " items"]) -> Bool[Tensor, "items items"]:
    """Return which ordered pairs consist of two different usable items."""
    itself = torch.eye(len(usable), dtype=torch.bool, device=usable.device)
    return usable.unsqueeze(0) & usable.unsqueeze(1) & ~itself


def draw_partners(
    allowed: Bool[Tensor, "items items"],
) -> tuple[Int[Tensor, " items"], Bool[Tensor, " items"]]:
    """Draw a partner for each item, uniformly and independently, from torch's global generator.

    Args:
        allowed: ``allowed[i, j]``: may ``j`` be the partner of ``i``?

    Returns:
        The partners' indices, and which items have one; an item without any is its own partner.
    """
    has_partner = allowed.any(dim=-1)
    drawn = torch.rand(allowed.shape, device=allowed.device).masked_fill(~allowed, -1.0).argmax(dim=-1)
    return torch.where(has_partner, drawn, torch.arange(len(allowed), device=allowed.device)), has_partner


def recombined(
    data: Float[Tensor, "items time dim"], mask: Bool[Tensor, "items time"], partners: Int[Tensor, " items"]
) -> tuple[Float[Tensor, "items time dim"], Bool[Tensor, "items time"]]:
    """Return the sequences of each item's partner with their masks."""
    return data[partners], mask[partners]
