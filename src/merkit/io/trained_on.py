"""Which utterances a checkpoint was trained on: hashes of their ids in ``trained-on.txt``, a line each, sorted.

``provenance.json`` has their number and the hash of that file; in earlier checkpoints it has the hashes themselves.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import CheckpointError, MerkitError
from merkit.data.files import file_hash
from merkit.data.strict_json import read_object
from merkit.formats.checkpoint_folder import PROVENANCE, TRAINED_ON

_DIGITS = 16


def name_hash(utterance: str) -> str:
    """Return 16 hexadecimal digits that stand for an utterance's id, which may name a person."""
    return hashlib.blake2b(utterance.encode(), digest_size=_DIGITS // 2).hexdigest()


def write_trained_on(folder: Path, learned: Collection[str]) -> dict[str, Any]:
    """Write the ``name_hash`` of each utterance, and return what the provenance says of the file."""
    (folder / TRAINED_ON).write_text("".join(f"{name}\n" for name in sorted(learned)))
    return {"count": len(learned), "hash": file_hash(folder / TRAINED_ON)}


def read_trained_on(folder: Path) -> frozenset[str]:
    """Return ``name_hash`` of every utterance that a checkpoint or a feature extractor in it was trained on.

    Raises:
        CheckpointError: It has no such record, or not the one that it was saved with.
    """
    path = folder / PROVENANCE
    try:
        facts = read_object(path)["trained_on"]
        if "hash" not in facts:
            return frozenset(facts["utterances"].split())
    except (MerkitError, AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not record the utterances of training: train the model again, or name its recipe"
        ) from error
    return _read_hashes(folder / TRAINED_ON, facts)


def _read_hashes(path: Path, facts: Mapping[str, Any]) -> frozenset[str]:
    try:
        if path.stat().st_size == facts["count"] * (_DIGITS + 1) and file_hash(path) == facts["hash"]:
            return frozenset(path.read_text().split())
    except (OSError, MerkitError, KeyError, TypeError):  # of a provenance that was edited, too
        pass
    raise CheckpointError(f"{path} is damaged or missing: copy the checkpoint again.")
