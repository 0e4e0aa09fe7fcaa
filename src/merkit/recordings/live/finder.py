"""Turns of one voice in a stream of sound: where speech begins, and where a pause ends it.

The detector and its bounds are those of recordings. Where a recording is brought to one level by all of its minute, a
stream is by the loudest half second of the last minute.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from merkit.recordings import silero
from merkit.recordings.speech import HALF_SECOND, OFF, ON, gain_of
from merkit.recordings.utterances import LONGEST_S

PAUSE_S = 0.3
"""Silence of this length ends a turn. Of a recording, which has no hurry, it takes twice as much."""
FRAME_MS = 1000 * silero.FRAME // silero.RATE_HZ

_PAUSE = round(1000 * PAUSE_S) // FRAME_MS
_PROBABLE = 3
"""Frames without speech after which a turn is reported that may be over, so that its label is ready when it is."""
_LONGEST = int(1000 * LONGEST_S) // FRAME_MS
_CUT_WITHIN = 5
"""A turn that is too long ends at the quietest of its last frames: its label is not late."""
_HALF_SECOND = HALF_SECOND // silero.FRAME + 1
_LEVELS = 120
"""Half seconds of which the loudest counts."""


@dataclass(frozen=True, slots=True)
class FoundTurn:
    """From where to where somebody spoke, in whole milliseconds of the stream."""

    start_ms: int
    end_ms: int
    is_over: bool = True
    """Whether it ends here; it may be that it goes on."""


class TurnFinder:
    """Finds the turns of a voice; its memory does not grow.

    Args:
        rate_hz: The rate of the samples.
    """

    def __init__(self, rate_hz: int) -> None:
        self._detector = silero.Detector()
        self._resampler = None
        if rate_hz != silero.RATE_HZ:
            self._resampler = soxr.ResampleStream(rate_hz, silero.RATE_HZ, 1, dtype="float32")
        self._rate_hz = rate_hz
        self._samples = 0
        self._rest = np.zeros(0, np.float32)
        self._frames = 0
        self._start: int | None = None
        self._end = 0
        self._speaks = False
        self._level = _Level()
        self._quiet: deque[float] = deque(maxlen=_CUT_WITHIN)

    @property
    def needed_ms(self) -> int:
        """From where on sound may still belong to a turn."""
        return FRAME_MS * (self._frames if self._start is None else self._start)

    def hear(self, samples: npt.NDArray[np.float32]) -> Iterator[FoundTurn]:
        """Yield the turns that these samples end, and those that may have ended."""
        self._samples += len(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % silero.FRAME
        self._rest = joined[whole:]
        yield from self._hear(joined[:whole])

    def finish(self) -> Iterator[FoundTurn]:
        """Yield the turn that the end of the stream ends, if there is one; no samples may follow."""
        rest = self._rest
        if self._resampler is not None:
            rest = np.concatenate([rest, self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)])
        length_ms = 1000 * self._samples // self._rate_hz
        found = list(self._hear(np.pad(rest, (0, -len(rest) % silero.FRAME))))
        if self._start is not None:
            found.append(self._turn(self._end))
        for turn in found:
            if turn.is_over and turn.start_ms < length_ms:
                yield FoundTurn(turn.start_ms, min(turn.end_ms, length_ms))

    def _hear(self, samples: npt.NDArray[np.float32]) -> Iterator[FoundTurn]:
        """Yield the turns in whole frames."""
        if not len(samples):
            return
        frames = samples.reshape(-1, silero.FRAME)
        energies = np.square(frames, dtype=np.float64).mean(axis=1).tolist()
        gains = np.array([gain_of(self._level.loudest(energy)) for energy in energies])
        probabilities = self._detector.hear((frames * gains[:, np.newaxis]).ravel())
        for probability, energy in zip(probabilities.tolist(), energies, strict=True):
            self._frames += 1
            self._quiet.append(energy)
            yield from self._next(probability)

    def _next(self, probability: float) -> Iterator[FoundTurn]:
        """Take the probability of the next frame."""
        if self._start is None and probability >= ON:
            self._start, self._speaks = self._frames - 1, True
        if self._start is None:
            return
        self._speaks = probability >= (OFF if self._speaks else ON)
        if self._speaks:
            self._end = self._frames
            if self._end - self._start >= _LONGEST:
                cut = self._end - len(self._quiet) + int(np.argmin(self._quiet))
                yield self._turn(cut)
                self._start = cut
            return
        silent = self._frames - self._end
        if silent == _PROBABLE:
            yield self._turn(self._end, is_over=False)
        if silent >= _PAUSE:
            yield self._turn(self._end)
            self._start = None

    def _turn(self, end: int, *, is_over: bool = True) -> FoundTurn:
        assert self._start is not None
        return FoundTurn(FRAME_MS * self._start, FRAME_MS * end, is_over)


class _Level:
    """The loudest half second of the last minute."""

    def __init__(self) -> None:
        self._energies: deque[float] = deque([0.0] * _HALF_SECOND, _HALF_SECOND)
        self._loudest: deque[float] = deque([0.0], _LEVELS)
        self._count = 0

    def loudest(self, energy: float) -> float:
        """Return its mean square once the next frame is heard, which has this one."""
        self._energies.append(energy)
        level = sum(self._energies) / _HALF_SECOND
        if self._count % _HALF_SECOND == 0:
            self._loudest.append(0.0)
        self._count += 1
        self._loudest[-1] = max(self._loudest[-1], level)
        return max(self._loudest)
