"""Files that are made once from others and kept in the user's cache, checked at each use.

The files of one folder are written one by one, each atomically; last comes a record with their hashes. A folder without
it, or with a file of another content, counts as not made and is made anew. Reading 145 MB for their hash takes about
0.2 s, once in a process; a file that is read later is what was written.
"""

import fcntl
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError, first_line
from merkit.data.checksums import damaged_files, hash_files, seal, unseal
from merkit.data.files import atomic_path, make_folder

_log = logging.getLogger(__name__)

VARIABLE = "MERKIT_CACHE"
"""The environment variable that names the cache's folder."""
_RECORD = "made.json"
_LOCK = ".lock"

Writers = Mapping[str, Callable[[Path], object]]
"""What writes each file, by the file's name."""


def cache_folder() -> Path:
    """Return the folder of the cache: ``MERKIT_CACHE``, or ``merkit`` among the caches of the platform.

    Raises:
        MerkitError: Neither the variable nor the user's home says where it is.
    """
    named = os.environ.get(VARIABLE)
    try:
        if named:
            return Path(named).expanduser().absolute()
        home = Path.home()
    except RuntimeError as error:
        raise MerkitError(f"No home folder for the cache: name one without ~ with {VARIABLE}") from error
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "merkit"
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else home / ".cache") / "merkit"


def is_made(folder: Path, origin: Mapping[str, Any]) -> bool:
    """Return whether a folder of the cache has a record of this origin; the files are not read."""
    return _recorded(folder, origin) is not None


def made_once(folder: Path, origin: Mapping[str, Any], prepare: Callable[[], Writers]) -> Path:
    """Return a folder of the cache, made if that was not done before; a second process waits for the first.

    Args:
        folder: The folder.
        origin: What the files are made from, and by what: JSON values that are recorded and compared.
        prepare: Reads what the files are made from, and returns what writes each of them.

    Raises:
        MerkitError: The cache cannot be written to; or as ``prepare``.
    """
    if _is_complete(folder, origin):
        return folder
    with _explained():
        make_folder(folder)
    with _alone(folder):
        if not _is_complete(folder, origin):  # unless another process has made it meanwhile
            _make(folder, origin, prepare())
    return folder


def _make(folder: Path, origin: Mapping[str, Any], writers: Writers) -> None:
    with _explained():
        for name, write in writers.items():
            with atomic_path(folder / name) as path:
                write(path)
        hashes = hash_files(folder, [folder / name for name in writers])
        with atomic_path(folder / _RECORD) as path:
            path.write_text(seal({"origin": dict(origin), "files": hashes}), encoding="utf-8")


def _is_complete(folder: Path, origin: Mapping[str, Any]) -> bool:
    hashes = _recorded(folder, origin)
    return hashes is not None and not damaged_files(folder, hashes)


def _recorded(folder: Path, origin: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the hashes of a folder's files, or None where there is no such record or it is damaged."""
    try:
        record = unseal(folder / _RECORD)
    except (OSError, ValueError):
        return None
    hashes = record.get("files")
    return hashes if record.get("origin") == origin and isinstance(hashes, dict) and hashes else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process or thread works in a folder, and keep others waiting meanwhile."""
    try:
        file = (folder / _LOCK).open("w")
    except OSError:  # the first file that is written raises a clear error
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("Waiting for another process that writes '%s'", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks: two processes write the same
            _log.debug("'%s' is not locked: %s", folder, error)
        yield


@contextmanager
def _explained() -> Iterator[None]:
    """Say in errors of writing which variable names another folder."""
    try:
        yield
    except (MerkitError, OSError) as error:
        raise MerkitError(f"{first_line(error)}; {VARIABLE} names another folder for the cache") from error
