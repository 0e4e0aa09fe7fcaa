"""Progress: one bar with the time left on a terminal, a plain line now and then elsewhere, nothing with ``--quiet``."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from merkit.cli.console import messages
from merkit.core.characters import visible
from merkit.core.progress import ProgressCallback

_LINE_EVERY_S = 10.0
_RATE_OVER_S = 3600.0
"""The time left follows from the pace of the last hour: an epoch may take minutes."""


@contextmanager
def shown_progress() -> Iterator[ProgressCallback]:
    """Yield a callback that shows the progress of one command."""
    if not logging.getLogger("merkit").isEnabledFor(logging.INFO):
        yield lambda what, done, total, note="": None
    elif not sys.stderr.isatty() or messages().is_dumb_terminal:
        yield _Lines()
    else:
        with _Bar() as bar:
            yield bar


class _Bar(Progress):
    """The work that was reported last, until it is done: its name, a bar, a note on the current unit, the time left."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False, table_column=_cut()),
            *([BarColumn(16 if messages().width >= 100 else 10)] if messages().width >= 80 else []),
            TextColumn("{task.fields[note]}", markup=False, table_column=_cut()),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=messages(),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # results that go to a file do not pass through the bar
            refresh_per_second=4,
            speed_estimate_period=_RATE_OVER_S,
        )
        self._current: tuple[str, TaskID] | None = None

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        note = visible(note or f"{done} of {total}")
        if self._current is not None and (self._current[0] != what or done == total):
            self.remove_task(self._current[1])
            self._current = None
        if done == total:
            return
        if self._current is None:
            self._current = what, self.add_task(visible(what), completed=done, total=total, note=note)
        else:
            self.update(self._current[1], completed=done, total=total, note=note)


def _cut() -> Column:
    return Column(no_wrap=True, overflow="ellipsis")


class _Lines:
    """A line every ten seconds about what takes longer than that."""

    def __init__(self) -> None:
        self._reported: dict[str, tuple[float, int]] = {}

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        since, before = self._reported.get(what, (now, done))
        if done < before:  # begun anew
            since = now
        elif now - since >= _LINE_EVERY_S:
            messages().print(f"{what}: {done} of {total}{f' ({note})' if note else ''}")
            since = now
        self._reported[what] = (since, done)
