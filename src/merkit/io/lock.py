"""The lock that keeps other processes out of a folder while one works in it."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.data.files import is_open_at

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
            if is_open_at(folder / LOCK, file.fileno()):  # or its last holder has removed the folder meanwhile
                yield
                return
