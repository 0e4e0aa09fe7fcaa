"""``merkit report``: runs side by side, recomputed from their stored predictions."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.", show_default=False)],
    data: Annotated[Path | None, typer.Option("--data", help="The prepared corpus, if it was moved.")] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Run to compare the others with.")] = None,
    readme: Annotated[
        Path | None, typer.Option("--readme", help="A Markdown file whose results table to renew.")
    ] = None,
) -> None:
    """Write tables, plots and tests of significance: HTML, Markdown and CSV."""
    from merkit.experiments.report import write_report

    files = write_report(runs, out, data=data, reference=reference)
    for path in (files.html, files.markdown, files.csv):
        print(path)
