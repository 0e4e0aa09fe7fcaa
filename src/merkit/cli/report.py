"""``merkit report``: runs side by side, recomputed from their stored predictions."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.options import Features, TextColumn
from merkit.cli.progress import shown_progress
from merkit.cli.scores import print_probes, print_subsets, print_texts


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
    probes: Annotated[
        bool,
        typer.Option("--probes", help="Ask linear probes what each modality's representation in a network knows."),
    ] = False,
    text_column: TextColumn = None,
    features: Features = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="CSV file of results to renew; other protocols than those of the runs stay."),
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option("--readme", help="Markdown file whose marked results table to renew too; needs --results."),
    ] = None,
) -> None:
    """Write tables, plots and tests of significance: HTML, Markdown and CSV."""
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
        print(path)
