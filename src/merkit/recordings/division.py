"""How a recording becomes utterances: by its transcript, by recognised words, by pauses, or as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.core.phrases import number_of
from merkit.core.waveform import Waveform
from merkit.data.media.audio import Recording
from merkit.recordings.channels import assign_channels
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.recognise import recognise, to_lines
from merkit.recordings.transcripts import Line
from merkit.recordings.utterances import LONGEST_S, PAUSE_S, speech_lines


@dataclass(frozen=True)
class Division:
    """The utterances of a recording in order, each with the sound that it is read from."""

    lines: Sequence[tuple[Line, Recording]]
    has_words: bool
    """Whether a transcript or a recogniser gave words or at least times."""
    notes: Sequence[str] = ()


def divide(
    recording: Path | Waveform,
    lines: Sequence[Line] | None,
    channels: str,
    *,
    engine: Engine | None = None,
    at_pauses: bool = False,
    name: str = "waveform",
) -> Division:
    """Return the utterances of a recording.

    Args:
        recording: A file or a waveform.
        lines: Those of its transcript; ``None``: there is none.
        channels: How the channels are read; see `assign_channels`.
        engine: Recognises words where there is no transcript.
        at_pauses: Without words, whether speech is cut at its pauses; else each channel is one utterance.
        name: What a recording in memory is called.

    Raises:
        MerkitError: As `assign_channels` and `recognise`.
    """
    if lines is not None:
        return Division(assign_channels(recording, lines, channels), True)
    wholes = assign_channels(recording, None, channels)
    notes: list[str] = []
    if engine is not None:
        found = recognise(engine, recording, channels=channels, name=name)
        notes += found.word_notes
        sounds = {whole.speaker: sound for whole, sound in wholes}
        if found.lines:
            return Division([(line, sounds[line.speaker]) for line in to_lines(found)], True, notes)
    if at_pauses:
        spoken = [(line, sound) for whole, sound in wholes for line in speech_lines(whole, sound)]
        if spoken:
            spoken.sort(key=lambda each: each[0].start_s or 0.0)
            count = number_of(len(spoken), "utterance")
            notes.append(
                f"Without times of words the speech was cut at pauses of {PAUSE_S:g} s, into {count} of at most "
                f"{LONGEST_S:g} s; one speaker per channel is assumed."
            )
            return Division(spoken, False, notes)
    return Division(wholes, False, notes)
