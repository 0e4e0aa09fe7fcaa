"""Progress: a bar with an estimate on a terminal, a plain line now and then elsewhere, nothing where all is quiet."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

_LINE_EVERY_S = 10.0


@contextmanager
def shown_progress() -> Iterator["Progress"]:
    """Yield a function to be told what is being done, how much of it is done, and how much there is."""
    if not logging.getLogger("merkit").isEnabledFor(logging.INFO):
        yield lambda what, done, total, note="": None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def tell(what: str, done: int, total: int, note: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


class _Lines:
    """A line every ten seconds about what takes longer than that."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, int]] = {}

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        since, before = self._said.get(what, (now, done))
        if done < before:  # begun anew
            since = now
        elif now - since >= _LINE_EVERY_S:
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)
            since = now
        self._said[what] = (since, done)
