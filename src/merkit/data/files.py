"""Atomic writing of files, and hashes of their content.

A file that merkit writes is never seen half-written, not even after a power cut: it is written under another name in
the same folder and renamed when it is complete and on the disk. Meanwhile its writer locks a file beside it, a lock
that the system releases when the process ends: what a killed process left is distinguished from what a living one
is writing, on any machine.
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
from typing import Any, BinaryIO

import numpy.typing as npt

from merkit.core.errors import MerkitError, OutputError

TEMPORARY = ".tmp-"
"""Prefix of the names of unfinished files and of their locks; those left by a crash are removed by the next writer."""
_LOCK = ".lock"

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
    temporary path has the same suffix and lies in the same folder; missing folders are made. An older file at ``path``
    is replaced only at the end and kept when writing fails. Where ``path`` is a link, what it points to is replaced.
    What killed processes left in the folder of ``path`` is removed, once in each process.

    Raises:
        MerkitError: The folder cannot be written to (read-only, full, forbidden), or ``path`` is a pipe or a device;
            names the folder and what to do.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise MerkitError(f"'{path}' is a pipe or a device, which no file can replace: choose another place")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_once(path.parent.absolute())
    with _explained(path), _claimed(path.parent) as prefix:
        temporary = path.with_name(f"{prefix}-{path.name[-100:]}")
        try:
            with _explained(path):  # while the disk is still full
                yield temporary
                _to_disk(temporary)
                temporary.replace(path)
                _sync(path.parent)
        except BaseException:
            remove(temporary)
            raise


@contextmanager
def _claimed(folder: Path) -> Iterator[str]:
    """Yield a prefix for the name of an unfinished file, and lock the file ``<prefix>.lock`` beside it meanwhile."""
    while True:
        prefix = f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
        path = folder / f"{prefix}{_LOCK}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks: no process can take the file for a leftover
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_open_at(path, descriptor):
            break  # else another process took it for a leftover before it was locked
        os.close(descriptor)
    try:
        yield prefix
    finally:
        remove(path)
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of killed processes from a folder, and nothing that a living process writes."""
    with suppress(OSError):
        names = [path.name for path in folder.iterdir() if path.name.startswith(TEMPORARY)]
        for lock in [name for name in names if name.endswith(_LOCK)]:
            with suppress(OSError):  # a living writer's, or a file system without locks
                descriptor = os.open(folder / lock, os.O_RDWR)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if is_open_at(folder / lock, descriptor):
                        for name in names:
                            if name.startswith(lock.removesuffix(_LOCK) + "-"):
                                remove(folder / name)
                        remove(folder / lock)
                finally:
                    os.close(descriptor)


def is_open_at(path: Path, descriptor: int) -> bool:
    """Return whether a path still is the open file: another process may have removed it since."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _remove_leftovers_once(folder: Path) -> None:
    remove_leftovers(folder)


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several text files; none is renamed to its name before all of them are complete.

    Raises:
        MerkitError: As `atomic_path`.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            stack.enter_context(atomic_path(path)).write_text(text, encoding="utf-8")


def write_safetensors(arrays: Mapping[str, npt.NDArray[Any]], path: Path, metadata: Mapping[str, str]) -> None:
    """Write arrays to the temporary path of `atomic_path`.

    The library writes to a name of its own beside its file, which would stay after a kill. So it gets a folder that
    counts as unfinished like the path itself.
    """
    from safetensors.numpy import save_file

    folder = path.with_name(f"{path.name}-parts")
    folder.mkdir()
    try:
        save_file(dict(arrays), folder / "arrays", dict(metadata))
        (folder / "arrays").replace(path)
    finally:
        remove(folder)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is not written to any more a second name, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


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
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MerkitError(f"{path}: cannot be read: a folder, pipe or device, expected a file")
    with os.fdopen(descriptor, "rb") as file:
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
    except ValueError:  # a character that no name of a file has
        raise MerkitError(f"No file {str(path)!r}: its name has a character that no file's name can have") from None
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
        raise OutputError(f"Cannot write '{path.name}' in '{path.parent}': {_REMEDIES[number]}") from error


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < _FULL_BYTES
    return False


def _is_about(error: OSError, targets: Set[Path]) -> bool:
    if error.filename is None:  # a full disk, noticed by write(), names no file
        return True
    path = Path(os.fsdecode(error.filename))
    return path in targets or any(one.name.startswith(TEMPORARY) for one in (path, *path.parents))


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
