"""Parquet, CSV, TSV and JSONL to columns of plain Python values, without guesses that could lose a character.

A cell is ``str``, ``int``, ``float``, ``bool`` or ``None`` (empty). In CSV an unquoted empty cell is ``None`` and
``""`` an empty string; other words for "nothing" (``NA``, ``null``) are text. A CSV column is
read as numbers only where every cell is a number without leading zeros. Where semicolons or tabs divide the cells,
as a spreadsheet writes them in much of Europe, a number may have a decimal comma.
"""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow

from merkit.core.errors import ManifestError, MerkitError, first_line
from merkit.data.delimited import Cell, read_table
from merkit.data.parquet import read_parquet_table
from merkit.data.plain_text import decode, read_bytes
from merkit.data.strict_json import parse_lines

SUFFIXES = (".parquet", ".csv", ".jsonl", ".tsv")
"""Kinds of tables, in the order in which a folder is searched for them; capital letters do not matter."""

Columns = dict[str, list[Any]]

_LARGEST_BYTES = 2_000_000_000
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,999})")
_REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"-?(0|[1-9][0-9]*),[0-9]+")


def read_columns(path: Path, strings: Collection[str] = (), numbers: Collection[str] = ()) -> Columns:
    """Return a table's columns by name.

    Args:
        path: A ``.parquet``, ``.csv``, ``.tsv`` or ``.jsonl`` file; the last three in UTF-8 or UTF-16.
        strings: Columns that a CSV keeps as written.
        numbers: Columns that a CSV reads as numbers cell by cell, so that one bad cell leaves the others numbers.

    Raises:
        ManifestError: The file is missing, of another kind or malformed, a column name occurs twice, or a column holds
            something else than text, numbers or truth values.
    """
    if not path.exists():
        raise ManifestError(f"{path}: no such file")
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        hint = "; save it as CSV (UTF-8)" if kind in (".xlsx", ".xls", ".ods", ".numbers") else ""
        raise ManifestError(f"{path}: tables are read from {', '.join(SUFFIXES)}, found '{path.suffix}'{hint}")
    try:
        if kind == ".parquet":
            return _parquet(path)
        text, _ = decode(read_bytes(path, "table", _LARGEST_BYTES), str(path))
        return _jsonl(path, text) if kind == ".jsonl" else _delimited(path, text, strings, numbers)
    except ManifestError:
        raise
    except MerkitError as error:
        raise ManifestError(str(error)) from error


def read_parquet(path: Path) -> pyarrow.Table:
    """Return a Parquet table without the index that pandas writes.

    Raises:
        ManifestError: It is no file, cannot be read, or claims more than it can hold.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ManifestError(f"{path}: cannot be read as Parquet: a folder, pipe or device, expected a file")
    try:
        table = read_parquet_table(path)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as Parquet: {first_line(error)}") from error
    return table.select([n for n, name in enumerate(table.column_names) if not name.startswith("__index_level_")])


def _parquet(path: Path) -> Columns:
    table = read_parquet(path)
    _refuse_repeated(path, table.column_names)
    columns: Columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        types = pyarrow.types
        tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
        if not (types.is_null(kind) or any(test(kind) for test in tests)):
            raise ManifestError(f"{path}: column '{name}' is of type {kind}, expected text, numbers or truth values")
        columns[name] = column.to_pylist()
    return columns


def _delimited(path: Path, text: str, strings: Collection[str], numbers: Collection[str]) -> Columns:
    prefer = "\t" if path.suffix.lower() == ".tsv" else ","
    table = read_table(text, str(path), {"id", *strings, *numbers}, prefer)
    _refuse_repeated(path, table.names)
    commas = table.delimiter in (";", "\t")
    columns: Columns = {}
    for index, name in enumerate(table.names):
        cells = [row[index] for _, row in table.rows]
        if name in numbers:
            columns[name] = [_number(cell, commas) for cell in cells]
        elif name in strings:
            columns[name] = list(cells)
        else:
            columns[name] = _inferred(cells, commas)
    return columns


def _jsonl(path: Path, text: str) -> Columns:
    rows: list[dict[str, Any]] = []
    for number, row in parse_lines(text, str(path)):
        for name, cell in row.items():
            if isinstance(cell, (list, dict)):
                kind = type(cell).__name__
                raise ManifestError(
                    f"{path}: line {number}: '{name}' is a {kind}, expected text, number or truth value"
                )
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _refuse_repeated(path: Path, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ManifestError(f"{path}: column '{repeated[0]}' occurs twice; rename one of them")


def _number(cell: Cell, commas: bool) -> str | int | float | None:
    """Return the number in a cell (also ``nan`` and ``inf``, which the caller refuses), or the cell."""
    if cell is None or not cell.strip():
        return None
    plain = cell.strip()
    if _WHOLE.fullmatch(plain):
        return int(plain)
    if commas and _DECIMAL_COMMA.fullmatch(plain):
        return float(plain.replace(",", "."))
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell


def _inferred(cells: list[Cell], commas: bool) -> list[Any]:
    """Return whole numbers, else real numbers, else the strings, by what all filled cells are."""
    filled = [cell for cell in cells if cell is not None]
    for pattern, convert in ((_WHOLE, int), (_REAL, float)):
        if filled and all(pattern.fullmatch(cell) for cell in filled):
            return [None if cell is None else convert(cell) for cell in cells]
    if commas and filled and all(_WHOLE.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell) for cell in filled):
        return [None if cell is None else float(cell.replace(",", ".")) for cell in cells]
    return list(cells)
