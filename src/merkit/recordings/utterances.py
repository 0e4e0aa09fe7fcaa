"""Utterances from sound alone: stretches of speech, cut at pauses and where they are too long.

A person who listens cuts a recording at its pauses. So does this: speech is one utterance until a pause of ``PAUSE_S``,
and one that is longer than asked for is cut at its longest pause, or where it is quietest.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from merkit.data.media.audio import Recording, audio_blocks
from merkit.recordings.speech import Region, speech_regions

LONGEST_S = 15.0
"""An utterance is cut to at most this; most sentences take less, and longer ones change in what they express."""
PAUSE_S = 0.6
"""Speech with shorter pauses is one utterance; within a sentence they are mostly below half a second."""

_RATE_HZ = 16_000
_FRAME = 160
"""Samples whose level is measured: 10 ms."""
_QUIET_FRAMES = 10
"""Frames over which the quietest place is looked for: 0.1 s, longer than a stop consonant's closure."""


def speech_stretches(
    sound: Recording,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    pause_s: float,
    longest_s: float,
) -> list[Region]:
    """Return the stretches of speech in a recording, or in an interval of it, in order.

    A pause of ``pause_s`` ends a stretch. None is longer than ``longest_s``: it is cut at a long pause in its middle
    half, or else at the quietest place there.

    Raises:
        MerkitError: The recording cannot be read, or the speech detector is not installed.
    """
    return stretches_of(sound, speech_regions(sound, start_s, end_s), pause_s=pause_s, longest_s=longest_s)


def stretches_of(sound: Recording, found: Iterable[Region], *, pause_s: float, longest_s: float) -> list[Region]:
    """Return what `speech_stretches` returns, of regions with speech that are known.

    Raises:
        MerkitError: The recording cannot be read.
    """
    regions = [
        piece
        for region in found
        for piece in (_divided(sound, region, longest_s) if region[1] - region[0] > longest_s else [region])
    ]
    return [(regions[first][0], regions[last - 1][1]) for first, last in groups(regions, pause_s, longest_s)]


def groups(spans: Sequence[Region], pause_s: float, longest_s: float) -> list[tuple[int, int]]:
    """Return first and one-past-last number of each group of spans (words, regions) in order of time.

    A gap of ``pause_s`` ends a group; a group that is longer than ``longest_s`` is divided at its longest gap in the
    middle half, or else at the gap that is nearest to its middle. A single span is never divided.

    >>> groups([(0.0, 1.0), (1.1, 2.0), (4.0, 5.0)], pause_s=1.0, longest_s=15.0)
    [(0, 2), (2, 3)]
    """
    ends = [number + 1 for number, (one, other) in enumerate(pairwise(spans)) if other[0] - one[1] >= pause_s]
    edges = [0, *ends, len(spans)] if spans else []
    return [group for first, last in pairwise(edges) for group in _short(spans, first, last, longest_s)]


def _short(spans: Sequence[Region], first: int, last: int, longest_s: float) -> Iterator[tuple[int, int]]:
    start_s, end_s = spans[first][0], spans[last - 1][1]
    if last - first == 1 or end_s - start_s <= longest_s:
        yield first, last
        return
    middle_s, quarter_s = (start_s + end_s) / 2, (end_s - start_s) / 4
    gaps = [(spans[n][0] - spans[n - 1][1], (spans[n][0] + spans[n - 1][1]) / 2, n) for n in range(first + 1, last)]
    central = [gap for gap in gaps if abs(gap[1] - middle_s) <= quarter_s]
    _, _, at = max(central) if central else min(gaps, key=lambda gap: abs(gap[1] - middle_s))
    yield from _short(spans, first, at, longest_s)
    yield from _short(spans, at, last, longest_s)


def _divided(sound: Recording, region: Region, longest_s: float) -> list[Region]:
    """Return a region without a pause in pieces of at most ``longest_s``, cut at its quietest places."""
    start_s, end_s = region
    levels = _levels(sound, region)
    edges = [0, *_quietest(levels, 0, len(levels), round(longest_s * _RATE_HZ / _FRAME)), len(levels)]
    times = [start_s + edge * _FRAME / _RATE_HZ for edge in edges[:-1]]
    return list(pairwise([*times, end_s]))


def _quietest(levels: npt.NDArray[np.float64], first: int, last: int, longest: int) -> Iterator[int]:
    if last - first <= longest:
        return
    quarter = (last - first) // 4
    at = first + quarter + int(np.argmin(levels[first + quarter : last - quarter]))
    yield from _quietest(levels, first, at, longest)
    yield at
    yield from _quietest(levels, at, last, longest)


def _levels(sound: Recording, region: Region) -> npt.NDArray[np.float64]:
    """Return the energy around each 10 ms of a region; the sound is read in blocks."""
    energies: list[npt.NDArray[np.float64]] = []
    rest = np.zeros(0, np.float32)
    for block in audio_blocks(sound, _RATE_HZ, *region):
        joined = np.concatenate([rest, block])
        whole = len(joined) - len(joined) % _FRAME
        energies.append(np.square(joined[:whole].reshape(-1, _FRAME), dtype=np.float64).sum(axis=1))
        rest = joined[whole:]
    return np.convolve(np.concatenate(energies), np.ones(_QUIET_FRAMES), "same")
