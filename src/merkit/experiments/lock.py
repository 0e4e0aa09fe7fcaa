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
    """Keep other processes out of a run's folder; the system lets go of the lock when this one is killed.

    Raises:
        MerkitError: Another process is at work there.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / _LOCK).open("w")
    except OSError:  # told in words by the first file that is written
        yield
        return
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MerkitError(
                f"Another process is at work on '{run}': wait for it or stop it, or give another folder with --out."
            ) from None
        except OSError as error:  # a file system without locks
            _log.debug("'%s' is not locked: %s", run, error)
        yield
