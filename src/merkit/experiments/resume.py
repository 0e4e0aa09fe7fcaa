"""Whether a cell is complete, and what is kept of a killed one: nothing that other settings, inputs or code made."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from merkit.core.encoder import Encoder
from merkit.core.types import Turn
from merkit.data.dataset import SegmentTier
from merkit.data.files import TEMPORARY, write_texts
from merkit.data.segments import segments_content
from merkit.experiments.cell import Cell
from merkit.experiments.code import check_code, code_hashes
from merkit.experiments.transform import Transform
from merkit.io.checkpoint import FORMAT

BY_EPOCH = "test-by-epoch"
"""Folder of the test predictions of every epoch, while a cell is not finished."""


@dataclass(frozen=True)
class CellKey:
    """All that decides a cell's result."""

    inputs: str
    """Hash of settings, data by content, split, seed and format."""
    code: Mapping[str, str]
    """Hash of each source file."""
    by_epoch: bool
    """Whether test predictions of every epoch are kept; a cell that has them lacks nothing."""

    @property
    def digest(self) -> str:
        """Return a hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def key_of(
    cell: Cell,
    turns: Sequence[Turn],
    encoders: Mapping[str, Encoder],
    segments: Mapping[str, SegmentTier],
    transforms: Mapping[str, Transform],
) -> CellKey:
    """Return a cell's key."""
    digest = hashlib.sha256()
    for turn in turns:
        contents = [encoder.content(turn) for encoder in encoders.values()]
        one = turn.utterance
        digest.update(repr((one.id, one.conversation, one.speaker, one.text, contents)).encode())
        if segments:
            digest.update(repr(segments_content(segments, one.id)).encode())
    values = {
        "recipe": cell.recipe.without_seeds(),
        "encoders": {modality: encoder.fingerprint() for modality, encoder in encoders.items()},
        "inputs": digest.hexdigest(),
        "train": cell.fold.train,
        "valid": cell.fold.valid,
        "test": cell.fold.test,
        "seed": cell.seed,
        "format": FORMAT,
        "transforms": {name: transform.identity() for name, transform in transforms.items()},
    }
    inputs = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
    return CellKey(inputs, code_of(cell, transforms), cell.legacy_best_on_test)


def code_of(cell: Cell, transforms: Mapping[str, Transform]) -> dict[str, str]:
    """Return a hash of each source file that makes a cell's result."""
    others = (spec for transform in transforms.values() for spec in transform.plug_ins())
    return code_hashes([*cell.recipe.plug_ins(), *others])


def is_complete(folder: Path, key: CellKey, *, again: bool) -> bool:
    """Return whether a cell was finished with this key; ``again``: what other code made does not count.

    Raises:
        MerkitError: It was finished, or begun, with other code, and ``again`` is false.
    """
    finished, begun = _stored(folder / "cell.json"), _stored(folder / "begun.json")
    for stored in (finished, begun if (folder / "history.jsonl").exists() else None):
        if stored is not None and not again and _same_inputs(stored, key):
            check_code(folder, stored["code"], key.code)
    return finished is not None and _same_inputs(finished, key) and finished["code"] == key.code


def clear(folder: Path, key: CellKey) -> None:
    """Remove what a killed run left half-done, and everything of a cell that was begun with another key."""
    begun = folder / "begun.json"
    if folder.exists() and _stored(begun) != asdict(key):
        shutil.rmtree(folder)
    for name in ("checkpoint", "predictions.parquet", "predictions-by-epoch.parquet", "cell.json"):
        _remove(folder / name)
    for leftover in list(folder.rglob(f"{TEMPORARY}*")):
        _remove(leftover)
    write_texts({begun: json.dumps(asdict(key))})


def tidy(folder: Path) -> None:
    """Remove what only a cell that is not finished needs."""
    for name in ("state", BY_EPOCH):
        _remove(folder / name)


def _stored(path: Path) -> dict[str, Any] | None:
    """Return the key in a cell's file; ``None`` if there is no file, or one of an older format."""
    values = json.loads(path.read_text()) if path.exists() else {}
    names = CellKey.__dataclass_fields__
    return {name: values[name] for name in names} if names.keys() <= values.keys() else None


def _same_inputs(stored: Mapping[str, Any], key: CellKey) -> bool:
    return bool(stored["inputs"] == key.inputs and stored["by_epoch"] >= key.by_epoch)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
