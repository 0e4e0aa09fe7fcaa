"""From a recording to its utterances: channels, speech, speakers, words, and where utterances are cut.

Every stage has a file of its own, says in one sentence what it did, and hands on to the next.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.core.errors import ConfigError
from merkit.core.language import language_code
from merkit.core.phrases import number_of
from merkit.core.progress import ProgressCallback
from merkit.core.waveform import Channel, Whole
from merkit.data.media.audio import Recording, duration_s
from merkit.recordings.channels import assign_channels, choose_channels
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.recognise import recognise_sounds
from merkit.recordings.speakers.pipelines import Diarization
from merkit.recordings.speakers.stage import find_speakers, in_order, without_speakers
from merkit.recordings.speakers.turns import NEAR_S, spoken_lines, with_speakers, within
from merkit.recordings.speech import Region, has_enough, minus, speech_regions
from merkit.recordings.transcripts import Line
from merkit.recordings.transcripts.lines import PAUSE_S as WORD_PAUSE_S
from merkit.recordings.transcripts.lines import start_of
from merkit.recordings.unfinished import Unfinished, in_memory
from merkit.recordings.utterances import LONGEST_S, PAUSE_S, stretches_of

_WHOLE = Line(None, None, "", None)
_NO_WORDS = "None: there is no transcript, and no recogniser (--asr)."
_EMPTY = "None: the transcript has none."


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
    language: str | None = None
    """The code of the language of the words; ``None``: not known."""


def divide(
    recording: Whole,
    lines: Sequence[Line] | None,
    options: RecordingOptions = DEFAULT_OPTIONS,
    *,
    engine: Engine | None = None,
    language: str | None = None,
    diarization: Diarization | None = None,
    always_cut: bool = False,
    name: str = "waveform",
    progress: ProgressCallback | None = None,
    work: Unfinished | None = None,
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
        language: The code that the transcript states, if it does; the options' takes its place.
        diarization: The user's, which says who speaks when.
        always_cut: Whether a short recording is cut at its pauses too.
        name: What a recording in memory is called.
        progress: Called as the recording is heard.
        work: Keeps what is finished; ``None``: nothing is kept.

    Raises:
        MerkitError: The recording or a file of the options cannot be read, or its channels are not as named.
    """
    length_s = duration_s(recording)
    parts = work or in_memory(length_s)
    stem = recording.stem if isinstance(recording, Path) else name
    given = language_code(options.language)
    if diarization is not None and (options.marks or options.speakers_file is not None):
        raise ConfigError("diarization says who speaks: leave out marks and speakers_file")
    has_words = lines is not None
    if lines is not None and all(line == _WHOLE for line in lines):  # a transcript without words and times
        lines, engine = None, None
    choice = choose_channels(recording, options.channels, mix_because=_why_mixed(lines, options, diarization))
    wholes = assign_channels(recording, None, choice.how)
    regions: dict[Recording, Sequence[Region]] = {}

    def hear(sound: Recording) -> Sequence[Region]:
        """Return the speech of a sound; none where there is no more than in music."""
        if sound not in regions:
            number = sound.number if isinstance(sound, Channel) else None
            found = parts.once("speech", number, lambda: speech_regions(sound, seconds=done))
            regions[sound] = [(first_s, last_s) for first_s, last_s in found] if has_enough(found, length_s) else ()
        return regions[sound]

    def done(seconds: int) -> None:
        if progress is not None:
            progress(f"speech of {stem}", seconds, math.ceil(length_s), f"{seconds} of {length_s:.0f} s heard")

    who = find_speakers(stem, lines, wholes, options, length_s, hear, parts, diarization)
    turns, notes = who.turns, list(who.notes)
    if lines is not None:
        named = with_speakers(lines, turns) if turns and lines[0].start_s is not None else lines
        spoken = assign_channels(recording, named, choice.how)
    else:
        spoken = assign_channels(recording, turns, choice.how) if turns else wholes
    of_lines = assign_channels(recording, turns, choice.how) if lines is not None and turns else ()
    kept = without_speakers(spoken, options.exclude_speakers, length_s, of_lines)
    notes += kept.notes
    excluded = number_of(len(options.exclude_speakers), "speaker")
    left_out = f" {excluded} excluded: neither read nor kept." if options.exclude_speakers else ""
    stages = {
        "channels": choice.sentence,
        "speakers": f"{who.sentence}{left_out}",
        "words": _EMPTY if has_words else _NO_WORDS,
    }
    if lines is not None:
        stages["words"] = _words_of_lines(lines, given, language)
        stages["utterances"] = f"{number_of(len(kept.spoken), 'line')} of the transcript."
        return Division(kept.spoken, stages, has_words, notes=notes, language=given or language)
    if engine is not None:
        sounds = wholes if turns else kept.spoken
        found = recognise_sounds(
            engine,
            recording,
            sounds,
            without=kept.away,
            language=given,
            name=name,
            progress=progress,
            work=None if options.redact else parts,
        )
        first, *others = found.notes
        stages["words"] = _sentence(first)
        notes += others
        if found.lines:
            by_name = {whole.speaker: sound for whole, sound in wholes}
            own = [(line, by_name[each.speaker]) for each in found.lines for line in spoken_lines([each], turns)]
            own = in_order((line, sound) for line, sound in own if line.speaker not in options.exclude_speakers)
            ends = f"a change of speaker, a pause of {WORD_PAUSE_S:g} s"
            stages["utterances"] = _ends(len(own), "recognised line", ends)
            return Division(own, stages, True, notes=notes, language=found.language)
    is_cut = options.speech_check and (always_cut or turns or length_s > LONGEST_S)
    heard = [hear(sound) for _, sound in kept.spoken] if is_cut else []
    if any(heard):
        longest_s = LONGEST_S if options.window_s is None else math.inf
        cut = _cut(kept.spoken, regions, length_s, longest_s)
        ends = f"a change of speaker, a pause of {PAUSE_S:g} s"
        stages["speech"] = _speech(regions, length_s)
        notes += _outside(regions, spoken, length_s) if turns else ()
        stages["utterances"] = _ends(len(cut), "piece", ends, " of speech", longest_s)
        return Division(cut, stages, has_words, is_speech=True, notes=notes)
    stages["utterances"] = f"{number_of(len(kept.spoken), 'turn')}." if turns else "The whole recording."
    return Division(kept.spoken, stages, has_words, notes=notes)


def _why_mixed(lines: Sequence[Line] | None, options: RecordingOptions, diarization: Diarization | None) -> str | None:
    """Return why channels that differ cannot be a speaker each; ``None``: they can."""
    if lines is not None and any(line.start_s is None for line in lines):
        return "the words have no times"
    if diarization is not None:
        return "a diarization is given"
    if options.marks:
        return "speakers are marked"
    return None if options.count in (None, 2) else f"--speakers {options.count} is given"


def _cut(
    spoken: Sequence[tuple[Line, Recording]],
    regions: Mapping[Recording, Sequence[Region]],
    length_s: float,
    longest_s: float,
) -> list[tuple[Line, Recording]]:
    """Return the stretches of speech of each turn, in order of time."""
    cut = [
        (replace(turn, start_s=first_s, end_s=last_s), sound)
        for turn, sound in spoken
        for first_s, last_s in stretches_of(
            sound,
            within(regions[sound], start_of(turn), length_s if turn.end_s is None else turn.end_s),
            pause_s=PAUSE_S,
            longest_s=longest_s,
        )
    ]
    return in_order(cut)


def _words_of_lines(lines: Sequence[Line], given: str | None, stated: str | None) -> str:
    if all(line.text is None for line in lines):
        return _EMPTY
    if given or stated:
        return f"Those of the transcript; language {given or stated} ({'as given' if given else 'as it says'})."
    return "Those of the transcript."


def _sentence(note: str) -> str:
    """Return a note on words as a sentence of its own."""
    words = note.partition(": ")[2]
    return words[:1].upper() + words[1:]


def _ends(count: int, what: str, where: str, of: str = "", longest_s: float = LONGEST_S) -> str:
    after = "" if longest_s == math.inf else f", or after {longest_s:g} s"
    return f"{number_of(count, what)}{of}: each ends at {where}{after}."


def _outside(
    regions: Mapping[Recording, Sequence[Region]], turns: Sequence[tuple[Line, Recording]], length_s: float
) -> list[str]:
    """Return a note on speech in no turn; turns and speech that begin or end a little apart are the same."""
    by_sound: dict[Recording, list[Region]] = {}
    for turn, sound in turns:
        by_sound.setdefault(sound, []).append((start_of(turn), length_s if turn.end_s is None else turn.end_s))
    seconds = sum(
        last_s - first_s
        for sound, found in regions.items()
        for region in found
        for first_s, last_s in minus(region, by_sound.get(sound, ()), NEAR_S)
    )
    return [f"Left out: {seconds:.1f} s of speech, which no turn has."] if seconds else []


def _speech(regions: Mapping[Recording, Sequence[Region]], length_s: float) -> str:
    seconds = " and ".join(f"{sum(last - first for first, last in found):.1f} s" for found in regions.values())
    where = f"on the {number_of(len(regions), 'channel')}, " if len(regions) > 1 else ""
    return f"Silero VAD found {seconds} of speech {where}in {length_s:.1f} s."
