"""A call of ``merkit`` in a forked process that is timed, weighed, and killed where it hangs."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HANG_S = 20.0
MEMORY_MB = 2000.0
_OUTPUT = "merkit-output.txt"


@dataclass(frozen=True)
class Outcome:
    """What a call came to."""

    code: int
    """Exit code; negative: the number of the signal that ended it."""
    seconds: float
    memory_mb: float
    """Peak of resident memory, that of the parent at the fork included."""
    output: str

    @property
    def verdict(self) -> str:
        """``done``, ``partial`` or ``refused`` where the call kept its promises, else what it did."""
        if self.code == -signal.SIGKILL and self.seconds >= HANG_S:
            return "hang"
        if self.code < 0:
            return "crash"
        if "Traceback (most recent call last)" in self.output:
            return "traceback"
        if self.memory_mb > MEMORY_MB:
            return "memory"
        if self.code not in (0, 1, 2):
            return "exit code"
        if self.code == 2 and not any(line.startswith(("merkit: ", "Error: ")) for line in self.output.splitlines()):
            return "no message"
        return ("done", "partial", "refused")[self.code]


KEPT = ("done", "partial", "refused")
"""Verdicts of calls that kept their promises."""


class Call:
    """A running call. The parent has imported what the command needs, so that a call takes no time to start."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self.folder = folder
        self.started = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _run(arguments, folder)
        self._descriptor = os.pidfd_open(self.pid)

    def wait(self) -> Outcome:
        """Return the outcome when the call has ended; kill it where it hangs."""
        left = HANG_S - (time.monotonic() - self.started)
        ended, _, _ = select.select([self._descriptor], [], [], max(0.0, left))
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._descriptor)
        code = os.waitstatus_to_exitcode(status)
        output = (self.folder / _OUTPUT).read_text(encoding="utf-8", errors="replace")
        return Outcome(code, time.monotonic() - self.started, usage.ru_maxrss / 1024, output)


def _run(arguments: Sequence[str], folder: Path) -> None:
    """Run the command line in this forked process, and end it."""
    code = 70
    try:
        os.chdir(folder)
        output = os.open(_OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        from merkit.cli.main import app

        with contextlib.suppress(SystemExit):
            try:
                app(list(arguments), standalone_mode=True)
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
