"""Files of predictions: one row for each utterance, probabilities by label name; true labels are joined later by id."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from merkit.core.types import Prediction
from merkit.data.files import atomic_path

PROBABILITY = "p:"
"""Prefix of the columns that hold probabilities."""


def predictions_table(predictions: Iterable[Prediction], labels: Sequence[str], **columns: str | int) -> pa.Table:
    """Return predictions as a table; each of ``columns`` has one value for all rows and follows ``id``."""
    rows = list(predictions)
    data: dict[str, Any] = {"id": pa.array([row.id for row in rows], pa.string())}
    for name, value in columns.items():
        data[name] = pa.array([value] * len(rows), pa.int64() if isinstance(value, int) else pa.string())
    data["label"] = pa.array([row.label for row in rows], pa.string())
    data["confidence"] = pa.array([row.confidence for row in rows], pa.float64())
    data["modalities"] = pa.array([",".join(row.modalities) for row in rows], pa.string())
    for label in labels:
        data[PROBABILITY + label] = pa.array([row.probabilities[label] for row in rows], pa.float64())
    return pa.table(data)


def write_table(path: Path, table: pa.Table, metadata: Mapping[str, str] | None = None) -> None:
    """Write a table as Parquet, atomically; ``metadata`` is stored in its schema."""
    if metadata is not None:
        table = table.replace_schema_metadata(dict(metadata))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
