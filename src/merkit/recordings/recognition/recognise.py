"""Recognise the words of a recording: only its speech reaches the engine, and what is left out is counted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from merkit.core.errors import ConfigError
from merkit.core.language import language_code
from merkit.core.lookup import unknown
from merkit.core.phrases import number_of
from merkit.core.progress import ProgressCallback
from merkit.core.waveform import Channel, Whole
from merkit.data.media.audio import Recording, Wave, duration_s, media_notes, read_audio
from merkit.recordings.channels import ONE_CHANNEL, assign_channels, choose_channels
from merkit.recordings.recognition.checks import reason_to_drop
from merkit.recordings.recognition.engine import RATE_HZ, WINDOW_S, Engine, Passage, Word
from merkit.recordings.speech import Region, minus
from merkit.recordings.transcripts import Line, spoken_text
from merkit.recordings.transcripts.lines import PAUSE_S, SHORTEST_S
from merkit.recordings.unfinished import Unfinished
from merkit.recordings.utterances import LONGEST_S, groups, speech_stretches
from merkit.timeline.tabular import Tabular

_WORDS = "Words: "
_PAD_S = 0.2
"""Kept before and behind a stretch of speech, as far as it is silent: soft beginnings and ends of words."""
_LEAST_S = 0.2
"""Shorter stretches are no words: the speech detector finds some of 0.06 to 0.13 s in music."""
_JOINED_S = 1.0
"""Stretches with shorter pauses are recognised together: words are known by their neighbours."""


@dataclass(frozen=True, slots=True)
class RecognisedLine:
    """The words of one speaker until a pause, with their times in the recording."""

    start_s: float
    end_s: float
    speaker: str
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Recognition(Tabular):
    """The recognised lines of a recording in order, with notes on what was left out."""

    recording: Path
    """Its file, or the name of a recording in memory."""
    duration_s: float
    recogniser: str
    language: str | None
    """Its code, such as ``en``; ``None``: no speech was found, and no language was given."""
    language_probability: float | None
    """``None``: the language was given."""
    lines: Sequence[RecognisedLine]
    notes: Sequence[str] = ()

    @property
    def title(self) -> str:
        return f"{self.recording.name}, {self.duration_s:.1f} s"

    @property
    def text(self) -> str:
        """All words in one line."""
        return " ".join(line.text for line in self.lines)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"start_s": line.start_s, "end_s": line.end_s, "speaker": line.speaker, "text": line.text}
            for line in self.lines
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "recording": str(self.recording),
            "duration_s": self.duration_s,
            "recogniser": self.recogniser,
            "language": self.language,
            "language_probability": self.language_probability,
            "notes": list(self.notes),
            "segments": [
                {**row, "words": [asdict(word) for word in line.words]}
                for row, line in zip(self.rows(), self.lines, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Recognition":
        """Return the recognition that `to_dict` gave these values of."""
        values = dict(content)
        values["recording"] = Path(values["recording"])
        values["lines"] = [
            RecognisedLine(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
            for segment in values.pop("segments")
        ]
        return cls(**values)


def recognise(
    engine: Engine,
    recording: Whole,
    *,
    channels: str = "auto",
    language: str | None = None,
    name: str = "waveform",
    progress: ProgressCallback | None = None,
) -> Recognition:
    """Return the words of a recording as lines, which end at pauses of 0.8 s and are at most 15 s long.

    The sound is read stretch by stretch; memory does not grow with the recording.

    Args:
        engine: The recogniser.
        recording: A file or a waveform.
        channels: As of `choose_channels`; ``split``: each channel is a speaker.
        language: A code such as ``en``; ``None``: found from the first 30 seconds of speech.
        name: What a recording in memory is called.
        progress: Called before each stretch, with seconds of speech.

    Raises:
        MerkitError: The recording cannot be read, its channels or the language are not as named, or the engine lacks
            its package or files.
    """
    choice = choose_channels(recording, channels)
    sounds = assign_channels(recording, None, choice.how)
    found = recognise_sounds(engine, recording, sounds, language=language, name=name, progress=progress)
    notes = [f"About the recording: {note}." for note in media_notes(recording)]
    notes += [] if choice.sentence == ONE_CHANNEL else [f"Channels: {choice.sentence}"]
    return replace(found, notes=[*notes, *found.notes])


def recognise_sounds(
    engine: Engine,
    recording: Whole,
    sounds: Sequence[tuple[Line, Recording]],
    *,
    without: Mapping[Recording, Sequence[Region]] = MappingProxyType({}),
    language: str | None = None,
    name: str = "waveform",
    progress: ProgressCallback | None = None,
    work: Unfinished | None = None,
) -> Recognition:
    """Return the words of sounds of a recording; see `recognise`.

    Args:
        engine: The recogniser.
        recording: A file or a waveform.
        sounds: What is read of it, with the speaker of each; see `assign_channels`.
        without: By sound what the engine does not get.
        language: As of `recognise`.
        name: As of `recognise`.
        progress: As of `recognise`.
        work: Keeps the words of each stretch.

    Raises:
        MerkitError: As `recognise`.
    """
    path = recording if isinstance(recording, Path) else Path(name)
    length_s = duration_s(recording)
    stretches = [
        (whole.speaker, sound, part)
        for whole, sound in sounds
        for stretch in padded_stretches(sound, length_s)
        for part in minus(stretch, without.get(sound, ()), _LEAST_S)
    ]
    probability = None
    if language is not None:
        language = check_language(engine, language)
    elif stretches:
        language, probability = engine.find_language(_first_speech(stretches))
    total = sum(round(end_s - start_s) for _, _, (start_s, end_s) in stretches)
    done = 0
    passages: dict[str, list[Passage]] = {}
    dropped: Counter[str] = Counter()
    words: dict[str, list[Word]] = {}
    for speaker, sound, stretch in stretches:
        if progress is not None:
            progress(f"words of {path.name}", done, total, f"{done} of {total} s of speech")
        before = passages.setdefault(speaker, [])
        for passage, reason in _checked_passages(engine, sound, stretch, str(language), before, work):
            if reason is None:
                words.setdefault(speaker, []).extend(_placed(passage, stretch))
            else:
                dropped[reason] += 1
        done += round(stretch[1] - stretch[0])
    if progress is not None and total:
        progress(f"words of {path.name}", total, total)
    away = {whole.speaker: without.get(sound, ()) for whole, sound in sounds}
    lines = [line for speaker, own in words.items() for line in _lines(speaker, own, away[speaker])]
    lines.sort(key=lambda line: line.start_s)
    notes = [f"{_WORDS}{note}." for note in _notes(engine.name, language, probability, dropped, bool(lines))]
    return Recognition(path, length_s, engine.name, language, probability, lines, notes)


def recognised_text(
    engine: Engine, sound: Recording, start_s: float | None, end_s: float | None, language: str | None
) -> tuple[str | None, str | None, int]:
    """Return the words of one utterance, its language, and how many passages were left out.

    Raises:
        MerkitError: As `recognise`.
    """
    stretches = padded_stretches(sound, duration_s(sound), start_s, end_s)
    if not stretches:
        return None, language, 0
    if language is None:
        language, _ = engine.find_language(_first_speech([("", sound, stretch) for stretch in stretches]))
    before: list[Passage] = []
    kept = [
        passage.text
        for stretch in stretches
        for passage, reason in _checked_passages(engine, sound, stretch, language, before)
        if reason is None
    ]
    return spoken_text(" ".join(kept)), language, len(before) - len(kept)


def _checked_passages(
    engine: Engine,
    sound: Recording,
    stretch: Region,
    language: str,
    before: list[Passage],
    work: Unfinished | None = None,
) -> Iterator[tuple[Passage, str | None]]:
    """Yield the passages of a stretch that have words, with the reason to drop one, and append each to ``before``."""

    def hear() -> list[dict[str, Any]]:
        return [asdict(passage) for passage in engine.recognise(read_audio(sound, RATE_HZ, *stretch), language)]

    number = sound.number if isinstance(sound, Channel) else None
    heard = hear() if work is None else work.once("words", [number, stretch, language], hear)
    for values in heard:
        passage = Passage(**{**values, "words": tuple(Word(**word) for word in values["words"])})
        if spoken_text(passage.text):
            reason = reason_to_drop(passage, before)
            before.append(passage)
            yield passage, reason


def to_lines(recognition: Recognition) -> list[Line]:
    """Return the recognised lines as those of a transcript."""
    return [Line(line.start_s, line.end_s, line.speaker, line.text) for line in recognition.lines]


def check_language(engine: Engine, language: str) -> str:
    """Return a language's code as the engine knows it.

    Raises:
        ConfigError: It does not know it.
    """
    code = language_code(language) or language.strip()
    if code not in engine.languages:
        raise ConfigError(f"{engine.name}: {unknown('language', language, engine.languages)}")
    return code


def padded_stretches(
    sound: Recording, length_s: float, start_s: float | None = None, end_s: float | None = None
) -> list[Region]:
    """Return what of a recording, or of an interval of it, reaches an engine: stretches of at most ``WINDOW_S``."""
    first_s, last_s = start_s or 0.0, length_s if end_s is None else min(end_s, length_s)
    longest_s = WINDOW_S - 2 * _PAD_S - 0.1
    stretches = speech_stretches(sound, start_s, end_s, pause_s=_JOINED_S, longest_s=longest_s)
    stretches = [(begin, end) for begin, end in stretches if end - begin >= _LEAST_S]
    if not stretches:
        return []
    middles = [(one[1] + other[0]) / 2 for one, other in pairwise(stretches)]
    bounds = list(pairwise([first_s, *middles, last_s]))
    return [
        (max(begin - _PAD_S, low), min(end + _PAD_S, high))
        for (begin, end), (low, high) in zip(stretches, bounds, strict=True)
    ]


def _first_speech(stretches: Sequence[tuple[str, Recording, Region]]) -> Wave:
    """Return up to ``WINDOW_S`` of the earliest speech."""
    found, seconds = [], 0.0
    for _, sound, (start_s, end_s) in sorted(stretches, key=lambda stretch: stretch[2]):
        end_s = min(end_s, start_s + WINDOW_S - seconds)
        if end_s - start_s < SHORTEST_S:
            break
        found.append(read_audio(sound, RATE_HZ, start_s, end_s))
        seconds += end_s - start_s
    return np.concatenate(found)


def _placed(passage: Passage, stretch: Region) -> Iterator[Word]:
    """Yield a passage's words with times of the recording, inside of the stretch; without words of its own, itself."""
    start_s, end_s = stretch
    own = passage.words or (Word(passage.start_s, passage.end_s, passage.text, None),)
    for word in own:
        first_s = min(start_s + max(word.start_s, 0.0), end_s - SHORTEST_S)
        last_s = max(min(start_s + word.end_s, end_s), first_s + SHORTEST_S)
        yield Word(first_s, last_s, word.text, word.probability)


def _lines(speaker: str, words: Sequence[Word], away: Sequence[Region]) -> Iterator[RecognisedLine]:
    """Yield words as lines, which end at pauses, and where something is that the engine did not get."""
    for _, group in groupby(words, key=lambda word: sum(first_s < word.end_s for first_s, _ in away)):
        near = list(group)
        for first, last in groups([(word.start_s, word.end_s) for word in near], PAUSE_S, LONGEST_S):
            own = near[first:last]
            text = spoken_text("".join(word.text for word in own))
            if text is not None:
                stripped = tuple(Word(w.start_s, w.end_s, w.text.strip(), w.probability) for w in own)
                yield RecognisedLine(own[0].start_s, max(word.end_s for word in own), speaker, text, stripped)


def _notes(
    name: str, language: str | None, probability: float | None, dropped: Counter[str], has_words: bool
) -> Iterator[str]:
    if language is None:
        yield f"none, since no speech was found ({name})"
        return
    how = "as given" if probability is None else f"found, probability {probability:.2f}"
    yield f"recognised by {name}; language {language} ({how})"
    if dropped:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in dropped.items())
        yield f"{number_of(dropped.total(), 'passage')} left out: {reasons}"
    if not has_words:
        yield "none were recognised"
