"""How long work reports its progress, to a terminal or to a program that embeds merkit."""

from dataclasses import dataclass
from typing import Protocol


class ProgressCallback(Protocol):
    """A function that long work calls as it proceeds."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` units of the work ``what`` are done; ``note`` describes the current one."""


@dataclass(frozen=True)
class Share:
    """One of ``shares`` equal shares of a piece of work, such as one fold and seed of a run."""

    what: str
    number: int = 0
    shares: int = 1

    def report(self, progress: ProgressCallback | None, done: int, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` units of this share are done, as progress of the whole work."""
        if progress is not None:
            progress(self.what, self.number * total + done, self.shares * total, note)
