"""``merkit demo``: everything once, on the synthetic corpus."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.analyze import print_analysis
from merkit.cli.console import show
from merkit.cli.progress import shown_progress
from merkit.cli.scores import print_comparison


def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put corpus, runs, report and analysis.")] = Path("demo"),
) -> None:
    """Make a synthetic corpus of spoken calls, train on it, report, and analyse one call."""
    from merkit.api.demo import run_demo

    with shown_progress() as progress:
        result = run_demo(folder, progress)
    print_comparison(result.scores)
    print_analysis(result.analysis)
    show(f"report:   {result.report}")
    show(f"analysis: {result.analysis_file}")
