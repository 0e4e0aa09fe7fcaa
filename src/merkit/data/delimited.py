r"""Delimited tables (CSV, TSV, semicolons) to rows of cells, strictly: no cell is lost, moved or guessed.

* The delimiter is what divides the header into known column names; a first line ``sep=;``, which Excel reads, says it.
* An unquoted empty cell is ``None``, ``""`` an empty string.
* A quote opens a cell only at its beginning. One that is not closed, text behind the closing quote, and a row with more
  or fewer cells than the header are errors that name the line. In tables divided by tabs a quoted cell ends in its
  line, and a quote that is not closed there is a character: most programs that write them quote nothing.
* Columns without a name and without content, and rows without content, as spreadsheets leave them behind, are ignored.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from merkit.core.errors import MerkitError

Cell = str | None
DELIMITERS = (",", ";", "\t", "|")

_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?[,;\t| ]*(?:\r\n|\n|\r)", re.IGNORECASE)
_BREAK = re.compile(r"\r\n|\n|\r")
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')
_QUOTED_IN_LINE = re.compile(r'"((?:[^"\t\r\n]++|"")*+)"')
_PLAIN = {delimiter: re.compile(rf"[^\r\n{re.escape(delimiter)}]*") for delimiter in DELIMITERS}

_MOST_COLUMNS = 20_000


@dataclass(frozen=True)
class Table:
    """The header, and the rows with the numbers of the lines in which they begin; every row has a cell per column."""

    names: list[str]
    rows: list[tuple[int, list[Cell]]]
    delimiter: str


def read_table(text: str, source: str, known: Collection[str], prefer: str = ",", quoted: bool = True) -> Table:
    """Read a delimited table with a header.

    Args:
        text: The content of the file.
        source: The file, for errors.
        known: Names of columns, in lower case, by which the delimiter is found.
        prefer: The delimiter where the header does not decide.
        quoted: Whether quotes enclose cells; else they are characters.

    Raises:
        MerkitError: As the module says; names file and line.
    """
    first = 1
    separator = _SEPARATOR.match(text)
    if separator is not None:
        delimiter, text, first = separator[1], text[separator.end() :], 2
        if delimiter not in DELIMITERS:
            raise MerkitError(f"{source}, line 1: 'sep={delimiter}' found, expected a comma, semicolon, tab or bar")
    else:
        delimiter = find_delimiter(text, known, prefer)
    lines = [row for row in _cells(text, delimiter, source, quoted, first) if _filled(row[1])]
    if not lines:
        return Table([], [], delimiter)
    (_, header), *rows = lines
    width = _filled(header)
    names = [cell or "" for cell in header[:width]]
    for number, cells in rows:
        if len(cells) < width or _filled(cells) > width:
            raise MerkitError(_unequal(source, number, cells, names, delimiter))
    kept = [index for index, name in enumerate(names) if name or any(cells[index] is not None for _, cells in rows)]
    return Table(
        [names[index] for index in kept], [(number, [cells[i] for i in kept]) for number, cells in rows], delimiter
    )


def find_delimiter(text: str, known: Collection[str], prefer: str = ",") -> str:
    """Return the delimiter that divides a table's first line into most known names, else into most cells."""
    end = _BREAK.search(text.lstrip("\r\n"))
    header = text.lstrip("\r\n")[: None if end is None else end.start()]

    def score(delimiter: str) -> tuple[int, int, bool]:
        names = [cell.strip().strip('"').strip().casefold() for cell in header.split(delimiter)]
        return sum(name in known for name in names), len(names) if delimiter != "|" else 1, delimiter == prefer

    return max(DELIMITERS, key=score)


def _cells(text: str, delimiter: str, source: str, quoted: bool, line: int) -> Iterator[tuple[int, list[Cell]]]:
    """Yield each row's first line and cells; blank lines are skipped."""
    tabs = delimiter == "\t"
    plain, enclosed = _PLAIN[delimiter], _QUOTED_IN_LINE if tabs else _QUOTED
    place, end = 0, len(text)
    while place < end:
        row: list[Cell] = []
        begun = line
        while True:
            cell: Cell
            match = enclosed.match(text, place) if quoted and text.startswith('"', place) else None
            if match is not None and (match.end() == end or text[match.end()] in (delimiter, "\r", "\n")):
                cell, place = match[1].replace('""', '"'), match.end()
                line += len(_BREAK.findall(match[1]))
            elif quoted and not tabs and text.startswith('"', place):
                found = "a quote that is never closed" if match is None else "text behind a closing quote"
                shown = _BREAK.split(text[place : place + 40])[0]
                raise MerkitError(
                    f"{source}, line {line}: {found}, in the cell that begins with {shown!r}; a quote inside a quoted "
                    'cell is written twice ("")'
                )
            else:
                match = plain.match(text, place)
                assert match is not None  # it matches nothing, too
                cell, place = match[0] or None, match.end()
                if quoted and cell is not None and cell.lstrip(" ").startswith('"') and cell[0] == " " and not tabs:
                    raise MerkitError(f"{source}, line {line}: a quote behind a space; remove the space")
            row.append(cell)
            if len(row) > _MOST_COLUMNS:
                raise MerkitError(f"{source}, line {begun}: more than {_MOST_COLUMNS:,} cells")
            if place < end and text[place] == delimiter:
                place += 1
                if place == end:
                    row.append(None)
                    break
                continue
            break
        ending = _BREAK.match(text, place)
        if ending is not None:
            place = ending.end()
            line += 1
        yield begun, row


def _filled(cells: list[Cell]) -> int:
    """Return the number of cells up to the last one that is not empty."""
    return max((index for index, cell in enumerate(cells, start=1) if cell is not None), default=0)


def _unequal(source: str, number: int, cells: list[Cell], names: list[str], delimiter: str) -> str:
    found = max(_filled(cells), min(len(cells), len(names)))
    hint = f"; a cell that has {delimiter!r} in it must be in quotes" if found > len(names) else ""
    shown = " ".join(", ".join(names).split())[:200]
    counts = f"{found} cell{'s'[: found != 1]} for {len(names)} column{'s'[: len(names) != 1]}"
    return f"{source}, line {number}: {counts} ({shown}){hint}"
