"""``merkit demo``: every step once, on the synthetic corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merkit.cli.console import number, show, show_prose, show_table
from merkit.cli.progress import shown_progress
from merkit.cli.scores import print_comparison, quote

if TYPE_CHECKING:
    from merkit.api.demo import Call


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for corpus, runs, report and analysis.")] = Path("demo"),
) -> None:
    """Run every step on synthetic calls.

    Makes a corpus of spoken calls, trains baselines and systems on it, writes a report, and analyzes one call.
    """
    from merkit.api.demo import run_demo

    with shown_progress() as progress:
        result = run_demo(folder, progress)
    print_comparison(result.scores)
    print_call(result.call)
    show(f"report:   {result.report}")
    show(f"analysis: {result.analysis_file}")
    show("now your file:")
    show(f"  merkit analyze RECORDING --transcript TRANSCRIPT --checkpoint {quote(result.checkpoint)}")


def print_call(call: "Call") -> None:
    """Print a call's true labels beside those of the three models."""
    analyses = (call.words, call.voice, call.both)
    show_prose(
        f"{call.both.recording.name}, the test call with the greatest variety of true emotions. A hidden emotion "
        "shapes words and voice, each unreliably: 'truth' need not be what a sentence alone suggests."
    )
    labels = [[segment.label or segment.reason or "" for segment in analysis.segments] for analysis in analyses]
    rows = [
        (f"{segment.start_s:.1f}", segment.speaker, *row, segment.text or "")
        for segment, *row in zip(call.both.segments, call.truth, *labels, strict=True)
    ]
    columns = (number("from"), "speaker", "truth", "words say", "voice says", "both say", "text")
    show_table(columns, rows)
    counts = [sum(map(str.__eq__, call.truth, column)) for column in labels]
    show(f"right, of {len(rows)}: words {counts[0]}, voice {counts[1]}, both in the course of the call {counts[2]}")
