"""Transcripts in JSON: Whisper and its relatives, whisper.cpp, AssemblyAI, Hugging Face, podcasts, plain objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from merkit.data.strict_json import parse_json, parse_lines
from merkit.recordings.transcripts.fields import chosen, read_rows, read_time
from merkit.recordings.transcripts.languages import stated_language
from merkit.recordings.transcripts.lines import Draft, Line, Transcript, end_of, start_of
from merkit.recordings.transcripts.services import SERVICES, read_item
from merkit.recordings.transcripts.values import in_milliseconds, kind_of

Document = dict[str, Any]


def read_json(text: str, draft: Draft) -> Transcript:
    """Read a transcript in JSON.

    Raises:
        MerkitError: It is not JSON, has none of the known shapes, or a value is of another kind; names the object.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise draft.error("", f"is not JSON: {error}") from error
    return _read_content(content, draft)


def read_json_lines(text: str, draft: Draft) -> Transcript:
    """Read one object a line.

    Raises:
        MerkitError: A line is no JSON object, or has no times; names it.
    """
    draft.check_number(text.count("\n"))
    rows = list(parse_lines(text, draft.source))
    if len(rows) == 1 and not _is_line(rows[0][1]):
        return _read_content(rows[0][1], draft)
    read_rows(draft, [(f"line {number}", row) for number, row in rows])
    return draft.finish()


def _read_content(content: Any, draft: Draft) -> Transcript:
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        if _reader(content[0]) is not None and not _is_line(content[0]):
            content = content[0]  # some programs write a list of one result
    elif isinstance(content, dict) and _is_line(content):
        content = [content]
    if isinstance(content, dict) and isinstance(content.get("response"), dict):
        content = content["response"]  # a long-running request
    if isinstance(content, list):
        content = {"chunks" if content and _has(content, "timestamp") else "segments": content}
    if not isinstance(content, dict):
        raise draft.error("", f"expected a list of objects with start_s, end_s and text, found {kind_of(content)}.")
    draft.language = stated_language(content)
    reader = _reader(content)
    if reader is not None:
        reader(content, draft)
        if not draft.has_words and isinstance(content.get("text"), str) and draft.text(content["text"], "") is not None:
            if draft.is_empty:
                return _whole(content, draft)
            draft.note("the text of the whole recording was left out: it belongs to no line")
        return draft.finish()
    if isinstance(content.get("text"), str):
        return _whole(content, draft)
    found = ", ".join(map(str, content))[:120] or "none"
    raise draft.error("", f"expected a list of objects with start_s, end_s and text; its keys are {found}.")


def _whole(content: Document, draft: Draft) -> Transcript:
    return draft.whole(draft.text(content["text"], ""), "it has no times: its words are those of the whole recording")


def _reader(content: Document) -> Callable[[Document, Draft], None] | None:
    """Return the reader of a document's shape; the first key that has something in it decides."""
    readers: tuple[tuple[str, type, Callable[[Document, Draft], None]], ...] = (
        ("transcription", list, _whisper_cpp),
        *SERVICES,
        ("utterances", list, _utterances),
        ("segments", list, _segments),
        ("chunks", list, _chunks),
        ("words", list, _words),
        ("result", list, _vosk),
    )
    present = [(content[key], read) for key, kind, read in readers if isinstance(content.get(key), kind)]
    return next((read for value, read in present if value), present[0][1] if present else None)


def _is_line(content: Document) -> bool:
    """Return whether an object is one line, not a document of lines."""
    own = chosen(content).keys() & {"start", "start_ms"}
    return bool(own) and not any(content.get(key) for key in ("segments", "utterances", "chunks", "results"))


def _has(rows: Sequence[Any], key: str) -> bool:
    return all(isinstance(row, dict) and key in row for row in rows)


def _segments(content: Document, draft: Draft) -> None:
    read_rows(draft, _objects(content["segments"], "segment", draft))


def _utterances(content: Document, draft: Draft) -> None:
    rows = _objects(content["utterances"], "utterance", draft)
    read_rows(draft, _in_seconds(rows, draft))


def _words(content: Document, draft: Draft) -> None:
    draft.add_words(
        read_item(draft, row, place) for place, row in _in_seconds(_objects(content["words"], "word", draft), draft)
    )


def _vosk(content: Document, draft: Draft) -> None:
    draft.add_words(read_item(draft, row, place) for place, row in _objects(content["result"], "word", draft))


def _in_seconds(rows: list[tuple[str, Document]], draft: Draft) -> list[tuple[str, Document]]:
    """Return AssemblyAI's rows, whose whole numbers are milliseconds, with other names; the others as they are."""
    spans = [(row.get("start"), row.get("end"), row.get("text")) for _, row in rows]
    whole = all(isinstance(value, int) for start, end, _ in spans for value in (start, end))
    if not rows or not whole or not _has([row for _, row in rows], "text") or not in_milliseconds(spans):
        return rows
    draft.note("whole numbers of 'utterances' or 'words' were read as milliseconds, as AssemblyAI writes them")
    return [
        (
            place,
            {"start_ms": row["start"], "end_ms": row["end"], **{k: row[k] for k in row if k not in ("start", "end")}},
        )
        for place, row in rows
    ]


def _whisper_cpp(content: Document, draft: Draft) -> None:
    rows = []
    for place, row in _objects(content["transcription"], "segment", draft):
        offsets, times = row.get("offsets"), row.get("timestamps")
        if isinstance(offsets, dict):
            found: Document = {"start_ms": offsets.get("from"), "end_ms": offsets.get("to")}
        elif isinstance(times, dict):
            found = {"start": times.get("from"), "end": times.get("to")}
        else:
            raise draft.error(
                place, "expected 'offsets' or 'timestamps' with 'from' and 'to', as whisper.cpp writes them"
            )
        rows.append((place, {**found, "text": row.get("text"), "speaker": row.get("speaker")}))
    read_rows(draft, rows)


def _chunks(content: Document, draft: Draft) -> None:
    """Read chunks of a Hugging Face pipeline: the last may have no end, single words are joined."""
    lines = []
    rows = _objects(content["chunks"], "chunk", draft)
    for number, (place, row) in enumerate(rows, start=1):
        times = row.get("timestamp")
        if not isinstance(times, list) or len(times) != 2:
            raise draft.error(place, "expected 'timestamp' with a start and an end")
        start_s = read_time(draft, times[0], "start", place)
        end_s = read_time(draft, times[1], "end", place)
        text = draft.text(row.get("text"), place)
        if start_s is None or (end_s is None and number < len(rows)):
            draft.note("{} without times left out", place)
            continue
        lines.append(Line(start_s, end_s, draft.speaker(row.get("speaker"), place), text, place))
    if rows and not lines:
        raise draft.error(rows[0][0], "no chunk has times: ask the pipeline for return_timestamps=True")
    short = [line for line in lines if line.text is not None and " " not in line.text and line.end_s is not None]
    if (
        len(lines) >= _MANY
        and len(short) >= len(lines) - 1
        and sum(end_of(line) - start_of(line) for line in short) < len(short)
    ):
        draft.add_words(lines)
    else:
        draft.add_lines(lines)


_MANY = 8
"""Chunks from which single words below a second are words of longer lines, not short answers."""


def _objects(rows: Sequence[Any], noun: str, draft: Draft) -> list[tuple[str, Document]]:
    draft.check_number(len(rows))
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise draft.error(f"{noun} {number}", f"{kind_of(row)} was found, expected an object with its times")
        found.append((f"{noun} {number}", dict(row)))
    return found
