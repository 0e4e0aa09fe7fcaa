"""How damage to a file that merkit wrote is noticed, whichever of its bytes was changed.

* A small file that is read whole has the hash of its content in its name: `write_stamped`, `read_stamped`.
* JSON ends with its own checksum: `seal`, `unseal`.
* Other files are listed in such a JSON with the hashes of their content: `hash_files`, `damaged_files`.

Stored arrays, of which only some are read, have a CRC-32 each in the index of their store.
"""

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.data.files import atomic_path, file_hash
from merkit.data.strict_json import parse_json

_DIGITS = 32
_CHECKSUM = {"checksum_of": "the lines above", "checksum": ""}


def stamped_name(stem: str, content: bytes, suffix: str) -> str:
    """Return the name ``<stem>-<hash><suffix>`` for a file with this content."""
    return f"{stem}-{_hash(content)}{suffix}"


def write_stamped(folder: Path, stem: str, content: bytes, suffix: str) -> Path:
    """Write a file under its `stamped_name` in a folder, atomically, and return its path."""
    path = folder / stamped_name(stem, content, suffix)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def is_stamped(path: Path) -> bool:
    """Return whether a file's name ends with a hash; files of earlier versions have shorter names."""
    return len(path.stem.rpartition("-")[2]) == _DIGITS


def read_stamped(path: Path) -> bytes:
    """Return the content of a file that has a hash in its name.

    Raises:
        ValueError: The content is not the one that was written.
        OSError: It cannot be read.
    """
    content = read_regular(path)
    if is_stamped(path) and path.stem.rpartition("-")[2] != _hash(content):
        raise ValueError("its content is not what was written")
    return content


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file, and never wait for another process as at a named pipe.

    Raises:
        ValueError: It is a folder or a device.
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no file")
    return path.read_bytes()


def seal(values: Mapping[str, Any]) -> str:
    """Return values as JSON that ends with a checksum of itself."""
    checksum = _hash(json.dumps(values, indent=2).encode())
    return json.dumps({**values, **_CHECKSUM, "checksum": checksum}, indent=2) + "\n"


def unseal(path: Path) -> dict[str, Any]:
    """Return the values of a JSON file that was written with `seal`, or by an earlier version without a checksum.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be read.
    """
    text = read_regular(path).decode()
    values = parse_json(text)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    if not values.keys() & _CHECKSUM.keys():  # an earlier version's; one changed byte cannot remove both keys
        return values
    stored = {key: value for key, value in values.items() if key not in _CHECKSUM}
    if text != seal(stored):
        raise ValueError("its content is not what was written")
    return stored


def hash_files(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return the hashes of files by their paths in a folder, sorted."""
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(files)}


def damaged_files(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Return which files of `hash_files` are missing or have another content."""
    return [name for name, expected in hashes.items() if _hash_or_none(folder / name) != expected]


def _hash_or_none(path: Path) -> str | None:
    try:
        return file_hash(path) if path.is_file() else None
    except MerkitError:
        return None


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_DIGITS // 2).hexdigest()
