"""How a command ends that is stopped from outside: by Ctrl-C, by a signal, or because its output is no longer read."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from merkit.cli.console import messages
from merkit.cli.options import is_first_process

_RESUMING = frozenset(("align", "augment", "demo", "extract", "predict", "train"))
"""Functions of commands that resume where they were stopped; ``analyze`` and ``transcribe`` may. Others begin anew."""


class Stopped(KeyboardInterrupt):
    """A signal that asks to end. Like Ctrl-C, so that what is open is closed and what is finished is kept."""

    def __init__(self, number: int) -> None:
        self.number = number


def raise_at_signals() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, unless they are ignored, as under ``nohup``."""
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker that was forked: it ends as it would without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Stopped(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


@contextmanager
def stop_at_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Let a signal that asks to end call ``stop`` and be raised after the block; a second one is raised at once."""
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise Stopped(number)
        stop()

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise Stopped(received[0])


def stopped_code(error: KeyboardInterrupt, command: str, options: dict[str, Any]) -> int:
    """Say that a command was stopped, and whether it resumes; return the exit code of the signal."""
    resumes = command in _RESUMING or _resumes_here(command, options)
    if is_first_process():
        with suppress(OSError):  # the terminal may be gone
            messages().print(f"merkit: stopped.{' Give the same command again to resume.' if resumes else ''}")
    return 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)


def _resumes_here(command: str, options: dict[str, Any]) -> bool:
    """Return whether a command over recordings resumes: with ``--out``, and over a corpus."""
    if command not in ("analyze", "transcribe"):
        return False
    from merkit.data.corpus.manifest import is_corpus

    return options["out"] is not None or (command == "transcribe" and any(map(is_corpus, options["recordings"])))


def forget_output() -> None:
    """Send what is still to be printed nowhere: the reader of a pipe is gone, or the disk is full."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
