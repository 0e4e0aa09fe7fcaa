"""The stage of speakers: who speaks when, from the best that is known; the number of speakers is never guessed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace

from merkit.core.errors import MerkitError
from merkit.core.lookup import unknown
from merkit.core.phrases import listed, number_of
from merkit.data.media.audio import Recording
from merkit.recordings.options import RecordingOptions
from merkit.recordings.speakers.diarization import describe_error, diarize
from merkit.recordings.speakers.pipelines import Diarization, name_of, run_diarization
from merkit.recordings.speakers.turns import joined_turns, read_turns, within
from merkit.recordings.speech import Region, minus
from merkit.recordings.transcripts import Line
from merkit.recordings.transcripts.lines import start_of
from merkit.recordings.unfinished import Unfinished
from merkit.recordings.utterances import PAUSE_S

Spoken = tuple[Line, Recording]
"""A line or turn, and the sound that it is read from."""
_ONE = "One speaker is assumed"
_HINT = "a transcript, RTTM or a table (--speakers-file) names several, or --speakers N finds them"
_CHANNELS = "{} channels are read as a speaker each; use --channels mix"
_WITHOUT_TIMES = "the words have no times to be matched with turns"
TOUCHING_S = 0.15
"""Turns of a file are one where less is between them: programs that write such files cut within words."""
_WORD_S = 0.25
"""Turns that reach less into a line of words have no word of it."""
_NAMED = 6
"""How many names a sentence has."""


@dataclass(frozen=True)
class WhoSpeaks:
    """Who speaks when, and where that is from."""

    turns: Sequence[Line]
    """Empty: no more is known than what lines and channels say."""
    sentence: str
    notes: Sequence[str] = ()


def find_speakers(
    name: str,
    lines: Sequence[Line] | None,
    sounds: Sequence[Spoken],
    options: RecordingOptions,
    length_s: float,
    hear: Callable[[Recording], Sequence[Region]],
    work: Unfinished,
    diarization: Diarization | None = None,
) -> WhoSpeaks:
    """Return who speaks when; one speaker where nothing else is known.

    The first of these decides that there is: a file, the user's diarization, the transcript, the channels, and speaker
    diarization for a number of speakers. Words without times belong to no turn: their speaker is
    named by the transcript alone.

    Args:
        name: The recording's name, by which a file of several recordings has its turns.
        lines: Those of the transcript; ``None``: there is none.
        sounds: The recording as one sound, or its channels, each with the speaker.
        options: What the user chose.
        length_s: The recording's length.
        hear: Returns the speech of a sound.
        work: Keeps the turns of speaker diarization.
        diarization: The user's.

    Raises:
        MerkitError: A file cannot be read, or speaker diarization fails.
    """
    if lines is not None and lines[0].start_s is None:
        named = any(line.speaker for line in lines)
        sentence = _named(lines, "the transcript") if named else f"{_ONE}: the transcript names none."
        return WhoSpeaks((), f"{sentence}{_unused(options, diarization, _WITHOUT_TIMES)}")
    if options.speakers_file is not None:
        turns, notes = read_turns(options.speakers_file, name, length_s)
        return WhoSpeaks(joined_turns(turns, TOUCHING_S), _named(turns, f"'{options.speakers_file}'"), notes)
    if diarization is not None:
        if len(sounds) > 1:
            raise MerkitError(f"diarization: {_CHANNELS.format(len(sounds))}")
        found, notes = run_diarization(diarization, sounds[0][1], name, length_s, options.count)
        if not found:
            return WhoSpeaks((), f"{_ONE}: {name_of(diarization)} has no turn.")
        return WhoSpeaks(joined_turns(found, TOUCHING_S), _named(found, name_of(diarization)), notes)
    if lines is not None and any(line.speaker for line in lines):
        unused = _unused(options, diarization, "the transcript comes first")
        return WhoSpeaks((), f"{_named(lines, 'the transcript')}{unused}")
    if len(sounds) > 1:
        if options.count not in (None, len(sounds)):
            raise MerkitError(f"--speakers {options.count}: {_CHANNELS.format(len(sounds))}")
        return WhoSpeaks((), f"One for each channel: {', '.join(whole.speaker for whole, _ in sounds)}.")
    if options.count is not None and options.count > 1:
        ((_, sound),) = sounds
        regions = hear(sound)
        if not regions:
            return WhoSpeaks((), f"{_ONE}: there is no speech for the diarization of {options.count} speakers.")
        count = options.count
        values = work.once("turns", None, lambda: [astuple(x) for x in diarize(sound, regions, count, options.marks)])
        turns = joined_turns([Line(*each) for each in values], PAUSE_S)
        how = " and marked seconds of each" if options.marks else ""
        return WhoSpeaks(
            turns, f"{options.count} by speaker diarization{how}, experimental: {describe_error(options)}."
        )
    return WhoSpeaks((), f"{_ONE}: the transcript names none." if lines is not None else f"{_ONE}; {_HINT}.")


@dataclass(frozen=True)
class Kept:
    """What is left of a recording when speakers are excluded."""

    spoken: Sequence[Spoken]
    away: dict[Recording, list[Region]]
    """By sound where the excluded speakers speak."""
    notes: Sequence[str] = ()


def without_speakers(
    spoken: Sequence[Spoken], excluded: Sequence[str], length_s: float, turns: Sequence[Spoken] = ()
) -> Kept:
    """Return lines or turns in order of time, without those of some speakers, and without what these say meanwhile.

    A turn is divided where an excluded speaker speaks on the same sound; of a line with words the longest part stays.

    Args:
        spoken: Lines or turns.
        excluded: The names of the speakers.
        length_s: The recording's length.
        turns: Those that the speakers of lines are from. A line loses its words where an excluded speaker has a turn
            within it: some of them may be that speaker's.

    Raises:
        MerkitError: There is no such speaker, or nobody else.
    """
    names = sorted({line.speaker for line, _ in (*spoken, *turns) if line.speaker})
    for name in excluded:
        if name not in names:
            raise MerkitError(f"--exclude-speaker: {unknown('speaker', name, names or ['none is named'])}")
    away, of_turns = _regions((*spoken, *turns), excluded, length_s), _regions(turns, excluded, length_s)
    kept: list[Spoken] = []
    silenced = 0
    for line, sound in spoken:
        if line.speaker in excluded:
            continue
        if line.text is not None and _shared_s(line, of_turns.get(sound, ()), length_s) > _WORD_S:
            line, silenced = replace(line, text=None), silenced + 1
        kept += [(part, sound) for part in _parts(line, away.get(sound, ()), length_s)]
    if excluded and not kept:
        raise MerkitError("--exclude-speaker: nobody else speaks, so that nothing is left to analyze")
    notes = [f"Excluded: the words of {number_of(silenced, 'line')}, which that speaker may have said."]
    return Kept(in_order(kept), away, notes if silenced else ())


def in_order(spoken: Iterable[Spoken]) -> list[Spoken]:
    """Return lines or turns in order of time."""
    return sorted(spoken, key=lambda each: start_of(each[0]))


def _regions(spoken: Iterable[Spoken], excluded: Sequence[str], length_s: float) -> dict[Recording, list[Region]]:
    """Return by sound where some speakers speak."""
    regions: dict[Recording, list[Region]] = {}
    for line, sound in spoken:
        if line.speaker in excluded:
            regions.setdefault(sound, []).append(_region(line, length_s))
    return regions


def _region(line: Line, length_s: float) -> Region:
    return start_of(line), length_s if line.end_s is None else line.end_s


def _shared_s(line: Line, regions: Sequence[Region], length_s: float) -> float:
    """Return how long a line and regions overlap at most."""
    return max((last_s - first_s for first_s, last_s in within(regions, *_region(line, length_s))), default=0.0)


def _parts(line: Line, away: Sequence[Region], length_s: float) -> list[Line]:
    if not away:
        return [line]
    parts = minus(_region(line, length_s), away)
    if line.text is not None and parts:
        parts = [max(parts, key=lambda part: part[1] - part[0])]
    return [replace(line, start_s=start_s, end_s=end_s) for start_s, end_s in parts]


def _unused(options: RecordingOptions, diarization: Diarization | None, why: str) -> str:
    """Return what does not say who speaks, and why; empty: nothing was to."""
    if diarization is not None:
        what = name_of(diarization)
    elif options.speakers_file is not None:
        what = f"'{options.speakers_file}'"
    elif options.marks:
        what = "--mark"
    elif options.count not in (None, 1):
        what = f"--speakers {options.count}"
    else:
        return ""
    return f" Not by {what}: {why}."


def _named(lines: Sequence[Line], by: str) -> str:
    return f"Named by {by}: {listed(sorted({line.speaker for line in lines if line.speaker}), _NAMED)}."
