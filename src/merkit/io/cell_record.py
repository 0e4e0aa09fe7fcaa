"""The record of a finished cell (one fold, one seed): ``cell.json``, with the hashes of the cell's other files.

A cell counts as finished only where these files are the ones that training wrote, for training and reports alike.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from merkit.data.checksums import damaged_files, hash_files, seal, unseal
from merkit.data.files import write_texts
from merkit.data.strict_json import parse_json

RECORD = "cell.json"
PREDICTIONS = "predictions.parquet"
BY_EPOCH = "predictions-by-epoch.parquet"
"""Test predictions of every epoch."""
HISTORY = "history.jsonl"
CHECKPOINT = "checkpoint"

_FACTS = {"key": str, "selection": str, "epoch": int, "epochs_run": int, "seconds": int | float}
"""What every version of merkit records; reports and training read these."""
_LATER = {
    **dict.fromkeys(("parameters", "frozen_parameters", "trainable_parameters", "peak_memory_bytes"), int | None),
    **dict.fromkeys(("feature_seconds", "seconds_with_prediction"), int | float | None),
    **dict.fromkeys(("files", "code"), dict | None),
}
"""What earlier versions did not record, or a model does not have."""
_CARD = "README.md"
"""Of a checkpoint: people may edit it."""


def write_record(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the record of a cell whose other files are complete."""
    files = [path for path in map(folder.joinpath, (PREDICTIONS, BY_EPOCH, HISTORY)) if path.exists()]
    files += [path for path in (folder / CHECKPOINT).rglob("*") if path.is_file() and path.name != _CARD]
    write_texts({folder / RECORD: seal({**facts, "files": hash_files(folder, files)})})


def read_record(folder: Path) -> dict[str, Any]:
    """Return the facts of a cell.

    Raises:
        ValueError: The record is damaged.
        OSError: It is missing or cannot be read.
    """
    facts = unseal(folder / RECORD)
    if wrong := [name for name, kind in {**_FACTS, **_LATER}.items() if not isinstance(facts.get(name), kind)]:
        raise ValueError(f"{', '.join(wrong)} missing or of another type")
    return facts


def damaged_parts(folder: Path, facts: Mapping[str, Any], *, with_checkpoint: bool) -> list[str]:
    """Return the names of a cell's files that are damaged or missing.

    Earlier versions recorded no hashes: their files count as damaged where they cannot be read.
    """
    files = facts.get("files")
    if not isinstance(files, dict):
        return _unreadable(folder, with_checkpoint=with_checkpoint)
    wanted = {name: hash_ for name, hash_ in files.items() if with_checkpoint or not name.startswith(f"{CHECKPOINT}/")}
    return damaged_files(folder, wanted)


def _unreadable(folder: Path, *, with_checkpoint: bool) -> list[str]:
    readers: dict[str, Callable[[Path], Any]] = {PREDICTIONS: pq.read_table}
    for name, reader in {BY_EPOCH: pq.read_table, HISTORY: _read_lines}.items():
        if (folder / name).exists():
            readers[name] = reader
    if with_checkpoint:
        readers |= {f"{CHECKPOINT}/config.json": _read_json, f"{CHECKPOINT}/model.safetensors": _read_tensors}
    found = []
    for name, reader in readers.items():
        try:
            reader(folder / name)
        except (OSError, ValueError, pa.ArrowException, SafetensorError):
            found.append(name)
    return found


def _read_lines(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        parse_json(line)


def _read_json(path: Path) -> None:
    parse_json(path.read_text(encoding="utf-8"))


def _read_tensors(path: Path) -> None:
    with safe_open(str(path), framework="numpy"):
        pass
