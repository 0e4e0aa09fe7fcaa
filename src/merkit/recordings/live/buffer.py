"""The last seconds of a stream of sound, from which the sound of a turn is cut."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from merkit.core.waveform import Waveform
from merkit.recordings.live.sources import Block

_CONTEXT_MS = 100
"""Kept around a turn: what resampling reads (`data.media.audio`)."""


@dataclass(frozen=True)
class Excerpt:
    """The sound of a turn, with a little around it."""

    sound: Waveform
    start_s: float
    """Where the turn begins in ``sound``."""
    end_s: float


class SoundBuffer:
    """The blocks of a stream that a turn may still need.

    An excerpt begins at a full second of the stream: resampled samples then lie at the same positions as in the whole
    stream, and are equal to its own.

    Args:
        rate_hz: Samples per second.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._blocks: deque[Block] = deque()
        self._begin = 0
        """Number of the first sample in the buffer."""

    def append(self, block: Block) -> None:
        """Add the next block of the stream."""
        self._blocks.append(block)

    def discard(self, needed_ms: int) -> None:
        """Discard the blocks that no excerpt from ``needed_ms`` on needs."""
        first = self._rate_hz * _second_before(needed_ms)
        while self._blocks and self._begin + self._blocks[0].samples.shape[1] <= first:
            self._begin += self._blocks.popleft().samples.shape[1]

    def excerpt(self, start_ms: int, end_ms: int) -> Excerpt:
        """Return the sound of a turn that is in the buffer."""
        second = _second_before(start_ms)
        first = self._rate_hz * second - self._begin
        last = self._sample(end_ms + _CONTEXT_MS) - self._begin
        samples = np.concatenate([block.samples for block in self._blocks], axis=1)[:, first:last]
        one = samples[0] if len(samples) == 1 else samples
        return Excerpt(Waveform(one, self._rate_hz), start_ms / 1000 - second, end_ms / 1000 - second)

    def arrival_s(self, ms: int) -> float:
        """Return when a moment of the stream arrived, by the clock of its source.

        Raises:
            ValueError: The buffer does not have it.
        """
        sample = self._sample(ms)
        end = self._begin
        for block in self._blocks:
            end += block.samples.shape[1]
            if end >= sample:
                return block.arrived_s - float(end - sample) / self._rate_hz
        raise ValueError(f"{ms} ms is not in the buffer")

    def _sample(self, ms: int) -> int:
        return ms * self._rate_hz // 1000


def _second_before(ms: int) -> int:
    return max(ms - _CONTEXT_MS, 0) // 1000
