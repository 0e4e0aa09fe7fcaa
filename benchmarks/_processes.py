"""Measuring in a process of its own, so that no setting profits or suffers from the one before it."""

import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any


def resident_mib() -> float:
    """Return the process' resident set now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib() -> float:
    """Return the process' largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux


def apart(measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Measure in a process of its own, which begins with what is imported here."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=lambda: theirs.send(measure(*arguments)))
    process.start()
    theirs.close()
    try:
        return dict(ours.recv())
    except EOFError:
        raise SystemExit(f"{measure.__name__}{arguments[2:]}: the process died") from None
    finally:
        process.join()
