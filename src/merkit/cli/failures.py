"""The end of commands that go on after a bad input: what failed and why, and the exit code that says so."""

from collections.abc import Mapping
from typing import Annotated

import typer

from merkit.cli.console import messages
from merkit.core.characters import one_line

FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first input that fails.")]


def exit_if_failed(failures: Mapping[str, str], done: int, what: str, remedy: str = "") -> None:
    """List the inputs that failed, and exit with 1, or with 2 where nothing was done; return where none failed.

    Args:
        failures: Why, by the input's name.
        done: How many inputs were done, now or earlier.
        what: Their name in the plural.
        remedy: What to do.

    Raises:
        typer.Exit: Something failed.
    """
    if not failures:
        return
    for name, why in failures.items():
        messages().print(f"failed: {one_line(name)}: {one_line(why)}")
    verb = "is" if done == 1 else "are"
    count = f"{len(failures)} of {len(failures) + done} {what} failed, as listed; {done} {verb} done."
    messages().print(f"merkit: {count}{remedy and f' {remedy}.'}")
    raise typer.Exit(1 if done else 2)
