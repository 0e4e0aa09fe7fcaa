"""The outline of a recording: the loudest sample of each of many short stretches, in constant memory."""

import base64
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merkit.core.waveform import Waveform, Whole
from merkit.data.media.audio import channel_blocks, duration_s, probe

PER_S, MOST = 50.0, 72_000
"""Peaks per second, or fewer where there would be more than so many: 10 a second for two hours."""
_FULL = 255


@dataclass(frozen=True)
class Peaks:
    """Peaks from 0 to 255 (the loudest of the recording), and how many of them make a second."""

    values: npt.NDArray[np.uint8]
    per_s: float

    def base64(self) -> str:
        """Return them as text."""
        return base64.b64encode(self.values.tobytes()).decode()

    def fewer(self, count: int) -> npt.NDArray[np.uint8]:
        """Return the loudest of ``count`` equal stretches, or all peaks where there are no more than that."""
        if len(self.values) <= count:
            return self.values
        edges = np.linspace(0, len(self.values), count, endpoint=False).astype(np.intp)
        return np.asarray(np.maximum.reduceat(self.values, edges))


def peaks_of(recording: Whole) -> Peaks:
    """Return the peaks of all channels together; the sound is read in blocks.

    Raises:
        MediaError: The recording cannot be read.
    """
    length_s = duration_s(recording)
    rate_hz = recording.rate_hz if isinstance(recording, Waveform) else probe(recording).rate_hz or 1
    per_s = min(PER_S, MOST / max(length_s, 1e-9))
    count = max(1, round(length_s * per_s))
    loudest = np.zeros(count, np.float32)
    seen = 0
    for block in channel_blocks(recording):
        levels = np.abs(block).max(axis=1)
        first = min(int(seen * per_s / rate_hz), count - 1)
        last = min(int((seen + len(levels) - 1) * per_s / rate_hz), count - 1)
        edges = np.ceil(np.arange(first, last + 1) * (rate_hz / per_s)).astype(np.intp) - seen
        starts = np.clip(edges, 0, len(levels) - 1)
        loudest[first : last + 1] = np.maximum(loudest[first : last + 1], np.maximum.reduceat(levels, starts))
        seen += len(levels)
    top = float(loudest.max())
    return Peaks(np.round(loudest * (_FULL / top if top > 0 else 0.0)).astype(np.uint8), per_s)
