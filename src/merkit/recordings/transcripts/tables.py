"""Transcripts as tables: CSV, TSV, what spreadsheets export, Whisper's TSV and Audacity's labels."""

import re
from collections import Counter

from merkit.data.delimited import Table, find_delimiter, read_table
from merkit.recordings.transcripts.fields import KNOWN, NAMES, plain, read_rows
from merkit.recordings.transcripts.lines import Draft
from merkit.recordings.transcripts.values import in_milliseconds

_TIME = r"\s*[\d:]+(?:[.,]\d+)?\s*"
_LABEL = re.compile(rf"{_TIME}\t{_TIME}\t", re.ASCII)
_WHISPER = ["start", "end", "text"]


def is_table(header: str) -> bool:
    """Return whether a first line is the header of a transcript: at least a start, and an end, duration or text."""
    names = {plain(cell.strip('" ')) for cell in header.split(find_delimiter(header, KNOWN))}
    times = {name for name in names & KNOWN if re.match("start|begin|onset|from", name)}
    return bool(times) and len(names & KNOWN) > 1


def is_labels(line: str) -> bool:
    """Return whether a first line is a label of Audacity: start, end and text, divided by tabs, without a header."""
    return _LABEL.match(line) is not None


def read_labels(text: str, draft: Draft) -> None:
    """Read Audacity's labels; lines that begin with a backslash are their frequencies.

    Raises:
        MerkitError: A line is no label; names it.
    """
    lines = ["" if line.startswith("\\") else line for line in text.split("\n")]
    _read(read_table("start\tend\ttext\n" + "\n".join(lines), draft.source, KNOWN, quoted=False), draft, -1)


def read_table_lines(text: str, draft: Draft, prefer: str) -> None:
    """Read a table with a header.

    Raises:
        MerkitError: It breaks the rules of `merkit.data.delimited`, or a cell is no time; names the line.
    """
    table = read_table(text, draft.source, KNOWN, prefer)
    if table.delimiter == "\t" and [plain(name) for name in table.names] == _WHISPER:
        table = read_table(text, draft.source, KNOWN, prefer, quoted=False)
        cells = [row for _, row in table.rows]
        if in_milliseconds([(row[0], row[1], row[2]) for row in cells]):
            draft.note("whole numbers of Whisper's TSV were read as milliseconds")
            table = Table(["start_ms", "end_ms", "text"], table.rows, table.delimiter)
    _read(table, draft)


def _read(table: Table, draft: Draft, offset: int = 0) -> None:
    names = [plain(name) for name in table.names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise draft.error("", f"the columns {', '.join(table.names)} have '{repeated[0]}' twice; rename one of them")
    if names and not table.rows and not is_table(table.delimiter.join(table.names)):
        raise draft.error("", f"no columns 'start' and 'text' among {', '.join(table.names)[:200]}")
    texts = [name for name, each in zip(table.names, names, strict=True) if each in NAMES["text"]]
    if len(texts) > 1:
        draft.note(
            f"several columns are text ({', '.join(texts)[:80]}): of each line the first that is filled was read"
        )
    if names and names[0] == "" and [row[0] for _, row in table.rows] == [str(n) for n in range(len(table.rows))]:
        table = Table(table.names[1:], [(number, row[1:]) for number, row in table.rows], table.delimiter)
    elif "" in table.names:
        raise draft.error("", f"column {table.names.index('') + 1} has cells but no name; name it or take it away")
    swallowed = re.compile(rf"[\r\n]{_TIME}{re.escape(table.delimiter)}{_TIME}{re.escape(table.delimiter)}", re.ASCII)
    for number, row in table.rows:
        if any(cell is not None and swallowed.search(cell) for cell in row):
            raise draft.error(
                f"line {number + offset}", "a quote that is closed in another line; it holds lines of its own"
            )
    rows = ((f"line {number + offset}", dict(zip(table.names, row, strict=True))) for number, row in table.rows)
    read_rows(draft, rows, in_table=True, commas=table.delimiter in (";", "\t"))
