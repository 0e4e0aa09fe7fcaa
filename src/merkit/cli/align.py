"""``merkit align``: when each word, syllable and phone of a corpus was spoken."""

from typing import Annotated, Literal

import typer

from merkit.cli.options import Data, parse_values
from merkit.cli.progress import shown_progress


def align(
    data: Data,
    with_: Annotated[
        str, typer.Option("--with", help="Name of an aligner; 'merkit list aligners' names them.")
    ] = "pocketsphinx",
    name: Annotated[
        str | None, typer.Option("--name", help="Of the alignment, for config.alignment; by default the aligner's.")
    ] = None,
    set_: Annotated[list[str], typer.Option("--set", help="Setting of the aligner: KEY=VALUE. May be repeated.")] = [],  # noqa: B006 (typer copies it)
    unaligned: Annotated[
        Literal["error", "frame"],
        typer.Option("--unaligned", help="What cannot be aligned: an error, or read frame by frame."),
    ] = "error",
) -> None:
    """Find the times of words, syllables and phones in a whole corpus. Goes on where it was stopped."""
    from merkit.experiments.align import align_corpus

    with shown_progress() as progress:
        found = align_corpus(
            data, with_, name, parse_values(set_), unaligned_as_frames=unaligned == "frame", progress=progress
        )
    without = f", {found.done.absent} lack sound or words" if found.done.absent else ""
    print(f"{found.folder}: {found.done.new} utterances aligned, {found.done.old} were there{without}")
    if found.unaligned is not None:
        print(f"{found.unaligned}. They are read frame by frame.")
