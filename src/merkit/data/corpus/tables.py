"""Parquet, CSV and JSONL to columns of plain Python values, without guesses that could lose a character.

A cell is ``str``, ``int``, ``float``, ``bool`` or ``None`` (empty). In CSV an unquoted empty cell is ``None`` and
``""`` an empty string; other words for "nothing" (``NA``, ``null``) are text. A CSV column is
read as numbers only where every cell is a number without leading zeros.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.parquet

from merkit.core.errors import ManifestError, first_line

SUFFIXES = (".parquet", ".csv", ".jsonl")
"""Kinds of tables, in the order in which a folder is searched for them."""

Columns = dict[str, list[Any]]

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_columns(path: Path, strings: Collection[str] = (), numbers: Collection[str] = ()) -> Columns:
    """Return a table's columns by name.

    Args:
        path: A ``.parquet``, ``.csv`` or ``.jsonl`` file; CSV and JSONL in UTF-8.
        strings: Columns that a CSV keeps as written.
        numbers: Columns that a CSV reads as numbers cell by cell, so that one bad cell leaves the others numbers.

    Raises:
        ManifestError: The file is missing, of another kind or malformed, a column name occurs twice, or a column holds
            something else than text, numbers or truth values.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    readers = {".parquet": _parquet, ".csv": lambda p: _csv(p, strings, numbers), ".jsonl": _jsonl}
    if path.suffix not in readers:
        raise ManifestError(f"{path}: tables are read from {', '.join(SUFFIXES)}, found '{path.suffix}'")
    try:
        return readers[path.suffix](path)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 at byte {error.start}; save the table as UTF-8") from error
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise ManifestError(f"{path}: cannot be read as {path.suffix[1:]}: {first_line(error)}") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {first_line(error)}") from error


def _parquet(path: Path) -> Columns:
    table = pyarrow.parquet.read_table(path, partitioning=None)
    _refuse_repeated(path, table.column_names)
    columns: Columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name.startswith("__index_level_"):  # written by pandas
            continue
        kind = column.type
        if pyarrow.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        types = pyarrow.types
        tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
        if not (types.is_null(kind) or any(test(kind) for test in tests)):
            raise ManifestError(f"{path}: column '{name}' is of type {kind}, expected text, numbers or truth values")
        columns[name] = column.to_pylist()
    return columns


def _csv(path: Path, strings: Collection[str], numbers: Collection[str]) -> Columns:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        names = next(csv.reader(stream), [])
    _refuse_repeated(path, names)
    if not names:
        return {}
    table = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    columns: Columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        cells = column.to_pylist()
        if name in numbers:
            columns[name] = [_number(cell) for cell in cells]
        elif name in strings:
            columns[name] = cells
        else:
            columns[name] = _inferred(cells)
    return columns


def _jsonl(path: Path) -> Columns:
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ManifestError(f"{path}: line {number} is not JSON: {error.msg}") from error
            if not isinstance(row, dict):
                raise ManifestError(f"{path}: line {number} is {type(row).__name__}, expected an object")
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


def _number(cell: str | None) -> str | int | float | None:
    """Return the number in a cell (also ``nan`` and ``inf``, which the caller refuses), or the cell."""
    if cell is None or not cell.strip():
        return None
    if _WHOLE.fullmatch(cell.strip()):
        return int(cell)
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell


def _inferred(cells: list[str | None]) -> list[Any]:
    """Return whole numbers, else real numbers, else the strings, by what all filled cells are."""
    filled = [cell for cell in cells if cell is not None]
    for pattern, convert in ((_WHOLE, int), (_REAL, float)):
        if filled and all(pattern.fullmatch(cell) for cell in filled):
            return [None if cell is None else convert(cell) for cell in cells]
    return list(cells)
