"""Atomic writing of files, and hashes of their content.

A file that merkit writes is never seen half-written, not even after a power cut: it is written in a temporary folder
beside its place and renamed when it is complete and on the disk. The writer holds a lock in the temporary folder, which
the system releases when it ends: what a killed process left is told from what a living one is writing, on any machine.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from merkit.core.errors import MerkitError

TEMPORARY = ".tmp-"
"""Prefix of the names of the folders of unfinished files; those left by a crash are removed by the next writer."""
_LOCK = ".writer"

_FULL_BYTES = 1 << 16
"""With less space left, an error of writing is one of a full disk."""
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
    temporary path has the same name, in a folder of its own beside ``path``; missing folders are made. An older file at
    ``path`` is replaced only at the end and kept when writing fails. Where ``path`` is a link, what it points to is
    replaced. What killed processes left in the folder of ``path`` is removed, once in each process.

    Raises:
        MerkitError: The folder cannot be written to (read-only, full, forbidden); names the folder and what to do.
    """
    path = path.resolve() if path.is_symlink() else path
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_once(path.parent.absolute())
    with _explained(path), _workplace(path.parent) as own, _explained(path):  # the inner one while the disk is full
        temporary = own / path.name
        yield temporary
        _to_disk(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Make a temporary folder that is locked as long as this process works in it, and remove it at the end."""
    while True:
        own = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
        own.mkdir()
        try:
            lock = _locked(own, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: nobody can take the folder for a leftover
            lock = os.open(own, os.O_RDONLY)
        if lock is not None:
            break  # else another process took it for a leftover before it was locked
    try:
        yield own
    finally:
        remove(own)
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of killed processes from a folder, and nothing that a living process writes."""
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if entry.name.startswith(TEMPORARY) and entry.is_dir()]:
            with suppress(OSError):  # a living writer's, or a file system without locks
                lock = _locked(folder / name, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock is not None:
                    remove(folder / name)
                    os.close(lock)


@lru_cache(maxsize=4096)
def _remove_leftovers_once(folder: Path) -> None:
    remove_leftovers(folder)


def _locked(own: Path, how: int) -> int | None:
    """Lock a temporary folder and return the lock's descriptor; ``None``: it was removed meanwhile.

    Raises:
        OSError: Another process holds the lock, or the file system has none.
    """
    path = own / _LOCK
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, how)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


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
        if not S_ISREG(os.fstat(descriptor).st_mode):
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
        stat = path.stat()
        if not S_ISREG(stat.st_mode):  # a pipe would be waited for
            raise MerkitError(f"Cannot read '{path}': it is no regular file")
        return _content_hash(str(path), stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        raise MerkitError(f"No file '{path}'. Was it moved, or is the data folder incomplete?") from None
    except OSError as error:
        raise MerkitError(f"Cannot read '{path}': {error.strerror}") from error


@lru_cache(maxsize=65536)
def _content_hash(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of writing ``path`` into one line, but not those of files that are read meanwhile."""
    try:
        yield
    except MerkitError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None and (
            os.strerror(errno.ENOSPC) in str(error) or _is_full(path.parent)
        ):  # as libraries tell it that have errors of their own
            number = errno.ENOSPC
        if number not in _REMEDIES or (isinstance(error, OSError) and not _is_about(error, {path, *path.parents})):
            raise
        raise MerkitError(f"Cannot write '{path.name}' in '{path.parent}': {_REMEDIES[number]}") from error


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < _FULL_BYTES
    return False


def _is_about(error: OSError, targets: Set[Path]) -> bool:
    if error.filename is None:  # a full disk, noticed by write(), names no file
        return True
    path = Path(os.fsdecode(error.filename))
    return path in targets or any(parent.name.startswith(TEMPORARY) for parent in (path, *path.parents))


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


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, as far as that is possible."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
