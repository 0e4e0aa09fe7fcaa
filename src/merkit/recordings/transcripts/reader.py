"""The reader of transcripts: it recognises the format from the content, and reads it with its own rules."""

import re
from pathlib import Path

from merkit.core.characters import one_line
from merkit.core.errors import MerkitError
from merkit.data.plain_text import decode, read_bytes
from merkit.recordings.transcripts.columns import COLUMNS, columns_reader
from merkit.recordings.transcripts.cues import is_cues, read_cues
from merkit.recordings.transcripts.lines import Draft, Transcript
from merkit.recordings.transcripts.objects import read_json, read_json_lines
from merkit.recordings.transcripts.tables import is_labels, is_table, read_labels, read_table_lines
from merkit.recordings.transcripts.tiers import read_eaf, read_textgrid_lines

SUFFIXES = (
    ".srt",
    ".vtt",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".txt",
    ".rttm",
    ".stm",
    ".ctm",
    ".textgrid",
    ".eaf",
)
"""Usual endings of transcripts, in lower case. The format is recognised from the content; only plain text needs one."""

_LONGEST_HEADER = 100_000
_LONGEST_LINE = 2_000_000
_PLAIN = (".txt", ".text", "")
_TABLES = (".csv", ".tsv", ".tab")
_XML = re.compile(r"<(\?xml|!DOCTYPE|(html|body|sami|tt|ttml|transcript|annotation_document)[\s>])", re.IGNORECASE)
_TIMED = re.compile(
    r"\s*[\[(]?(?:\d{1,2}:)?\d{1,3}:\d{2}(?!\d)|\s*\d+(?:[.,]\d+)?[,;|\t ]\s*\d+(?:[.,]\d+)?[,;|\t ]|\{\d+\}\{\d+\}",
    re.ASCII,
)
_SPEAKER_TIMED = re.compile(r"\S.{0,60}?\s\(?(?:\d{1,2}:)?\d{1,2}:\d{2}\)?\s*", re.ASCII)


def read_transcript(path: Path, recording: str = "") -> Transcript:
    """Read a transcript; return its lines in order of start times, and notes on what was not kept as it was.

    Args:
        path: The file, in any format of the page "Transcripts" of the documentation, which names each one's rules.
        recording: The recording's name, by which its lines are found in a file of several recordings (RTTM, CTM, …).

    Raises:
        MerkitError: The file is missing, no text, holds no line or is of no known format; or a line is damaged, which
            the message names.
    """
    raw = read_bytes(path, "transcript")
    source = f"'{one_line(str(path))}'"
    draft = Draft(source)
    if _begins_xml(raw):
        return _read_xml(raw, draft)
    text, note = decode(raw, source, western=True)
    if note is not None:
        draft.note(note.removesuffix(".").replace(source, "the file"))
    stripped = text.lstrip()
    first = re.split(r"[\r\n]", stripped[:_LONGEST_HEADER], maxsplit=1)[0]
    suffix = path.suffix.lower()
    if not first:
        return draft.finish() if suffix not in _PLAIN else draft.whole(None)
    if "ooTextFile" in first and '"TextGrid"' in text[:400]:
        read_textgrid_lines(path, draft)
        return draft.finish()
    if stripped[0] in "{[" and (found := _json(text, stripped, suffix, draft)) is not None:
        return found
    draft.check_number(text.count("\n") + text.count("\r"))
    lines = re.split(r"\r\n|\r|\n", text)
    if (longest := max(map(len, lines))) > _LONGEST_LINE:
        raise draft.error("", f"a line of it has {longest:,} characters, more than a day of speech.")
    if first.startswith("[Script Info]"):
        raise draft.error("", "SubStation Alpha (.ass, .ssa) is not read; save it as SRT or WebVTT.")
    if _XML.match(first):
        return _read_xml(text.encode(), draft, "utf-8")
    elif (stripped.startswith("WEBVTT") and not stripped[6:7].isalnum()) or is_cues(stripped):
        read_cues(stripped if stripped.startswith("WEBVTT") else text, draft)
    elif (reader := columns_reader("\n".join(lines), suffix)) is not None:
        reader("\n".join(lines), draft, path, recording)
    elif is_labels(first):
        read_labels("\n".join(lines), draft)
    elif suffix in _TABLES or is_table(_header(lines)):
        read_table_lines(text, draft, "\t" if suffix in (".tsv", ".tab") else ",")
    elif path.name == "text" and path.with_name("segments").is_file():
        return read_transcript(path.with_name("segments"), recording)
    elif suffix in (".json", ".jsonl"):
        return read_json(text, draft)
    elif suffix in (".srt", ".vtt"):
        read_cues(text, draft)
    elif (reader := COLUMNS.get(suffix or path.name)) is not None:
        reader("\n".join(lines), draft, path, recording)
    elif suffix in _PLAIN:
        return _read_plain(text, lines, draft)
    else:
        raise MerkitError(
            f"{source}: its format was not recognised. A transcript is plain text that ends in .txt, or one of SRT, "
            "WebVTT, JSON, CSV, TSV, RTTM, STM, CTM, TextGrid, EAF and Kaldi's segments; in a table the first line "
            "must name the columns start_s, end_s and text."
        )
    return draft.finish()


def _begins_xml(raw: bytes) -> bool:
    return raw.lstrip()[:5].lower() in (b"<?xml", b"<anno")


def _read_xml(raw: bytes, draft: Draft, encoding: str | None = None) -> Transcript:
    head = raw[:4000].replace(b"\0", b"")
    if b"ANNOTATION_DOCUMENT" not in head:
        kind = re.search(rb"<([A-Za-z][\w.:-]*)", head)
        name = "" if kind is None else f" (<{kind[1].decode('ascii', 'replace')[:40]}>)"
        raise draft.error("", f"XML and HTML{name} are not read, except ELAN's .eaf; save it as WebVTT or SRT")
    read_eaf(raw, draft, encoding)
    return draft.finish()


def _json(text: str, stripped: str, suffix: str, draft: Draft) -> Transcript | None:
    """Return a transcript in JSON or lines of JSON; ``None`` where the text only begins with a bracket."""
    start = stripped[1:200].lstrip()[:1]
    if (
        stripped[0] == "["
        and suffix not in (".json", ".jsonl")
        and (start not in ("{", "]", "[") or "-->" in stripped[:60])
    ):
        return None  # words such as [laughs], and what Whisper prints
    if stripped[0] == "{" and suffix not in (".json", ".jsonl") and start not in ('"', "}"):
        return None
    first, _, rest = stripped.partition("\n")
    if first.rstrip().endswith("}") and (suffix == ".jsonl" or rest.lstrip().startswith("{")):
        return read_json_lines(text, draft)
    return read_json(text, draft)


def _header(lines: list[str]) -> str:
    filled = [line for line in lines[:20] if line.strip()]
    return filled[1] if len(filled) > 1 and re.match(r'"?sep=', filled[0], re.IGNORECASE) else filled[0]


def _read_plain(text: str, lines: list[str], draft: Draft) -> Transcript:
    filled = [line for line in lines if line.strip()]
    timed = [line for line in filled if _TIMED.match(line) or _SPEAKER_TIMED.fullmatch(line)]
    if len(timed) > 1 and 3 * len(timed) >= len(filled):
        raise draft.error(
            f"line {lines.index(timed[0]) + 1}",
            f"{timed[0].strip()[:60]!r} begins with a time, and plain text is the words of the whole recording: take "
            "the times away, or save it with start and end as SRT, WebVTT or CSV.",
        )
    return draft.whole(draft.text(text, ""))
