"""The end of commands over recordings: each outcome is shown as it comes, and what failed decides the exit code."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from merkit.cli.console import show, show_json
from merkit.cli.failures import exit_if_failed
from merkit.core.characters import one_line
from merkit.core.errors import MerkitError

if TYPE_CHECKING:
    from merkit.recordings.bulk import Outcome

T = TypeVar("T")


def refuse_first(failures: dict[str, MerkitError], stop: bool, as_json: bool) -> None:
    """Show the recordings that failed before any was read; with ``stop`` the first of them ends the command.

    Raises:
        MerkitError: With ``stop``, the first failure.
    """
    for name, error in failures.items():
        if stop:
            raise error
        if as_json:
            show_json({"recording": name, "error": str(error)})


def follow(
    outcomes: Iterable["Outcome[T]"],
    failures: dict[str, MerkitError],
    *,
    show_result: Callable[["Outcome[T]", T], None],
    to_dict: Callable[[T], dict[str, Any]],
    did: str,
    stop: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    """Show each outcome as it comes, and exit with 1 or 2 where recordings failed.

    Args:
        outcomes: What becomes of the recordings.
        failures: Those that failed before, by name.
        show_result: Prints a new result.
        to_dict: Returns a new result as JSON values.
        did: What was done with them, such as ``analyzed``.
        stop: Whether the first failure ends the command.
        as_json: Whether each outcome is one line of JSON.
        out: The folder of all results, if any.

    Raises:
        MerkitError: With ``stop``, the first failure.
        typer.Exit: Recordings failed.
    """
    from merkit.io.outputs import content_of

    counts = {did: 0, "already done": 0}
    for one in outcomes:
        if one.error is not None:
            if stop:
                raise one.error
            failures[str(one.recording)] = one.error
            if as_json:
                show_json({"recording": str(one.recording), "error": str(one.error)})
        elif one.result is not None:
            counts[did] += 1
            if as_json:
                show_json(to_dict(one.result))
            else:
                show_result(one, one.result)
        elif one.earlier is not None:
            counts["already done"] += 1
            if as_json:
                show_json(content_of(one.earlier))
            else:
                show(f"{one_line(str(one.recording))}: already done, {one_line(str(one.earlier))}")
    if out is not None and not as_json:
        show(f"{out}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    exit_if_failed({name: str(error) for name, error in failures.items()}, sum(counts.values()), "recordings")
