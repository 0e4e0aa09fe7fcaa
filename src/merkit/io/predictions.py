"""Files of predictions: one row for each utterance, probabilities by label name; true labels are joined later by id."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from merkit.core.types import Prediction
from merkit.data.checksums import read_stamped, write_stamped
from merkit.data.files import atomic_path, remove
from merkit.io.decision_rule import DecisionRule

PROBABILITY = "p:"
"""Prefix of the columns that hold probabilities."""
LABEL_SEPARATOR = ";"
"""Between several labels in one cell of a text format."""


def predictions_table(
    predictions: Iterable[Prediction],
    labels: Sequence[str],
    rule: DecisionRule | None = None,
    multi_label: bool = False,
    /,
    **columns: str | int,
) -> pa.Table:
    """Return predictions as a table.

    Args:
        predictions: One for each row.
        labels: Those that the predictions have probabilities of.
        rule: The decision rule of the model, which adds ``reason`` (as does a prediction that has one) and, where the
            model predicts it, ``arousal``.
        multi_label: Whether the model gives several labels, which adds ``labels``, a list for each row, and ``reason``.
        columns: Each has one value for all rows and follows ``id``.
    """
    rows = list(predictions)
    data: dict[str, Any] = {"id": pa.array([row.id for row in rows], pa.string())}
    for name, value in columns.items():
        data[name] = pa.array([value] * len(rows), pa.int64() if isinstance(value, int) else pa.string())
    data["label"] = pa.array([row.label for row in rows], pa.string())
    if multi_label:
        data["labels"] = pa.array([row.labels or () for row in rows], pa.list_(pa.string()))
    data["confidence"] = pa.array([row.confidence for row in rows], pa.float64())
    data["modalities"] = pa.array([",".join(row.modalities) for row in rows], pa.string())
    if rule is not None or multi_label or any(row.reason is not None for row in rows):
        data["reason"] = pa.array([row.reason for row in rows], pa.string())
        if rule is not None and rule.arousal:
            data["arousal"] = pa.array([row.arousal for row in rows], pa.float64())
    for label in labels:
        values = [row.probabilities[label] if row.probabilities else None for row in rows]
        data[PROBABILITY + label] = pa.array(values, pa.float64())
    return pa.table(data)


def with_joined_labels(table: pa.Table) -> pa.Table:
    """Return a table for a format without lists: several labels in one cell, separated by semicolons."""
    if "labels" not in table.column_names:
        return table
    joined = pa.array([LABEL_SEPARATOR.join(row) for row in table.column("labels").to_pylist()], pa.string())
    return table.set_column(table.column_names.index("labels"), "labels", joined)


def write_table(path: Path, table: pa.Table, metadata: Mapping[str, str] | None = None) -> None:
    """Write a table as Parquet, atomically; ``metadata`` is stored in its schema."""
    if metadata is not None:
        table = table.replace_schema_metadata(dict(metadata))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def write_stamped_table(folder: Path, stem: str, table: pa.Table, metadata: Mapping[str, str] | None = None) -> None:
    """Write a table as ``<stem>-<hash>.parquet``, named by its content, in place of an older one with this stem."""
    if metadata is not None:
        table = table.replace_schema_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    path = write_stamped(folder, stem, sink.getvalue().to_pybytes(), ".parquet")
    for other in _stamped(folder, stem):
        if other != path:
            remove(other)


def read_stamped_table(folder: Path, stem: str) -> pa.Table | None:
    """Return the table that was written with `write_stamped_table`; ``None`` where it is missing or damaged."""
    paths = _stamped(folder, stem)
    if len(paths) != 1:
        return None
    try:
        return pq.read_table(pa.BufferReader(read_stamped(paths[0])))
    except (OSError, ValueError, pa.ArrowException):
        return None


def _stamped(folder: Path, stem: str) -> list[Path]:
    return [path for path in folder.glob(f"{stem}-*.parquet") if path.stem.rpartition("-")[0] == stem]
