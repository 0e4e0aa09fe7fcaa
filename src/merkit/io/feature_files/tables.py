"""Tables of features: CSV, TSV, JSONL and Parquet with a column ``id`` and a row per utterance or frame."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.data.corpus import tables
from merkit.io.feature_files.layouts import FEATURES, FeatureSet, refuse_duplicates

ID = "id"


def read_text_table(path: Path) -> FeatureSet:
    """Read CSV, TSV or JSONL: the columns beside ``id`` are numbers, an empty cell is undefined.

    Raises:
        MerkitError: There is no column ``id`` or nothing else, a cell is text, or an id is empty or stands apart.
    """
    return _of_columns(tables.read_columns(path, strings=(ID,)))


def read_parquet(path: Path) -> FeatureSet:
    """Read Parquet: columns of numbers as in CSV, or one column of lists, ``[dim]`` or ``[time][dim]``.

    Raises:
        MerkitError: As `read_text_table`, the lists have several widths, or the file claims more than it can hold.
    """
    table = tables.read_parquet(path)
    names = table.column_names
    lists = [name for name in names if pyarrow.types.is_nested(table.schema.field(name).type)]
    if not lists:
        return _of_columns({name: table[name].to_pylist() for name in names})
    if ID not in names or len(names) != 2:
        raise MerkitError(f"has the columns {', '.join(names)}, expected '{ID}' and one column of lists")
    ids = _checked_ids(table[ID].to_pylist())
    rows = [_row(value, name) for value, name in zip(table[lists[0]].to_pylist(), ids, strict=True)]
    refuse_duplicates(ids)
    return FeatureSet(dict(zip(ids, rows, strict=True)))


def write_parquet(path: Path, arrays: dict[str, Array], columns: tuple[str, ...]) -> None:
    """Write named columns as columns of numbers, a row per frame; without names, one column of lists."""
    if columns and ID not in columns and len(set(columns)) == len(columns):
        ids = [name for name, array in arrays.items() for _ in range(len(array))]
        rows = np.concatenate(list(arrays.values()))
        table = pyarrow.table({ID: ids, **{name: rows[:, number] for number, name in enumerate(columns)}})
    else:
        kind = pyarrow.list_(pyarrow.list_(pyarrow.float32()))
        lists = pyarrow.array([list(array) for array in arrays.values()], type=kind)
        table = pyarrow.table({ID: list(arrays), FEATURES: lists})
    pyarrow.parquet.write_table(table, path)


def _of_columns(columns: dict[str, list[Any]]) -> FeatureSet:
    if ID not in columns or len(columns) < 2:
        found = ", ".join(list(columns)[:6]) or "none"
        raise MerkitError(f"has the columns {found}, expected '{ID}' and columns of numbers")
    ids = _checked_ids(columns.pop(ID))
    rows = np.empty((len(ids), len(columns)))
    for number, (name, cells) in enumerate(columns.items()):
        rows[:, number] = [_number(cell, name, utterance) for cell, utterance in zip(cells, ids, strict=True)]
    return FeatureSet(_group_rows(ids, rows), tuple(columns))


def _group_rows(ids: list[str], rows: Array) -> dict[str, Array]:
    """Return rows ``[rows, dim]`` by id: those of one id that follow each other are a sequence."""
    starts = [number for number in range(len(ids)) if number == 0 or ids[number] != ids[number - 1]]
    ends = [*starts[1:], len(ids)]
    refuse_duplicates([ids[start] for start in starts], "; rows of a sequence must follow each other")
    return {ids[start]: rows[start:end] for start, end in zip(starts, ends, strict=True)}


def _checked_ids(cells: list[Any]) -> list[str]:
    empty = [number for number, cell in enumerate(cells, start=1) if cell is None or not str(cell).strip()]
    if empty:
        raise MerkitError(f"has {len(empty):,} rows without an id, first row {empty[0]}")
    if not cells:
        raise MerkitError("has no rows")
    return [str(cell) for cell in cells]


def _number(cell: Any, column: str, utterance: str) -> float:
    if cell is None:
        return np.nan
    try:
        if isinstance(cell, str) and "_" in cell:
            raise ValueError
        return float(cell)
    except (ValueError, TypeError, OverflowError):
        raise MerkitError(f"column '{column}' of '{utterance}' is {str(cell)[:40]!r}, expected a number") from None


def _row(value: Any, name: str) -> Array:
    try:
        array = np.asarray(value, dtype=np.float64)  # None becomes NaN
    except (ValueError, TypeError):
        raise MerkitError(f"'{name}' is no list of numbers, or of lists of one width") from None
    if array.ndim not in (1, 2):
        raise MerkitError(f"'{name}' has the shape {list(array.shape)}, expected [dim] or [time, dim]")
    return array[None] if array.ndim == 1 else array
