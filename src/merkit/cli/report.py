"""``merkit report``: compare runs, with scores recomputed from their stored predictions."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show
from merkit.cli.options import Features, TextColumn, TextCondition
from merkit.cli.progress import shown_progress
from merkit.cli.scores import print_section


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of finished runs; none: renew the tables of --results.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report.", show_default=False)] = None,
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
    text_condition: TextCondition = None,
    features: Features = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="CSV file of results to update; rows of other runs are kept."),
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option("--readme", help="Markdown file whose short table of --results to update."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", help="Markdown file whose tables of all --results to update."),
    ] = None,
) -> None:
    """Compare runs in tables, plots and tests. Writes HTML, Markdown and CSV."""
    from merkit.core.errors import ConfigError
    from merkit.reporting.report import renew_tables, write_report

    if not runs and results is not None:
        for path in renew_tables(results, readme, page):
            show(str(path))
        return
    if not runs or out is None:
        raise ConfigError("No runs or no --out given; give folders of finished runs and --out, or --results alone")
    with shown_progress() as progress:
        files = write_report(
            runs,
            out,
            data=data,
            reference=reference,
            subsets=subsets,
            probes=probes,
            text_column=text_column,
            text_condition=text_condition,
            features=features,
            progress=progress,
            results=results,
            readme=readme,
            results_page=page,
        )
    for section in files.requested:
        print_section(section)
    for path in files.written:
        show(str(path))
