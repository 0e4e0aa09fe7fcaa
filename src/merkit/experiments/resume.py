"""Whether a cell is complete, and what is kept of a killed one: nothing that other settings, inputs or code made.

``begun.json`` has the key of the cell that was begun, and hashes of its inputs, so that a cell that is trained again
says what changed.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from merkit.core.encoder import Encoder
from merkit.core.phrases import listed
from merkit.core.source import changed_files
from merkit.core.types import Turn
from merkit.data.checksums import seal, unseal
from merkit.data.dataset import SegmentTier
from merkit.data.files import remove_leftovers, write_texts
from merkit.data.segments import segments_content
from merkit.experiments.accelerator import settled_precision
from merkit.experiments.cell import Cell
from merkit.experiments.code import check_code, code_hashes
from merkit.experiments.transform import Transform
from merkit.io.cell_record import BY_EPOCH as BY_EPOCH_TABLE
from merkit.io.cell_record import CHECKPOINT, HISTORY, PREDICTIONS, RECORD, damaged_parts
from merkit.io.checkpoint import FORMAT
from merkit.io.predictions import read_stamped_table
from merkit.training.state import STATE, finished_epochs

_log = logging.getLogger(__name__)

BY_EPOCH = "test-by-epoch"
"""Folder of the test predictions of every epoch, while a cell is not finished."""
_BEGUN = "begun.json"
_DIGITS = 6
"""Of an utterance's hash in ``begun.json``: it names what changed, and decides nothing."""
_NAMED = 3


@dataclass(frozen=True)
class CellKey:
    """All that decides a cell's result."""

    inputs: str
    """Hash of settings, data by content, split, seed and format."""
    code: Mapping[str, str]
    """Hash of each source file."""
    by_epoch: bool
    """Whether test predictions of every epoch are kept; a cell that has them lacks nothing."""
    input_hashes: "InputHashes" = field(compare=False)
    """Of what ``inputs`` is made of."""

    @property
    def values(self) -> dict[str, Any]:
        """Return what is compared, as JSON values."""
        return {"inputs": self.inputs, "code": dict(self.code), "by_epoch": self.by_epoch}

    @property
    def digest(self) -> str:
        """Return a hash of all of it."""
        return _hash(self.values)


@dataclass(frozen=True)
class InputHashes:
    """Hashes that say which of a cell's inputs changed."""

    whole: Mapping[str, str]
    """Hashes of settings, split, alignment and the like, by their names in messages."""
    by_utterance: Mapping[str, str]
    """By modality the hashes of what is read of each utterance, `_DIGITS` hexadecimal digits each."""


def key_of(
    cell: Cell,
    turns: Sequence[Turn],
    encoders: Mapping[str, Encoder],
    segments: Mapping[str, SegmentTier],
    transforms: Mapping[str, Transform],
) -> CellKey:
    """Return a cell's key."""
    digest, spans = hashlib.sha256(), hashlib.sha256()
    by_utterance: dict[str, list[str]] = {modality: [] for modality in encoders}
    for turn in turns:
        contents = [encoder.content(turn) for encoder in encoders.values()]
        for hashes, content in zip(by_utterance.values(), contents, strict=True):
            hashes.append(_hash(content)[:_DIGITS])
        one = turn.utterance
        digest.update(repr((one.id, one.conversation, one.speaker, one.text, contents)).encode())
        if segments:
            of_segments = repr(segments_content(segments, one.id)).encode()
            digest.update(of_segments)
            spans.update(of_segments)
    recipe = cell.recipe.without_seeds()
    recipe["training"] = {**recipe["training"], "precision": settled_precision(cell.recipe)}
    values: dict[str, Any] = {
        "recipe": recipe,
        "encoders": {modality: encoder.fingerprint() for modality, encoder in encoders.items()},
        "inputs": digest.hexdigest(),
        "train": cell.fold.train,
        "valid": cell.fold.valid,
        "test": cell.fold.test,
        "seed": cell.seed,
        "format": FORMAT,
        "transforms": {name: transform.identity() for name, transform in transforms.items()},
    }
    whole = {
        "the recipe": _hash(values["recipe"]),
        "the encoders": _hash(values["encoders"]),
        "the split": _hash([values["train"], values["valid"], values["test"]]),
        "the seed": _hash(values["seed"]),
        "the alignment": spans.hexdigest(),
        "the checkpoint format": _hash(FORMAT),
        **{f"the transform '{name}'": _hash(identity) for name, identity in values["transforms"].items()},
    }
    input_hashes = InputHashes(whole, {modality: "".join(hashes) for modality, hashes in by_utterance.items()})
    return CellKey(_hash(values), code_of(cell, transforms), cell.legacy_best_on_test, input_hashes)


def code_of(cell: Cell, transforms: Mapping[str, Transform]) -> dict[str, str]:
    """Return a hash of each source file that makes a cell's result."""
    others = (spec for transform in transforms.values() for spec in transform.plug_ins())
    return code_hashes([*cell.recipe.plug_ins(), *others])


def is_complete(folder: Path, key: CellKey, *, again: bool) -> bool:
    """Return whether a cell was finished with this key, and its files are those that were written.

    ``again``: what other code made does not count.

    Raises:
        MerkitError: It was finished, or begun, with other code, and ``again`` is false.
    """
    finished, begun = _stored(folder / RECORD), _stored(folder / _BEGUN)
    for stored in (finished, begun if (folder / HISTORY).exists() else None):
        if stored is not None and not again and _same_inputs(stored, key):
            check_code(folder, stored["code"], key.code)
    return (
        finished is not None and _same_key(finished, key) and not damaged_parts(folder, finished, with_checkpoint=True)
    )


def clear(folder: Path, key: CellKey, ids: Sequence[str]) -> None:
    """Remove what a killed run left half-done, and everything of a cell that is damaged or was begun with another key.

    What was finished, or trained for an epoch, is removed only after a line that says why. ``ids`` are those of the
    utterances, in the order of the key's hashes.
    """
    begun = _stored(folder / _BEGUN)
    same = begun is not None and _same_key(begun, key, exactly=True)
    if (folder / RECORD).exists():
        _log.warning("'%s' is trained again, its results are replaced: %s", folder, _why(folder, key, begun, ids))
        shutil.rmtree(folder)
    elif (folder / HISTORY).exists() and (lost := _lost(folder, key) if same else _changes(begun, key, ids)):
        _log.warning("'%s' is trained from its first epoch again: %s", folder, lost)
        shutil.rmtree(folder)
    elif folder.exists() and not same:
        shutil.rmtree(folder)
    for name in (CHECKPOINT, PREDICTIONS, BY_EPOCH_TABLE):
        _remove(folder / name)
    remove_leftovers(folder)
    write_texts({folder / _BEGUN: seal({**key.values, "input_hashes": asdict(key.input_hashes)})})


def tidy(folder: Path) -> None:
    """Remove what only a cell that is not finished needs."""
    for name in (STATE, BY_EPOCH):
        _remove(folder / name)


def _why(folder: Path, key: CellKey, begun: Mapping[str, Any] | None, ids: Sequence[str]) -> str:
    """Say why a cell with a record is not complete."""
    finished = _stored(folder / RECORD)
    if finished is None:
        return f"{RECORD} is damaged, or of an earlier version"
    if _same_key(finished, key):
        return f"{', '.join(damaged_parts(folder, finished, with_checkpoint=True))} damaged or missing"
    same = begun is not None and all(begun[name] == finished[name] for name in key.values)
    return _changes({**finished, "input_hashes": begun["input_hashes"] if same and begun else None}, key, ids)


def _changes(stored: Mapping[str, Any] | None, key: CellKey, ids: Sequence[str]) -> str:
    """Say what differs between the key of a cell that was begun and the present one."""
    if stored is None:
        return f"{_BEGUN} is damaged or missing"
    changes = []
    before = stored["input_hashes"]
    if stored["inputs"] != key.inputs and before is not None:
        names = {**before["whole"], **key.input_hashes.whole}
        changes += [name for name in names if before["whole"].get(name) != key.input_hashes.whole.get(name)]
        for modality, now in key.input_hashes.by_utterance.items():
            old = before["by_utterance"].get(modality, "")
            spans = [slice(first, first + _DIGITS) for first in range(0, len(now), _DIGITS)]
            other = [name for name, span in zip(ids, spans, strict=True) if old[span] != now[span]]
            if other:
                changes.append(f"the {modality} of {len(other)} of {len(ids)} utterances ({listed(other, _NAMED)})")
    if stored["inputs"] != key.inputs and not changes:
        changes.append("its settings or inputs")
    if code := changed_files(stored["code"], key.code):
        changes.append(f"the code ({listed(code, _NAMED)})")
    if changes:
        return f"changed since: {'; '.join(changes)}"
    return "the test predictions of every epoch are asked for"


def _lost(folder: Path, key: CellKey) -> str | None:
    """Say what a cell lacks to be resumed; ``None``: nothing."""
    epochs = finished_epochs(folder / STATE)
    if epochs is None:
        return f"{STATE} is damaged or missing"
    if not key.by_epoch:
        return None
    lost = [epoch for epoch in range(1, epochs + 1) if read_stamped_table(folder / BY_EPOCH, f"{epoch:05d}") is None]
    return f"{BY_EPOCH} of epoch {lost[0]} damaged or missing" if lost else None


def _stored(path: Path) -> dict[str, Any] | None:
    """Return the key in a cell's file; ``None`` if there is no such file, or it is damaged or of an older format."""
    try:
        values = unseal(path)
    except (OSError, ValueError):
        return None
    if not {"inputs", "code", "by_epoch"} <= values.keys():
        return None
    hashes = values.get("input_hashes")
    known = isinstance(hashes, dict) and hashes.keys() == {"whole", "by_utterance"}
    return {**values, "input_hashes": hashes if known else None}


def _same_inputs(stored: Mapping[str, Any], key: CellKey) -> bool:
    return bool(stored["inputs"] == key.inputs and stored["by_epoch"] >= key.by_epoch)


def _same_key(stored: Mapping[str, Any], key: CellKey, *, exactly: bool = False) -> bool:
    same = _same_inputs(stored, key) and stored["code"] == key.code
    return same and (not exactly or stored["by_epoch"] == key.by_epoch)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
