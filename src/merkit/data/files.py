"""Atomic writing of files, and hashes of their content.

A file that merkit writes is never seen half-written, not even after a power cut: it is written under another name in
the same folder and renamed when it is complete and on the disk.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from merkit.core.errors import MerkitError

TEMPORARY = ".tmp-"
"""Prefix of the names of unfinished files; those left by a crash can be removed."""

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file is larger than this file system allows",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "no permission to write there: change the folder's permissions or choose another one",
    errno.EPERM: "no permission to write there: change the folder's permissions or choose another one",
    errno.ENOTDIR: "a folder in this path is a file: choose another folder",
    errno.EISDIR: "a folder has the file's name: remove it or choose another name",
    errno.EEXIST: "a folder in this path is a file: choose another folder",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to ``path`` on success, remove it on failure.

    ``path`` is a file, or a folder that does not exist yet (the caller makes the temporary path a folder). The
    temporary path has the same suffix and lies in the same folder; missing folders are made. An older file at ``path``
    is replaced only at the end and kept when writing fails.

    Raises:
        MerkitError: The folder cannot be written to (read-only, full, forbidden); names the folder and what to do.
    """
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{path.name[-100:]}"
    try:
        with _explained(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _to_disk(temporary)
            temporary.replace(path)
            _sync(path.parent)
    except BaseException:
        _remove(temporary)
        raise


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several text files; none is renamed to its name before all of them are complete.

    Raises:
        MerkitError: As `atomic_path`.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            stack.enter_context(atomic_path(path)).write_text(text, encoding="utf-8")


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        MerkitError: It cannot be made (read-only, full, forbidden); names the folder and what to do.
    """
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read it; a pipe or a device, which may never end, is refused.

    Raises:
        MerkitError: There is none, it cannot be read, or it is a folder, pipe or device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would wait
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MerkitError(f"{path}: cannot be read: {reason}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MerkitError(f"{path}: cannot be read: a folder, pipe or device, expected a file")
        try:
            yield file
        except OSError as error:
            raise MerkitError(f"{path}: cannot be read: {error.strerror}") from error


def file_hash(path: Path) -> str:
    """Return 40 hexadecimal digits (BLAKE2b) of a file's content.

    Cached in this process as long as the file's size and modification time stay the same.

    Raises:
        MerkitError: There is no such file, or it cannot be read.
    """
    try:
        found = path.stat()
        return _content_hash(str(path), found.st_size, found.st_mtime_ns)
    except FileNotFoundError:
        raise MerkitError(f"No file '{path}'. Was it moved, or is the data folder incomplete?") from None
    except OSError as error:
        raise MerkitError(f"Cannot read '{path}': {error.strerror}") from error


@lru_cache(maxsize=65536)
def _content_hash(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


@contextmanager
def _explained(path: Path, *others: Path) -> Iterator[None]:
    """Turn errors of writing ``path`` into one line, but not those of files that are read meanwhile."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES or not _is_about(error, {path, *path.parents, *others}):
            raise
        raise MerkitError(f"Cannot write '{path.name}' in '{path.parent}': {_REMEDIES[error.errno]}") from error


def _is_about(error: OSError, targets: Set[Path]) -> bool:
    if error.filename is None:  # a full disk, noticed by write(), names no file
        return True
    return Path(os.fsdecode(error.filename)) in targets


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder with its content, is on the disk."""
    if path.is_dir():
        for inside in path.iterdir():
            _to_disk(inside)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
