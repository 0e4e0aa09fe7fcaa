"""The files of a checkpoint: which there are, that they are its own, and the hashes that it was saved with.

Nothing heavy is imported: a checkpoint that carries code is refused before any library could run it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import CheckpointError, MerkitError
from merkit.data.checksums import hash_files
from merkit.data.strict_json import read_object
from merkit.formats.network_folder import check_network_folder

CONFIG = "config.json"
PROVENANCE = "provenance.json"
TRAINED_ON = "trained-on.txt"
"""The hashes of the ids of all utterances of training, a line each, sorted."""
NOTES = (PROVENANCE, TRAINED_ON, "README.md")
"""Files of a checkpoint that no prediction depends on."""
_MOST_FILES = 10_000


def files_of(checkpoint: Path) -> list[Path]:
    """Return all files of a checkpoint, those of feature extractors in it too, sorted."""
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


def file_hashes(checkpoint: Path) -> dict[str, str]:
    """Return the hashes of the files that predictions depend on, but for ``config.json``, by their relative path."""
    named = [path for path in _paths(checkpoint) if path.is_file() and path != checkpoint / CONFIG]
    return hash_files(checkpoint, [path for path in named if path.name not in NOTES and path.name[0] != "."])


def checksum(values: Mapping[str, Any]) -> str:
    """Return the hash of what ``config.json`` says, without its ``checksum``."""
    rest = {key: value for key, value in values.items() if key != "checksum"}
    return hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=20).hexdigest()


def check_hashes(checkpoint: Path, hashes: Mapping[str, str]) -> None:
    """Refuse a checkpoint whose files are not those that it was saved with.

    Raises:
        CheckpointError: A file is missing, differs, or was added where files are read from.
    """
    found = file_hashes(checkpoint)
    for name in sorted({*found, *hashes}):
        if found.get(name) != hashes.get(name):
            kind = "is missing" if name not in found else "was added" if name not in hashes else "has changed"
            raise CheckpointError(f"{checkpoint / name} {kind} since the checkpoint was saved: copy the folder again.")


def check_folder(checkpoint: Path) -> None:
    """Refuse a folder with pipes, devices or links out of it, or with a network that asks for code or other folders.

    Raises:
        CheckpointError: It has one.
        MerkitError: As `check_network_folder`.
    """
    folder = checkpoint.resolve()
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder  # as the hub's client links
    for number, path in enumerate(_paths(checkpoint)):
        if number > _MOST_FILES:
            raise CheckpointError(f"{checkpoint} holds more than {_MOST_FILES:,} files: it is no checkpoint.")
        if path.is_symlink():
            target = path.resolve()
            if not (target.is_relative_to(folder) or target.is_relative_to(blobs)) or not target.is_file():
                raise CheckpointError(f"{path} is a link out of the checkpoint: put the file itself there.")
        elif not (path.is_file() or path.is_dir()):
            raise CheckpointError(f"{path} is a pipe or device, expected a file: copy the checkpoint again.")
    for config in checkpoint.glob(f"encoders/**/{CONFIG}"):
        if "model_config" not in read_object(config):  # or it is a feature extractor, a checkpoint itself
            check_network_folder(config.parent)


def _paths(checkpoint: Path) -> Iterator[Path]:
    """Yield what is read of a checkpoint, links not followed: the files beside ``config.json``, and ``encoders``."""
    yield from (path for path in checkpoint.glob("*") if path.suffix in (".json", ".safetensors", ".md"))
    if (checkpoint / "encoders").exists() or (checkpoint / "encoders").is_symlink():
        yield checkpoint / "encoders"
    yield from checkpoint.glob("encoders/**/*")


def read_config_values(checkpoint: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's ``config.json``.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    path = checkpoint / CONFIG
    if not path.exists():
        raise CheckpointError(
            f"No checkpoint in '{checkpoint}': {CONFIG} is missing. "
            "Give the folder 'checkpoint' of a run, such as runs/NAME/fold-F/seed-0/checkpoint."
        )
    try:
        return read_object(path)
    except MerkitError as error:
        raise CheckpointError(str(error)) from error
