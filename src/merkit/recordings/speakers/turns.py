"""Turns: who speaks when, from a file, and what follows for words and stretches of speech."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.recordings.recognition.recognise import RecognisedLine
from merkit.recordings.speech import Region
from merkit.recordings.transcripts import Line, Transcript, fit_lines, read_transcript, spoken_text
from merkit.recordings.transcripts.lines import end_of, start_of

NEAR_S = 0.5
"""Words and lines outside all turns are those of the nearest one within this; recognisers and annotators round."""


def read_turns(path: Path, recording: str, length_s: float) -> tuple[list[Line], tuple[str, ...]]:
    """Return the turns of a recording in order of time, without words, and notes on what was cut or left out.

    Args:
        path: RTTM, a transcript in any format, or a table with start, end and speaker.
        recording: The recording's name, by which a file of several recordings has its turns.
        length_s: The recording's length.

    Raises:
        MerkitError: The file cannot be read, does not fit the recording, or has turns without times or speakers.
    """
    fitted = fit_lines(read_transcript(path, recording), length_s)
    for line in fitted.lines:
        if line.start_s is None or not line.speaker:
            place = f", {line.place}" if line.place else ""
            lacking = "times" if line.start_s is None else "speaker"
            raise MerkitError(f"'{path}'{place}: no {lacking}, expected start, end and speaker of each turn")
    turns = [replace(line, text=None, end_s=length_s if line.end_s is None else line.end_s) for line in fitted.lines]
    return turns, notes_on_turns(fitted)


def notes_on_turns(fitted: Transcript) -> tuple[str, ...]:
    """Return the notes of a transcript of turns; that it has no words is no mistake."""
    return tuple(note for note in fitted.notes if "there are no words" not in note)


def speaker_at(turns: Sequence[Line], start_s: float, end_s: float) -> str:
    """Return who speaks most of a time span; ``""`` where nobody does within ``NEAR_S``."""
    shared: dict[str, float] = {}
    nearest, speaker = NEAR_S, ""
    for turn in turns:
        overlap = min(end_s, end_of(turn)) - max(start_s, start_of(turn))
        if overlap > 0:
            shared[turn.speaker] = shared.get(turn.speaker, 0.0) + overlap
        elif -overlap <= nearest:
            nearest, speaker = -overlap, turn.speaker
    return max(shared, key=shared.__getitem__) if shared else speaker


def with_speakers(lines: Iterable[Line], turns: Sequence[Line]) -> list[Line]:
    """Return lines with the speakers of the turns; a line that is nobody's keeps its own."""
    return [replace(line, speaker=speaker_at(turns, start_of(line), end_of(line)) or line.speaker) for line in lines]


def spoken_lines(lines: Iterable[RecognisedLine], turns: Sequence[Line]) -> list[Line]:
    """Return recognised lines with the speakers of the turns: a line ends where the speaker of its words changes."""
    spoken: list[Line] = []
    for line in lines:
        whole = Line(line.start_s, line.end_s, line.speaker, line.text)
        own = [(speaker_at(turns, word.start_s, word.end_s) or line.speaker, word) for word in line.words]
        if len({speaker for speaker, _ in own}) < 2:
            spoken += with_speakers([whole], turns)
            continue
        for speaker, group in groupby(own, key=lambda each: each[0]):
            words = [word for _, word in group]
            text = spoken_text(" ".join(word.text for word in words))
            spoken.append(Line(words[0].start_s, max(word.end_s for word in words), speaker, text))
    return spoken


def joined_turns(turns: Sequence[Line], pause_s: float) -> list[Line]:
    """Return the turns with those of one speaker joined that follow each other with less than ``pause_s`` between."""
    joined: list[Line] = []
    for turn in sorted(turns, key=start_of):
        last = joined[-1] if joined else None
        if last is not None and last.speaker == turn.speaker and start_of(turn) - end_of(last) < pause_s:
            joined[-1] = replace(last, end_s=max(end_of(last), end_of(turn)))
        else:
            joined.append(turn)
    return joined


def within(regions: Iterable[Region], start_s: float, end_s: float) -> list[Region]:
    """Return what of the regions lies within a time span."""
    cut = ((max(first, start_s), min(last, end_s)) for first, last in regions)
    return [(first, last) for first, last in cut if last > first]
