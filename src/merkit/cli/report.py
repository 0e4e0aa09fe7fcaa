"""``merkit report``: runs side by side, recomputed from their stored predictions."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.options import Features
from merkit.cli.progress import shown_progress
from merkit.cli.scores import print_subsets


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.", show_default=False)],
    data: Annotated[Path | None, typer.Option("--data", help="The prepared corpus, if it was moved.")] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Run to compare the others with.")] = None,
    subsets: Annotated[
        bool,
        typer.Option(
            "--subsets", help="Test each run again with every subset of its modalities, from its checkpoints."
        ),
    ] = False,
    features: Features = None,
    results: Annotated[Path | None, typer.Option("--results", help="CSV file for all figures of these runs.")] = None,
    readme: Annotated[
        Path | None,
        typer.Option("--readme", help="Markdown file whose marked results table to renew; needs --results."),
    ] = None,
) -> None:
    """Write tables, plots and tests of significance: HTML, Markdown and CSV."""
    from merkit.core.errors import ConfigError
    from merkit.experiments.report import write_report
    from merkit.experiments.tables import update_readme, write_results_table

    if readme is not None and results is None:
        raise ConfigError("--readme shows the figures of --results: give both")
    with shown_progress() as progress:
        files = write_report(
            runs, out, data=data, reference=reference, subsets=subsets, features=features, progress=progress
        )
    for group in files.groups:
        print_subsets(group)
    for path in (files.html, files.markdown, files.csv):
        print(path)
    if results is not None:
        table = write_results_table(runs, results, data=data)
        print(results)
        if readme is not None:
            update_readme(readme, table)
            print(readme)
