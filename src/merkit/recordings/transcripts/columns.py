"""Transcripts in columns divided by spaces: RTTM, STM, CTM, and Kaldi's ``segments`` with ``text``."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from merkit.aligners.segments.formats import ctm_rows
from merkit.aligners.segments.tiers import spoken
from merkit.core.errors import MerkitError
from merkit.core.phrases import number_of
from merkit.data.plain_text import decode, read_bytes
from merkit.recordings.transcripts.fields import read_time
from merkit.recordings.transcripts.lines import Draft, Line

Row = TypeVar("Row")
Reader = Callable[[str, Draft, Path, str], None]

_RTTM_TYPES = frozenset(
    (
        "SPEAKER",
        "LEXEME",
        "SPKR-INFO",
        "NON-LEX",
        "NON-SPEECH",
        "NOSCORE",
        "NO_RT_METADATA",
        "SEGMENT",
        "A/P",
        "IP",
        "SU",
    )
)
_NUMBER = re.compile(r"-?\d+(\.\d*)?|-?\.\d+", re.ASCII)
_IGNORED = frozenset({"ignore_time_segment_in_scoring", "inter_segment_gap"})
"""What an STM has in place of words where a recording was not transcribed."""
_LABELS = re.compile(r"<[^<>\s]*>")
_PROBED = 200
_MOST = 0.8
"""Share of the first lines that must have the columns; the others are then errors with a name."""


def columns_reader(text: str, suffix: str = "") -> Reader | None:
    """Return the reader of a text whose first lines have the columns of one of these formats, at least most of them.

    Some time must have a decimal point: two words and two numbers may be text. Kaldi's columns are the fewest: where
    the ending is that of another of these formats, they are lines that lack something.
    """
    rows = [line.split() for line in text.split("\n", _PROBED)[:_PROBED] if line.strip() and not line.startswith(";;")]
    if not rows:
        return None
    kinds: tuple[tuple[Reader, Callable[[list[str]], bool], slice], ...] = (
        (_read_rttm, lambda row: row[0].upper() in _RTTM_TYPES and len(row) >= 5, slice(3, 5)),
        (_read_stm, lambda row: _numbers(row, 3, 4), slice(3, 5)),
        (_read_ctm, lambda row: _numbers(row, 2, 3) and 5 <= len(row) <= 8, slice(2, 4)),
        (_read_kaldi, lambda row: _numbers(row, 2, 3) and len(row) == 4 and suffix not in COLUMNS, slice(2, 4)),
    )
    for reader, fits, times in kinds:
        fitting = [row for row in rows if fits(row)]
        exact = any("." in time for row in fitting for time in row[times])
        if exact and len(fitting) >= _MOST * len(rows):
            return reader
    return None


def _numbers(row: list[str], *places: int) -> bool:
    return len(row) > max(places) and all(_NUMBER.fullmatch(row[place]) for place in places)


def _read_rttm(text: str, draft: Draft, path: Path, recording: str) -> None:
    """Read who spoke when; words (``LEXEME``), where there are some, are joined to lines."""
    draft.ordered = False
    turns: list[tuple[str, Line]] = []
    words: list[tuple[str, Line]] = []
    for place, row in _rows(text):
        kind = row[0].upper()
        if kind not in _RTTM_TYPES:
            raise draft.error(place, f"{' '.join(row)[:60]!r} found, expected a line of SPEAKER")
        if kind not in ("SPEAKER", "LEXEME"):
            draft.note(f"{{}} of type {row[0][:20]} left out", place)
            continue
        if len(row) < 8:
            raise draft.error(
                place, f"{len(row)} columns found, expected type, file, channel, start, duration, …, name"
            )
        start_s, duration_s = _time(draft, row[3], "start", place), _time(draft, row[4], "duration", place)
        name = "" if row[7] == "<NA>" else draft.speaker(row[7], place)
        word = draft.text(row[5], place) if kind == "LEXEME" else None
        line = Line(start_s, start_s + duration_s, name, word, place)
        (words if kind == "LEXEME" else turns).append((row[1], line))
    if words and turns:
        draft.note(f"{number_of(len(turns), 'line')} of who spoke when left out in favour of the words")
    chosen = _of_recording(words or turns, recording, draft)
    if words:
        draft.add_words(chosen)
    else:
        draft.add_lines(chosen)


def _read_stm(text: str, draft: Draft, path: Path, recording: str) -> None:
    draft.ordered = False
    lines = []
    for place, row in _rows(text):
        if not _numbers(row, 3, 4):
            raise draft.error(
                place, f"{' '.join(row)[:60]!r} found, expected file, channel, speaker, start, end and words"
            )
        words = row[6:] if len(row) > 5 and _LABELS.fullmatch(row[5]) else row[5:]
        text_ = draft.text(" ".join(words), place)
        if _IGNORED & {row[2].lower(), (text_ or "").lower()}:
            draft.note("{} that STM marks as not transcribed left out", place)
            continue
        start_s, end_s = _time(draft, row[3], "start", place), _time(draft, row[4], "end", place)
        lines.append((row[0], Line(start_s, end_s, draft.speaker(row[2], place), text_, place)))
    draft.add_lines(_of_recording(lines, recording, draft))


def _read_ctm(text: str, draft: Draft, path: Path, recording: str) -> None:
    draft.ordered = False
    rows = list(ctm_rows(text, draft.source))
    channels = {channel for _, (_, channel, _) in rows}
    words = []
    for number, (name, channel, interval) in rows:
        place = f"line {number}"
        if not 0 <= interval.start_s <= interval.end_s:
            raise draft.error(place, f"from {interval.start_s} to {interval.end_s} s is no time span")
        speaker = channel if len(channels) > 1 else ""
        label = draft.text(interval.label, place)
        if label is None or spoken(label) is None:
            draft.note("{} of silence or noise left out", place)
            continue
        words.append((name, Line(interval.start_s, interval.end_s, speaker, label, place)))
    draft.add_words(_of_recording(words, recording, draft))


def _read_kaldi(text: str, draft: Draft, path: Path, recording: str) -> None:
    """Read Kaldi's ``segments``; words and speakers are in ``text`` and ``utt2spk`` beside it."""
    draft.ordered = False
    texts = _beside(path, "text", draft)
    speakers = _beside(path, "utt2spk", draft)
    lines: list[tuple[str, Line]] = []
    names: set[str] = set()
    for place, row in _rows(text):
        if len(row) != 4 or not _numbers(row, 2, 3):
            raise draft.error(place, f"{' '.join(row)[:60]!r} found, expected utterance, recording, start and end")
        if row[0] in names:
            raise draft.error(place, f"the utterance {row[0][:40]!r} occurs twice")
        names.add(row[0])
        start_s = _time(draft, row[2], "start", place)
        end_s = None if row[3] in ("-1", "-1.0") else _time(draft, row[3], "end", place)
        words = draft.text(texts.get(row[0]), place)
        lines.append((row[1], Line(start_s, end_s, draft.speaker(speakers.get(row[0]), place), words, place)))
    if surplus := [name for name in texts if name not in names]:
        draft.note(
            f"{number_of(len(surplus), 'text')} of utterances that 'segments' lacks left out ({surplus[0][:40]}, …)"
        )
    draft.add_lines(_of_recording(lines, recording, draft))


def _beside(path: Path, name: str, draft: Draft) -> dict[str, str]:
    """Return a file of Kaldi's beside another one, as text by utterance; empty where there is none."""
    other = path.with_name(name)
    if not other.is_file():
        if name == "text":
            draft.note("there is no file 'text' beside it")
        return {}
    content, _ = decode(read_bytes(other, "transcript"), f"'{other}'", western=True)
    found: dict[str, str] = {}
    for number, line in enumerate(re.split(r"\r\n|\r|\n", content), start=1):
        if not line.strip():
            continue
        key, _, rest = line.strip().partition(" ") if " " in line.strip() else (*line.strip().partition("\t"),)
        if key in found:
            raise MerkitError(f"'{other}', line {number}: the utterance {key[:40]!r} occurs twice")
        found[key] = rest
    return found


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.startswith(";;"):
            yield f"line {number}", line.split()


def _time(draft: Draft, value: str, key: str, place: str) -> float:
    return read_time(draft, value, key, place) or 0.0


def _of_recording(rows: Iterable[tuple[str, Row]], recording: str, draft: Draft) -> list[Row]:
    """Return the rows of the recording of this name, or all where the file has one recording.

    Raises:
        MerkitError: There are several, and none of this name.
    """
    by_name: dict[str, list[Row]] = {}
    for name, row in rows:
        by_name.setdefault(name, []).append(row)
    if len(by_name) > 1 and recording not in by_name:
        shown = ", ".join(name[:40] for name in list(by_name)[:5]) + (", …" if len(by_name) > 5 else "")
        raise draft.error("", f"it has the recordings {shown}, and none is called '{recording}'; keep one of them.")
    if len(by_name) > 1:
        draft.note(f"only lines of '{recording}' were read, one of {len(by_name)} recordings in the file")
    return by_name[recording] if recording in by_name else [row for rows in by_name.values() for row in rows]


COLUMNS: Mapping[str, Reader] = {".rttm": _read_rttm, ".stm": _read_stm, ".ctm": _read_ctm, "segments": _read_kaldi}
"""The readers by ending or name, for files whose content does not tell."""
