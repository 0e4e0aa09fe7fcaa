"""Where a recording has speech, and why an utterance's sound says nothing to a model.

A model predicts a label for every sound: for silence, noise and music too, often a confident one. So the sound of a
recording is checked before it is read. The check is no part of a model: a corpus is read as it is.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MediaError
from merkit.core.phrases import number_of
from merkit.core.types import Turn, Utterance, turns_of
from merkit.core.waveform import Channel
from merkit.data.media.audio import Recording, audio_blocks, channel_blocks, duration_s
from merkit.recordings import silero
from merkit.timeline.reasons import CHANNELS_CANCEL, NO_SPEECH, NO_WORDS

_ADVICE = {
    NO_SPEECH: " was found in the sound; a model of other sounds is used with --no-speech-check (speech_check=False)",
    CHANNELS_CANCEL: " out in their mean, which is read; read one of them with --channels left (channels='left')",
    NO_WORDS: ", which are all that is read",
}

Region = tuple[float, float]
"""Start and end in seconds."""

_WINDOW = 60 * silero.RATE_HZ
"""Samples that are brought to one level: bounds memory, and lets a quiet passage be heard beside a loud one."""
_LEVEL = 0.1
"""The RMS that the loudest half second of a window is brought to (-20 dB): the network hears quiet speech less."""
_MOST_GAIN = 100.0
"""40 dB. More would make the other speaker heard on a channel that picks that speaker up faintly."""
HALF_SECOND = silero.RATE_HZ // 2
"""In samples."""

_LARGEST_GAP_S = 0.15
"""Regions with less between them are one."""
_CANCELLED = 0.01
"""Channels cancel where their mean has less than this share (-20 dB) of their mean energy."""

# Chosen on 600 clips of four corpora, of which none is refused as it is, and on noise, tones and chords:
# benchmarks/speech_check.py, docs/start/your-recordings.md.
ON, OFF = 0.4, 0.25
"""Speech begins with the first probability of ``ON`` and ends before the next one below ``OFF``."""
SHORTEST_S = 0.06
"""Shorter regions are left out."""


def speech_regions(
    recording: Recording,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    on: float = ON,
    off: float = OFF,
    shortest_s: float = SHORTEST_S,
    seconds: Callable[[int], object] | None = None,
) -> list[Region]:
    """Return the regions of a recording, or of an interval of it, that have speech; the sound is read in blocks.

    Times are the recording's. The mean of all channels is read. ``seconds`` is called with those that are done.

    Raises:
        MerkitError: The recording cannot be read, or the speech detector is not installed.
    """
    begin_s = start_s or 0.0
    pieces: list[Region] = []
    for number, window in enumerate(_windows(audio_blocks(recording, silero.RATE_HZ, start_s, end_s))):
        if seconds is not None:
            seconds(number * _WINDOW // silero.RATE_HZ)
        if not window.any():  # hours of digital silence need no network
            continue
        at_s = begin_s + number * _WINDOW / silero.RATE_HZ
        found = silero.probabilities([window * _gain(window)])
        last_s = at_s + len(window) / silero.RATE_HZ
        pieces += [
            (at_s + first * silero.FRAME_S, min(at_s + last * silero.FRAME_S, last_s))
            for first, last in _above(found, on, off)
        ]
    return [(first, last) for first, last in _joined(pieces) if last - first >= shortest_s]


def has_speech(recording: Recording, start_s: float | None = None, end_s: float | None = None) -> bool:
    """Return whether a recording, or an interval of it, has more speech than the detector finds in music.

    That is a twentieth of it or a second, whichever is less, and a hundredth of a long recording.

    Raises:
        MerkitError: The recording cannot be read, or the speech detector is not installed.
    """
    length_s = (duration_s(recording) if end_s is None else end_s) - (start_s or 0.0)
    return has_enough(speech_regions(recording, start_s, end_s), length_s)


def has_enough(regions: Iterable[Region], length_s: float) -> bool:
    """Return whether regions of sound of this length are more than the detector finds in music; see `has_speech`."""
    needed_s = max(SHORTEST_S, min(0.05 * length_s, 1.0), 0.01 * length_s)
    return sum(last - first for first, last in regions) >= needed_s


def minus(region: Region, away: Iterable[Region], shortest_s: float = SHORTEST_S) -> list[Region]:
    """Return what is left of a time span without others, in order; parts below ``shortest_s`` are left out.

    >>> minus((0.0, 5.0), [(1.0, 2.0), (4.5, 9.0)])
    [(0.0, 1.0), (2.0, 4.5)]
    """
    parts, start_s = [], region[0]
    for first_s, last_s in sorted(away):
        if first_s - start_s >= shortest_s:
            parts.append((start_s, min(first_s, region[1])))
        start_s = max(start_s, last_s)
    parts.append((start_s, region[1]))
    return [(first_s, last_s) for first_s, last_s in parts if last_s - first_s >= shortest_s]


def without_unheard(utterances: Sequence[Utterance]) -> tuple[list[Utterance], dict[str, str]]:
    """Return the utterances of a recording without sound that has no speech, and why each of these says nothing.

    Raises:
        MerkitError: The recording cannot be read, or the speech detector is not installed.
    """
    unheard: dict[str, str] = {}
    for turn in turns_of(utterances, Path()):
        try:
            reason = _why_unheard(turn)
        except MediaError as error:
            raise MediaError(f"Utterance '{turn.utterance.id}': {error}") from error
        if reason is not None:
            unheard[turn.utterance.id] = reason
    return [replace(u, audio=None) if u.id in unheard else u for u in utterances], unheard


def describe_unheard(unheard: Mapping[str, str], unlabelled: Collection[str], total: int) -> list[str]:
    """Return notes that count the utterances that say nothing by sound or words, by what became of them."""
    notes = []
    for reason in (NO_SPEECH, CHANNELS_CANCEL, NO_WORDS):
        names = [name for name, why in unheard.items() if why == reason]
        without = sum(name in unlabelled for name in names)
        if without:
            what = "It has no label" if total == 1 else f"{without} of {total} utterances have no label"
            notes.append(f"{what}: {reason}{_ADVICE[reason]}.")
        if len(names) > without:
            what = "It is" if total == 1 else f"{len(names) - without} of {total} utterances are"
            notes.append(f"{what} labelled from words alone: {reason}{_ADVICE[reason]}.")
    return notes


def describe_check(checked: bool, unheard: Collection[str], total: int) -> str:
    """Return what the check of single utterances found, as a sentence."""
    if not checked:
        return "Not looked for: all sound is read that the model reads."
    return f"Silero VAD found speech in {total - len(unheard)} of {number_of(total, 'utterance')}."


def _why_unheard(turn: Turn) -> str | None:
    """Return why the sound of a turn says nothing; ``None``: it has speech."""
    recording, utterance = turn.recording, turn.utterance
    if recording is None:
        return None
    if _channels_cancel(recording, utterance.start_s, utterance.end_s):
        return CHANNELS_CANCEL
    return None if has_speech(recording, utterance.start_s, utterance.end_s) else NO_SPEECH


def _windows(blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples in windows of ``_WINDOW``; the last one is shorter."""
    waiting: list[npt.NDArray[np.float32]] = []
    count = 0
    for block in blocks:
        while count + len(block) >= _WINDOW:
            room = _WINDOW - count
            yield np.concatenate([*waiting, block[:room]])
            waiting, count, block = [], 0, block[room:]
        waiting.append(block)
        count += len(block)
    if count:
        yield np.concatenate(waiting)


def _gain(window: npt.NDArray[np.float32]) -> np.float32:
    """Return what a window is multiplied by, so that its loudest half second has the level that the network expects."""
    pieces = np.pad(window, (0, -len(window) % HALF_SECOND)).reshape(-1, HALF_SECOND)
    return gain_of(float(np.square(pieces, dtype=np.float64).mean(axis=1).max()))


def gain_of(loudest: float) -> np.float32:
    """Return the gain of sound whose loudest half second has this mean square."""
    return np.float32(min(_LEVEL / math.sqrt(loudest), _MOST_GAIN) if loudest else 1.0)


def _above(probabilities: npt.NDArray[np.float32], on: float, off: float) -> list[tuple[int, int]]:
    """Return first and one-past-last number of each run that begins at ``on`` and ends before a value below ``off``."""
    runs: list[tuple[int, int]] = []
    first: int | None = None
    for number, value in enumerate(probabilities.tolist()):
        if first is None and value >= on:
            first = number
        elif first is not None and value < off:
            runs.append((first, number))
            first = None
    return runs if first is None else [*runs, (first, len(probabilities))]


def _joined(pieces: Sequence[Region]) -> list[Region]:
    """Return regions in order with those joined that have less than ``_LARGEST_GAP_S`` between them."""
    regions: list[Region] = []
    for start_s, end_s in pieces:
        if regions and start_s - regions[-1][1] < _LARGEST_GAP_S:
            regions[-1] = (regions[-1][0], end_s)
        else:
            regions.append((start_s, end_s))
    return regions


def _channels_cancel(recording: Recording, start_s: float | None, end_s: float | None) -> bool:
    """Return whether the mean of a recording's channels has next to nothing of what is on them."""
    if isinstance(recording, Channel):
        return False
    mean = each = 0.0
    for block in channel_blocks(recording, start_s, end_s):
        if block.shape[1] < 2:
            return False
        mean += float(np.square(block.mean(axis=1), dtype=np.float64).sum())
        each += float(np.square(block, dtype=np.float64).mean(axis=1).sum())
    return mean < _CANCELLED * each
