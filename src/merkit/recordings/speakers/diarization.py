"""Who speaks when on one channel, for a number of speakers that a user names: embeddings and clustering.

The number is never guessed: two voices of one sex in different moods are as far apart as two speakers, so that a
monologue looks like a conversation (docs/start/speakers.md).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MerkitError
from merkit.data.media.audio import Recording
from merkit.recordings.options import RecordingOptions
from merkit.recordings.speakers import ge2e
from merkit.recordings.speakers.clustering import speaker_sequence
from merkit.recordings.speech import Region
from merkit.recordings.transcripts import Line

_ERRORS = {(True, False): (14, 19, 22), (True, True): (13, 21, 22), (False, False): (23, 33, 34)}
"""Per cent of speech with the wrong speaker or none by two speakers or more, and marks: clean, telephone, room."""
_NEIGHBOURS = (0.25, 0.5, 0.25)
"""Weights of an embedding and those before and after it."""


def diarize(
    sound: Recording, regions: Sequence[Region], count: int, marks: Mapping[str, Region] | None = None
) -> list[Line]:
    """Return the turns of a recording: every region of speech with one speaker or several after each other.

    Args:
        sound: The recording.
        regions: Its speech, in order of time.
        count: How many speakers there are.
        marks: By the name of each speaker, where that one alone is heard for a few seconds; empty: the speakers are
            called ``speaker 1``, … in the order in which they first speak.

    Raises:
        MerkitError: The recording cannot be read, has too little speech, or none where a speaker is marked; or the
            weights are not installed.
    """
    centres = _centres(regions)
    if len(centres) < count:
        raise MerkitError(
            f"'{sound}' has too little speech for the diarization of {count} speakers: leave out --speakers"
        )
    vectors = _smoothed(ge2e.embeddings(sound, centres), centres)
    starts = None if not marks else np.stack([_mean_within(vectors, centres, *mark) for mark in marks.items()])
    labels = speaker_sequence(vectors, count, starts)
    names = list(marks) if marks else [f"speaker {number + 1}" for number in range(count)]
    return [turn for region in regions for turn in _turns(region, centres, labels, names)]


def describe_error(options: RecordingOptions) -> str:
    """Return how much speech is given to the wrong speaker, as measured on made-up conversations."""
    two = options.count == 2
    clean, telephone, room = _ERRORS[two, two and bool(options.marks)]
    speakers = "two" if two else "three or four"
    return (
        f"in made-up conversations of {speakers} {clean} % of the speech had the wrong speaker or none ({telephone} % "
        f"through a telephone, {room} % in a room)"
    )


def _centres(regions: Sequence[Region]) -> list[int]:
    """Return the moments whose neighbourhood has at least as much speech as not."""
    half_s = ge2e.STEP_S
    last_s = regions[-1][1] if regions else 0.0
    grid = np.arange(int(last_s / ge2e.STEP_S) + 1)
    speech_s = np.zeros(len(grid))
    for start_s, end_s in regions:
        near = grid[max(0, int((start_s - half_s) / ge2e.STEP_S)) : int((end_s + half_s) / ge2e.STEP_S) + 1]
        times = near * ge2e.STEP_S
        speech_s[near] += np.maximum(np.minimum(times + half_s, end_s) - np.maximum(times - half_s, start_s), 0.0)
    return [int(n) for n in grid[speech_s >= half_s]]


def _smoothed(vectors: ge2e.Embeddings, centres: Sequence[int]) -> ge2e.Embeddings:
    """Return each embedding averaged with those a step before and after it, where there are some, at unit length."""
    places = {centre: number for number, centre in enumerate(centres)}
    smooth = np.zeros_like(vectors)
    for number, centre in enumerate(centres):
        for offset, weight in zip((-1, 0, 1), _NEIGHBOURS, strict=True):
            if (place := places.get(centre + offset)) is not None:
                smooth[number] += weight * vectors[place]
    return np.asarray(smooth / np.linalg.norm(smooth, axis=1, keepdims=True))


def _mean_within(vectors: ge2e.Embeddings, centres: Sequence[int], name: str, mark: Region) -> npt.NDArray[np.float32]:
    inside = [n for n, centre in enumerate(centres) if mark[0] <= centre * ge2e.STEP_S <= mark[1]]
    if not inside:
        raise MerkitError(f"No speech from {mark[0]:g} to {mark[1]:g} s, where '{name}' is marked: mark another place")
    return np.asarray(vectors[inside].mean(axis=0))


def _turns(region: Region, centres: Sequence[int], labels: npt.NDArray[np.int64], names: Sequence[str]) -> list[Line]:
    """Return the turns of a region: the speaker changes half-way between two moments of different speakers."""
    start_s, end_s = region
    times = np.asarray(centres) * ge2e.STEP_S
    first, last = np.searchsorted(times, [start_s, end_s])
    if first == last:  # too short for a moment of its own: the nearest one's
        near = [n for n in (first - 1, first) if 0 <= n < len(times)]
        nearest = min(near, key=lambda n: abs(times[n] - (start_s + end_s) / 2))
        return [Line(start_s, end_s, names[labels[nearest]], None)]
    changes = [n for n in range(first + 1, last) if labels[n] != labels[n - 1]]
    edges = [start_s, *((times[n - 1] + times[n]) / 2 for n in changes), end_s]
    speakers = [labels[n] for n in (first, *changes)]
    return [
        Line(float(begin), float(end), names[speaker], None)
        for (begin, end), speaker in zip(pairwise(edges), speakers, strict=True)
    ]
