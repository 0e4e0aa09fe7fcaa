"""``merkit align``: when each word, syllable and phone of a corpus was spoken."""

from typing import Annotated, Literal

import typer

from merkit.cli.console import show
from merkit.cli.failures import FailFast, exit_if_failed
from merkit.cli.options import Data, Settings, parse_values
from merkit.cli.progress import shown_progress


def align(
    data: Data,
    with_: Annotated[
        str, typer.Option("--with", help="Name of an aligner; 'merkit list aligners' names them.")
    ] = "pocketsphinx",
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Name of the alignment, for a recipe's config.alignment; by default the aligner's."
        ),
    ] = None,
    set_: Settings = [],  # noqa: B006 (typer copies it)
    unaligned: Annotated[
        Literal["error", "frame"],
        typer.Option("--unaligned", help="Utterances that cannot be aligned: an error, or read frame by frame."),
    ] = "error",
    fail_fast: FailFast = False,
) -> None:
    """Find the times of words, syllables and phones in a whole corpus.

    Resumes an interrupted run. Utterances that cannot be read or aligned are listed at the end.
    """
    from merkit.experiments.align import REMEDY, align_corpus

    with shown_progress() as progress:
        folder, aligned = align_corpus(
            data,
            with_,
            name,
            parse_values(set_),
            unaligned_as_frames=unaligned == "frame",
            fail_fast=fail_fast,
            progress=progress,
        )
    missing = f", {aligned.absent} without sound or words" if aligned.absent else ""
    show(f"{folder}: {aligned.new} utterances aligned, {aligned.old} already done{missing}")
    failures = dict(aligned.unreadable)
    if unaligned == "frame" and aligned.failures is not None:
        show(f"{aligned.failures}. They are read frame by frame.")
    elif aligned.failed:
        failures |= aligned.failed
    exit_if_failed(failures, aligned.new + aligned.old, "utterances", REMEDY if aligned.failed else "")
