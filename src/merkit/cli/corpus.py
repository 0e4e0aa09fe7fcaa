"""``merkit corpus``: corpora that are made of merkit's own outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import messages, show
from merkit.cli.failures import exit_if_failed
from merkit.core.characters import one_line
from merkit.core.phrases import listed, number_of


def from_timelines(
    folder: Annotated[
        Path, typer.Argument(help="Folder of analyses, some of them corrected.", metavar="DIR", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus.", show_default=False)],
    recordings: Annotated[
        Path | None,
        typer.Option("--recordings", help="Folder of the recordings, if they were moved.", show_default=False),
    ] = None,
    accept_unchanged: Annotated[
        bool,
        typer.Option("--accept-unchanged", help="Take the labels of timelines that nobody corrected as they are."),
    ] = False,
) -> None:
    """Make a corpus of corrected timelines: their JSON, CSV, TextGrid or EAF, as 'merkit analyze' wrote them.

    Of each recording the file counts that was changed since. The corpus is trained on with the protocol table.
    """
    from merkit.recordings.corrected_corpus import UNCHANGED, corpus_of_timelines

    done = corpus_of_timelines(folder, out, recordings, accept_unchanged)
    if done.manifest is not None:
        show(
            f"{one_line(str(out))}: {number_of(done.timelines, 'timeline')}, {done.labelled} utterances with a label, "
            f"{done.unlabelled} without"
        )
    for label, count in done.new_labels.items():
        messages().print(f"warning: label '{one_line(label)}' ({count}) is none of the model's: is it misspelt?")
    failures = dict(done.failures)
    if done.unchanged:
        names = listed([one_line(name) for name in done.unchanged], 5)
        messages().print(f"left out, {UNCHANGED}: {names}")
        if done.manifest is None and not failures:
            failures = dict.fromkeys(done.unchanged, UNCHANGED)
    exit_if_failed(failures, done.timelines, "timelines")


COMMANDS: dict[str, Callable[..., None]] = {"from-timelines": from_timelines}
"""By name below ``merkit corpus``."""
