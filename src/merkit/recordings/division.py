"""The road from a recording to its utterances: channels, speech, speakers, words, and where utterances are cut.

Every stage has a file of its own, says in one sentence what it did, and hands on to the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.core.phrases import listed, number_of
from merkit.core.waveform import Waveform
from merkit.data.media.audio import Recording, duration_s
from merkit.recordings.channels import assign_channels, choose_channels
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.recognise import recognise_sounds
from merkit.recordings.speakers.turns import joined_turns, read_turns, spoken_lines, with_speakers, within
from merkit.recordings.speech import Region, has_enough, speech_regions
from merkit.recordings.transcripts import Line
from merkit.recordings.transcripts.lines import PAUSE_S as WORD_PAUSE_S
from merkit.recordings.transcripts.lines import start_of
from merkit.recordings.utterances import LONGEST_S, PAUSE_S, stretches_of

_WHOLE = Line(None, None, "", None)
_ONE_SPEAKER = "One speaker is assumed: RTTM, a transcript or a table tells several apart (--speakers-file)."
_NAMED = 6
"""How many names a sentence has."""


@dataclass(frozen=True)
class Division:
    """The utterances of a recording in order, each with the sound that it is read from."""

    lines: Sequence[tuple[Line, Recording]]
    stages: Mapping[str, str]
    """What the stages ``channels``, ``speakers``, ``words`` and ``utterances`` did, and ``speech`` if it is known."""
    has_words: bool = False
    """Whether a transcript or a recogniser gave words or at least times."""
    is_speech: bool = False
    """Whether the utterances were cut out of regions with speech."""
    notes: Sequence[str] = ()


def divide(
    recording: Path | Waveform,
    lines: Sequence[Line] | None,
    options: RecordingOptions = DEFAULT_OPTIONS,
    *,
    engine: Engine | None = None,
    always_cut: bool = False,
    name: str = "waveform",
) -> Division:
    """Return the utterances of a recording.

    They are the lines of a transcript, or those of the words that ``engine`` recognises, or else stretches of speech
    that end at a change of speaker or a pause. A recording of one speaker that is no longer than an utterance may be
    stays whole.

    Args:
        recording: A file or a waveform.
        lines: Those of its transcript; ``None``: there is none.
        options: How it is read.
        engine: Recognises words where there is no transcript.
        always_cut: Whether a short recording is cut at its pauses too.
        name: What a recording in memory is called.

    Raises:
        MerkitError: The recording or a file of the options cannot be read, or its channels are not as named.
    """
    length_s = duration_s(recording)
    stem = recording.stem if isinstance(recording, Path) else name
    has_words = lines is not None
    if lines is not None and all(line == _WHOLE for line in lines):  # a transcript without words and times
        lines, engine = None, None
    turns: list[Line] = []
    notes: Sequence[str] = ()
    if options.speakers_file is not None:
        turns, notes = read_turns(options.speakers_file, stem, length_s)
    timed = lines is None or all(line.start_s is not None for line in lines)
    choice = choose_channels(recording, options.channels, can_split=timed)
    named_by = f"'{options.speakers_file}'" if turns else "the transcript"
    if lines is not None:
        assigned = assign_channels(recording, with_speakers(lines, turns) if timed else lines, choice.how)
        stages = {
            "channels": choice.sentence,
            "speakers": _speakers_named([line for line, _ in assigned], named_by),
            "words": _words_of_lines(lines),
            "utterances": f"{number_of(len(lines), 'line')} of the transcript.",
        }
        return Division(assigned, stages, has_words=True, notes=notes)
    wholes = assign_channels(recording, None, choice.how)
    spoken = assign_channels(recording, joined_turns(turns, PAUSE_S), choice.how) if turns else wholes
    stages = {
        "channels": choice.sentence,
        "speakers": _speakers_named(turns, named_by) if turns else _one_each(wholes),
        "words": "None: there is no transcript, and no recogniser (--asr).",
        "utterances": "The whole recording.",
    }
    if engine is not None:
        found = recognise_sounds(engine, recording, wholes, name=name)
        first, *others = found.notes
        stages["words"] = _sentence(first)
        notes = [*notes, *others]
        if found.lines:
            sounds = {whole.speaker: sound for whole, sound in wholes}
            own = [(line, sounds[each.speaker]) for each in found.lines for line in spoken_lines([each], turns)]
            stages["utterances"] = _ends(
                len(own), "recognised line", f"a change of speaker, a pause of {WORD_PAUSE_S:g} s"
            )
            return Division(own, stages, has_words=True, notes=notes)
    if options.speech_check and (always_cut or turns or length_s > LONGEST_S):
        regions = {sound: speech_regions(sound) for _, sound in wholes}
        if any(has_enough(found, length_s) for found in regions.values()):
            cut = _cut(spoken, regions, length_s)
            stages["speech"] = _speech(regions, length_s)
            stages["utterances"] = _ends(
                len(cut), "piece", f"a change of speaker, a pause of {PAUSE_S:g} s", " of speech"
            )
            return Division(cut, stages, has_words, is_speech=True, notes=notes)
    return Division(wholes, stages, has_words, notes=notes)


def _cut(
    spoken: Sequence[tuple[Line, Recording]], regions: Mapping[Recording, Sequence[Region]], length_s: float
) -> list[tuple[Line, Recording]]:
    """Return the stretches of speech of each turn, in order of time."""
    cut = [
        (replace(turn, start_s=first_s, end_s=last_s), sound)
        for turn, sound in spoken
        for first_s, last_s in stretches_of(
            sound,
            within(regions[sound], start_of(turn), length_s if turn.end_s is None else turn.end_s),
            pause_s=PAUSE_S,
            longest_s=LONGEST_S,
        )
    ]
    return sorted(cut, key=lambda each: start_of(each[0]))


def _speakers_named(lines: Sequence[Line], by: str) -> str:
    names = sorted({line.speaker for line in lines if line.speaker})
    if not names:
        return "One speaker is assumed: the transcript names none."
    return f"Named by {by}: {listed(names, _NAMED)}."


def _words_of_lines(lines: Sequence[Line]) -> str:
    if any(line.text is not None for line in lines):
        return "Those of the transcript."
    return "None: the transcript has none."


def _one_each(wholes: Sequence[tuple[Line, Recording]]) -> str:
    names = [whole.speaker for whole, _ in wholes]
    return f"One for each channel: {', '.join(names)}." if len(names) > 1 else _ONE_SPEAKER


def _sentence(note: str) -> str:
    """Return a note on words as a sentence of its own."""
    words = note.partition(": ")[2]
    return words[:1].upper() + words[1:]


def _ends(count: int, what: str, where: str, of: str = "") -> str:
    return f"{number_of(count, what)}{of}: each ends at {where}, or after {LONGEST_S:g} s."


def _speech(regions: Mapping[Recording, Sequence[Region]], length_s: float) -> str:
    seconds = " and ".join(f"{sum(last - first for first, last in found):.1f} s" for found in regions.values())
    where = f"on the {number_of(len(regions), 'channel')}, " if len(regions) > 1 else ""
    return f"Silero VAD found {seconds} of speech {where}in {length_s:.1f} s."
