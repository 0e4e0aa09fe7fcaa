"""Transcripts with times in CSV, JSON, SRT or WebVTT, or plain text of a whole recording."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_CUE = re.compile(rf"{_TIME}\s+-->\s+{_TIME}")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_TAG = re.compile(r"<[^>]+>")
_SPEAKER = re.compile(r"^(?:\[([^\]\n]{1,40})\]|([^\W\d][\w.'’-]*(?: [\w.'’-]+){0,2})):(?:[ \t]+|$)", re.MULTILINE)
"""``[SPEAKER_00]: text``, as WhisperX writes it, or ``Ann: text``, a name of three words at most."""
_NAMES = {
    "start": ("start_s", "start", "begin", "from"),
    "end": ("end_s", "end", "stop", "to"),
    "text": ("text", "transcript", "utterance", "words"),
    "speaker": ("speaker", "speaker_id", "channel"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one speaker from ``start_s`` to ``end_s`` (``None``: the recording's beginning and end)."""

    start_s: float | None
    end_s: float | None
    speaker: str
    text: str | None


def read_transcript(path: Path) -> list[Line]:
    """Read a transcript, in the format that the file's ending names; return its lines in order of start times.

    ``.csv`` and ``.tsv`` need the columns ``start_s``, ``end_s`` and ``text`` (or ``start`` and ``end``), and may have
    ``speaker``; ``.json`` is a list of objects with those keys, or an object that holds it under ``segments``
    or ``utterances``; ``.jsonl`` one object a line; ``.srt`` and ``.vtt`` are subtitles, whose speakers are named by
    ``<v NAME>``, by ``[NAME]: `` before the words, or by ``NAME: `` where there are several cues and each begins so;
    ``.txt`` is the text of the whole recording.

    Raises:
        MerkitError: The file is missing or empty, has another ending, or a line without valid times.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MerkitError(f"No transcript '{path}'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MerkitError(f"Cannot read the transcript '{path}': {error}; it must be UTF-8 text.") from error
    if path.suffix == ".txt":
        return [Line(None, None, "", " ".join(content.split()))]
    if path.suffix in (".srt", ".vtt"):
        lines = _with_speakers(_read_cues(content, path), path)
    elif path.suffix in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(content), delimiter="\t" if path.suffix == ".tsv" else ",")
        lines = _read_rows(reader, path)
    elif path.suffix in (".json", ".jsonl"):
        lines = _read_rows(_objects(content, path), path)
    else:
        raise MerkitError(f"'{path}': a transcript ends in .csv, .tsv, .json, .jsonl, .srt, .vtt or .txt")
    if not lines:
        raise MerkitError(f"'{path}' holds no line of transcript.")
    return sorted(lines, key=lambda line: line.start_s or 0.0)


def _objects(content: str, path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        else:
            rows = json.loads(content)
    except ValueError as error:
        raise MerkitError(f"'{path}' is not JSON: {error}") from error
    if isinstance(rows, dict):
        rows = rows.get("segments", rows.get("utterances"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MerkitError(f"'{path}': expected a list of objects with start_s, end_s and text.")
    return rows


def _read_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> list[Line]:
    lines = []
    for number, row in enumerate(rows, start=1):
        values = {key: next((row[name] for name in names if name in row), None) for key, names in _NAMES.items()}
        where = f"'{path}', line {number}"
        if values["text"] is None:
            raise MerkitError(f"{where}: no column 'text' among {', '.join(map(str, row))}.")
        start, end = (_seconds(values[key], key, where) for key in ("start", "end"))
        lines.append(_checked(Line(start, end, str(values["speaker"] or ""), str(values["text"])), where))
    return lines


def _seconds(value: Any, key: str, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MerkitError(
            f"{where}: {key} is {value!r}, expected seconds; a text without times goes into a .txt file."
        ) from None


def _read_cues(content: str, path: Path) -> list[Line]:
    lines: list[Line] = []
    for block in re.split(r"\n\s*\n", content.replace("\r\n", "\n")):
        if "-->" not in block:  # a header, a style, a note
            continue
        cue = _CUE.search(block)
        if cue is None or block.count("-->") > 1:
            raise MerkitError(
                f"'{path}': expected one cue, with times such as 00:00:01.500 --> 00:00:02.000, between blank lines, "
                f"found {block.strip()[:80]!r}."
            )
        text = block[cue.end() :].partition("\n")[2]
        voice = _VOICE.search(text)
        speaker = "" if voice is None else voice.group(1).strip()
        spoken = "\n".join(row.strip() for row in _TAG.sub("", text).strip().splitlines())
        times = cue.groups()
        line = Line(_clock(times[:4]), _clock(times[4:]), speaker, spoken)
        lines.append(_checked(line, f"'{path}', cue {len(lines) + 1}"))
    return lines


def _with_speakers(lines: Sequence[Line], path: Path) -> list[Line]:
    """Take speakers' names from the front of each cue, unless ``<v NAME>`` marks them, and join the rows of a cue."""
    marked = any(line.speaker for line in lines)
    names_of = [[] if marked else list(_SPEAKER.finditer(line.text or "")) for line in lines]
    first = [names[0] if names and names[0].start() == 0 else None for names in names_of]
    plain = len(lines) > 1 and all(name is not None and name.group(2) for name in first)
    known = {name.group(2) for name in first if name is not None}
    read = []
    for number, (line, names, name) in enumerate(zip(lines, names_of, first, strict=True), start=1):
        speaker, text = line.speaker, line.text or ""
        if name is not None and (plain or name.group(1)):
            if any(other.group(1) or other.group(2) in known for other in names[1:]):
                raise MerkitError(
                    f"'{path}', cue {number}: two speakers in one cue; give each a cue with times of its own."
                )
            speaker, text = (name.group(1) or name.group(2)).strip(), text[name.end() :]
        read.append(replace(line, speaker=speaker, text=" ".join(text.split())))
    return read


def _clock(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts)
    return 3600 * hours + 60 * minutes + seconds + thousandths / 1000


def _checked(line: Line, where: str) -> Line:
    start, end = line.start_s or 0.0, line.end_s or 0.0
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise MerkitError(f"{where}: from {start} to {end} s is no time span, expected 0 <= start < end.")
    return line
