"""What tells a finished cell, and what of a killed one is kept: nothing that other settings or inputs have made."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from merkit.core.encoder import Encoder, reach
from merkit.data.dataset import SegmentTier
from merkit.data.features.sources import FeatureSource
from merkit.data.files import TEMPORARY, atomic_path
from merkit.data.segments import segments_content
from merkit.encoders.checkpoint import identity
from merkit.experiments.cell import Cell
from merkit.experiments.views import Maker, PlannedView
from merkit.io.checkpoint import FORMAT

BY_EPOCH = "test-by-epoch"
"""Folder of the test predictions of every epoch, while a cell is not finished."""


def is_complete(folder: Path, key: str) -> bool:
    """Return whether a cell was finished with this content hash."""
    path = folder / "cell.json"
    return path.exists() and json.loads(path.read_text())["key"] == key


def keys_of(
    cell: Cell,
    encoders: Mapping[str, Encoder],
    sources: Mapping[str, FeatureSource],
    segments: Mapping[str, SegmentTier],
    maker: Maker | None,
    planned: Sequence[PlannedView],
) -> list[str]:
    """Return the hash of all that decides a cell's result: settings, inputs by content, split, seed, format.

    A second one, if any, is that of the same cell with test predictions of every epoch: it lacks nothing.
    """
    recipe = {name: value for name, value in cell.recipe.resolved().items() if name != "seeds"}
    digest = hashlib.sha256()
    for turn in cell.manifest.turns(cell.members, *reach(encoders.values())):
        contents = [source.encoder.content(turn) for source in sources.values()]
        digest.update(repr((turn.utterance.id, turn.utterance.conversation, turn.utterance.text, contents)).encode())
        if segments:
            digest.update(repr(segments_content(segments, turn.utterance.id)).encode())
    values = {
        "recipe": recipe,
        "encoders": {modality: encoder.fingerprint() for modality, encoder in encoders.items()},
        "inputs": digest.hexdigest(),
        "train": cell.fold.train,
        "valid": cell.fold.valid,
        "test": cell.fold.test,
        "seed": cell.seed,
        "format": FORMAT,
    }
    if maker is not None:
        donors = [(view.utterance.id, view.number, view.donor and view.donor.id) for view in planned]
        values["views"] = {"engines": maker.identity, "donors": hashlib.sha256(repr(donors).encode()).hexdigest()}
    if cell.teachers:
        known = {path: identity(path) for path in dict.fromkeys(chain.from_iterable(cell.teachers.values()))}
        values["teachers"] = {name: [known[path] for path in paths] for name, paths in cell.teachers.items()}
    unseen = {modality: stage.unseen for modality, stage in cell.extractors.items() if stage.unseen}
    if unseen:
        values["cross_fit"] = {
            modality: {name: identity(checkpoint) for name, checkpoint in by_conversation.items()}
            for modality, by_conversation in unseen.items()
        }
    return [
        hashlib.sha256(
            json.dumps({**values, "legacy_best_on_test": kept}, sort_keys=True, default=str).encode()
        ).hexdigest()
        for kept in dict.fromkeys((cell.legacy_best_on_test, True))
    ]


def clear(folder: Path, key: str) -> None:
    """Remove what a killed run left half-done, and everything of a cell that was begun with other content."""
    begun = folder / "begun.json"
    if folder.exists() and (not begun.exists() or json.loads(begun.read_text())["key"] != key):
        shutil.rmtree(folder)
    for name in ("checkpoint", "predictions.parquet", "predictions-by-epoch.parquet", "cell.json"):
        _remove(folder / name)
    for rubbish in folder.rglob(f"{TEMPORARY}*"):
        _remove(rubbish)
    with atomic_path(begun) as temporary:
        temporary.write_text(json.dumps({"key": key}))


def tidy(folder: Path) -> None:
    """Remove what only a cell that is not finished needs."""
    for name in ("state", BY_EPOCH):
        _remove(folder / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
