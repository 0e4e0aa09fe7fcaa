"""From frames to one vector per segment (phone, syllable, word), for a whole batch at once.

The window of frame ``t`` is centred at ``centre_s + t hop_s`` seconds; the frame belongs to the segment ``[start,
end)`` that contains its centre, if any. Segments of an utterance are in order and do not overlap, so a frame belongs to
at most one. A segment that contains no centre (shorter than a hop) gets the nearest real frame.

Times are compared in ticks of 1/16000 s, so that a boundary on a centre is treated alike on every machine.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TICKS_PER_S = 16_000
_NEVER = torch.iinfo(torch.int64).max // 2


@dataclass(frozen=True, slots=True)
class FrameClock:
    """Times of frames in seconds: from one frame to the next, and the centre of the first one's window."""

    hop_s: float
    centre_s: float

    def ticks(self) -> tuple[int, int]:
        """Return the first centre and the hop in ticks."""
        return round(self.centre_s * TICKS_PER_S), round(self.hop_s * TICKS_PER_S)


def segment_of_frames(
    mask: Bool[Tensor, "items frames"],
    times: Float[Tensor, "items segments 2"],
    real: Bool[Tensor, "items segments"],
    clock: FrameClock,
) -> Int[Tensor, "items frames"]:
    """Return the number of each frame's segment; -1 for frames outside all segments and for padding.

    Args:
        mask: Real frames.
        times: Start and end in seconds; garbage where ``real`` is ``False``. Real segments come first, in order.
        real: Real segments.
        clock: Of the frames.
    """
    starts, ends = _ticks(times, real)
    first, hop = clock.ticks()
    centres = (first + hop * torch.arange(mask.shape[1], device=mask.device)).expand(len(mask), -1).contiguous()
    last = torch.searchsorted(starts, centres, right=True) - 1  # the last segment that has begun
    inside = centres < ends.gather(1, last.clamp(min=0))
    return torch.where(mask & (last >= 0) & inside, last, -1)


def segment_means(
    frames: Float[Tensor, "items frames dim"],
    mask: Bool[Tensor, "items frames"],
    times: Float[Tensor, "items segments 2"],
    real: Bool[Tensor, "items segments"],
    clock: FrameClock,
) -> Float[Tensor, "items segments dim"]:
    """Return the mean of each segment's frames, or the nearest frame of a segment without any; zeros if padded.

    One ``index_add`` over all frames of the batch. Arguments as ``segment_of_frames``. Padded frames and segments
    affect neither a result nor a gradient. An utterance without a real frame gives zeros.
    """
    items, segments, dim = len(frames), real.shape[1], frames.shape[2]
    number = segment_of_frames(mask, times, real, clock)
    belongs = number >= 0
    rows = number + segments * torch.arange(items, device=mask.device).unsqueeze(1)
    row = torch.where(belongs, rows, items * segments).flatten()  # frames of no segment go to an extra last row
    clean = frames.masked_fill(~mask.unsqueeze(-1), 0.0)
    sums = clean.new_zeros(items * segments + 1, dim).index_add(0, row, clean.flatten(0, 1))
    counts = clean.new_zeros(items * segments + 1).index_add(0, row, torch.ones_like(row, dtype=clean.dtype))
    means = (sums / counts.clamp(min=1).unsqueeze(-1))[:-1].view(items, segments, dim)
    empty = (counts[:-1].view(items, segments) == 0) & real

    starts, ends = _ticks(times, real)
    first, hop = clock.ticks()
    middle = torch.where(real, torch.div(starts + ends, 2, rounding_mode="floor"), 0)
    nearest = torch.div(2 * (middle - first) + hop - 1, 2 * hop, rounding_mode="floor")  # the earlier of two
    nearest = nearest.minimum(mask.sum(1, keepdim=True) - 1).clamp(min=0)  # real frames come first in the sequence
    return torch.where(empty.unsqueeze(-1), clean.gather(1, nearest.unsqueeze(-1).expand(-1, -1, dim)), means)


def _ticks(
    times: Float[Tensor, "items segments 2"], real: Bool[Tensor, "items segments"]
) -> tuple[Int[Tensor, "items segments"], Int[Tensor, "items segments"]]:
    """Return starts and ends in ticks; padded segments lie after all frames."""
    clean = torch.where(real.unsqueeze(-1), times, 0.0)
    ticks = (clean * TICKS_PER_S).round().long()
    ticks = torch.where(real.unsqueeze(-1), ticks, _NEVER)
    return ticks[..., 0].contiguous(), ticks[..., 1].contiguous()
