"""The lock that keeps other processes out of a run's folder."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from merkit.core.errors import MerkitError

_log = logging.getLogger(__name__)

_LOCK = ".lock"


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Lock a run's folder against other processes; the system releases the lock when this one ends.

    Raises:
        MerkitError: Another process holds it.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / _LOCK).open("w")
    except OSError:  # the first file that is written raises a clear error
        yield
        return
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MerkitError(
                f"Another process is working in '{run}': wait for it or stop it, or give another folder with --out."
            ) from None
        except OSError as error:  # a file system without locks
            _log.debug("'%s' is not locked: %s", run, error)
        yield
