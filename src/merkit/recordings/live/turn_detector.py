"""Detect the turns of one speaker in a stream of sound: where speech begins, and where a pause ends it.

The speech detector and its thresholds are those of recordings. A recording is amplified by the loudest half second of
each window of a minute, a stream by the loudest half second of the last minute.
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
"""Silence that ends a turn; half of what ends an utterance of a recording, so that a label is not late."""
FRAME_MS = 1000 * silero.FRAME // silero.RATE_HZ

_PAUSE = round(1000 * PAUSE_S) // FRAME_MS
_EARLY = 3
"""Frames without speech after which a turn is reported that may be over: it can be labelled during the pause."""
_LONGEST = int(1000 * LONGEST_S) // FRAME_MS
_CUT_WITHIN = 5
"""A turn that is too long is cut at the quietest of its last frames, so that its label is not late."""
_HALF_SECOND = HALF_SECOND // silero.FRAME + 1
_LEVELS = 120
"""Half seconds whose levels are kept: a minute."""


@dataclass(frozen=True, slots=True)
class DetectedTurn:
    """Where a speaker's turn begins and ends, in whole milliseconds of the stream."""

    start_ms: int
    end_ms: int
    is_over: bool = True
    """Whether the pause has passed; ``False``: the turn may go on."""


class TurnDetector:
    """Detects the turns of a speaker; its memory is bounded.

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
        self._is_speech = False
        self._level = _Level()
        self._last_energies: deque[float] = deque(maxlen=_CUT_WITHIN)

    @property
    def needed_ms(self) -> int:
        """Where the sound begins that may still belong to a turn."""
        return FRAME_MS * (self._frames if self._start is None else self._start)

    def feed(self, samples: npt.NDArray[np.float32]) -> Iterator[DetectedTurn]:
        """Yield the turns that these samples end, and those that may be over."""
        self._samples += len(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % silero.FRAME
        self._rest = joined[whole:]
        yield from self._detect(joined[:whole])

    def finish(self) -> Iterator[DetectedTurn]:
        """Yield the turn that the end of the stream ends, if there is one; no samples may follow."""
        rest = self._rest
        if self._resampler is not None:
            rest = np.concatenate([rest, self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)])
        length_ms = 1000 * self._samples // self._rate_hz
        turns = list(self._detect(np.pad(rest, (0, -len(rest) % silero.FRAME))))
        if self._start is not None:
            turns.append(self._turn(self._end))
        for turn in turns:
            if turn.is_over and turn.start_ms < length_ms:
                yield DetectedTurn(turn.start_ms, min(turn.end_ms, length_ms))

    def _detect(self, samples: npt.NDArray[np.float32]) -> Iterator[DetectedTurn]:
        """Yield the turns in whole frames."""
        if not len(samples):
            return
        frames = samples.reshape(-1, silero.FRAME)
        energies = np.square(frames, dtype=np.float64).mean(axis=1).tolist()
        gains = np.array([gain_of(self._level.add(energy)) for energy in energies])
        probabilities = self._detector.feed((frames * gains[:, np.newaxis]).ravel())
        for probability, energy in zip(probabilities.tolist(), energies, strict=True):
            self._frames += 1
            self._last_energies.append(energy)
            yield from self._add_frame(probability)

    def _add_frame(self, probability: float) -> Iterator[DetectedTurn]:
        """Yield the turns that the next frame ends, by its probability of speech."""
        if self._start is None and probability >= ON:
            self._start, self._is_speech = self._frames - 1, True
        if self._start is None:
            return
        self._is_speech = probability >= (OFF if self._is_speech else ON)
        if self._is_speech:
            self._end = self._frames
            if self._end - self._start >= _LONGEST:
                cut = self._end - len(self._last_energies) + int(np.argmin(self._last_energies))
                yield self._turn(cut)
                self._start = cut
            return
        silent = self._frames - self._end
        if silent == _EARLY:
            yield self._turn(self._end, is_over=False)
        if silent >= _PAUSE:
            yield self._turn(self._end)
            self._start = None

    def _turn(self, end: int, *, is_over: bool = True) -> DetectedTurn:
        assert self._start is not None
        return DetectedTurn(FRAME_MS * self._start, FRAME_MS * end, is_over)


class _Level:
    """The mean square of the loudest half second of the last minute."""

    def __init__(self) -> None:
        self._energies: deque[float] = deque([0.0] * _HALF_SECOND, _HALF_SECOND)
        self._loudest: deque[float] = deque([0.0], _LEVELS)
        self._count = 0

    def add(self, energy: float) -> float:
        """Return the level with another frame, whose mean square is ``energy``."""
        self._energies.append(energy)
        level = sum(self._energies) / _HALF_SECOND
        if self._count % _HALF_SECOND == 0:
            self._loudest.append(0.0)
        self._count += 1
        self._loudest[-1] = max(self._loudest[-1], level)
        return max(self._loudest)
