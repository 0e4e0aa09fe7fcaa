"""``merkit report``: compare runs, with scores recomputed from their stored predictions."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show
from merkit.cli.options import Features, TextColumn
from merkit.cli.progress import shown_progress
from merkit.cli.scores import print_probes, print_subsets, print_texts


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.", show_default=False)],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the prepared corpus, if it was moved.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Name of the run to compare the others with.")
    ] = None,
    subsets: Annotated[
        bool,
        typer.Option("--subsets", help="Score each run's checkpoints with every subset of its modalities."),
    ] = False,
    probes: Annotated[
        bool,
        typer.Option("--probes", help="Train linear probes on each modality's representation."),
    ] = False,
    text_column: TextColumn = None,
    features: Features = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="CSV file of results to update; rows of other protocols are kept."),
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option("--readme", help="Markdown file whose marked results table to update; needs --results."),
    ] = None,
) -> None:
    """Compare runs in tables, plots and tests. Writes HTML, Markdown and CSV."""
    from merkit.reporting.report import write_report

    with shown_progress() as progress:
        files = write_report(
            runs,
            out,
            data=data,
            reference=reference,
            subsets=subsets,
            probes=probes,
            text_column=text_column,
            features=features,
            progress=progress,
            results=results,
            readme=readme,
        )
    for group in files.groups:
        print_subsets(group)
        print_probes(group)
        print_texts(group)
    for path in files.written:
        show(str(path))
