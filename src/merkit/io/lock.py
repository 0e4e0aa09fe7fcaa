"""The lock that keeps other processes out of a folder while one works in it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from merkit.core.errors import MerkitError

_log = logging.getLogger(__name__)

LOCK = ".lock"
"""Name of the file in the folder that is locked."""


@contextmanager
def alone(folder: Path, remedy: str = "give another folder with --out") -> Iterator[None]:
    """Lock a folder against other processes; the system releases the lock when this one ends.

    Args:
        folder: The folder; made where it is missing. The process that holds the lock may remove it.
        remedy: What to do besides waiting, for the error.

    Raises:
        MerkitError: Another process holds the lock.
    """
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / LOCK).open("w")
        except FileNotFoundError:  # its last holder has just removed the folder
            continue
        except OSError:  # the first file that is written raises a clear error
            yield
            return
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MerkitError(
                    f"Another process is working in '{folder}': wait for it or stop it, or {remedy}."
                ) from None
            except OSError as error:  # a file system without locks
                _log.debug("'%s' is not locked: %s", folder, error)
            if _is_there(folder / LOCK, file.fileno()):
                yield
                return


def _is_there(path: Path, descriptor: int) -> bool:
    """Return whether a path still is the open file: its last holder may have removed the folder meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
