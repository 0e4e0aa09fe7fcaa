"""``merkit demo``: every step once, on the synthetic corpus."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.cli.console import number, show, show_prose, show_table
from merkit.cli.progress import shown_progress
from merkit.cli.scores import quote
from merkit.reporting.text import score_text

if TYPE_CHECKING:
    from merkit.api.demo import Call

_BAR = 40


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for corpus, runs, report and analysis.")] = Path("demo"),
) -> None:
    """Run every step on synthetic calls.

    Makes a corpus of spoken calls, trains baselines and systems on it, shows the timeline of one call, and writes a
    report.
    """
    from merkit.api.demo import run_demo

    with shown_progress() as progress:
        result = run_demo(folder, progress)
    print_call(result.call)
    show(f"its timeline, with the truth: {result.page}")
    show("")
    print_ladder(result.scores, result.best)
    show(f"report: {result.report}")
    show("")
    show("now your file:")
    show(f"  merkit analyze RECORDING --transcript TRANSCRIPT --checkpoint {quote(result.checkpoint)}")


def print_ladder(scores: Sequence[Mapping[str, Any]], best: float) -> None:
    """Print the test accuracy of each system as a bar, and the best possible one as a line across all of them."""
    last = scores[-1]
    show(
        f"accuracy on {last['support']} test utterances, percent [95 % interval over {last['clusters']} conversations]"
    )
    at = round(_BAR * best)
    rows = [
        (run["run"], score_text(run["test"]["accuracy"]), _bar(run["test"]["accuracy"]["mean"], at)) for run in scores
    ]
    rows.append(("best possible", f"{100 * best:.2f}", " " * at + "┃"))
    show_table(("system", number("accuracy"), ""), rows)


def _bar(share: float, line: int) -> str:
    filled = "█" * round(_BAR * share)
    return f"{filled:{line}}┃" if len(filled) <= line else f"{filled[:line]}┃{filled[line:]}"


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
