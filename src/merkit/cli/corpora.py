"""``merkit prepare`` and ``merkit doctor``: make a manifest of a raw release, and check it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show, show_json, show_prose
from merkit.cli.options import AllowPartial, AsJson, Data, Settings, parse_values
from merkit.cli.progress import shown_progress


def prepare(
    corpus: Annotated[str, typer.Argument(help="Name of the corpus; see 'merkit list corpora'.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the manifest to.", show_default=False)],
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Folder of the raw release, or file of the table. Parley needs none.")
    ] = None,
    set_: Settings = [],  # noqa: B006 (typer copies it)
    allow_partial: AllowPartial = False,
) -> None:
    """Read a raw release and write its manifest."""
    from merkit.api.corpora import prepare as prepare_corpus

    manifest = prepare_corpus(corpus, out, raw, parse_values(set_), allow_partial=allow_partial)
    counts = ", ".join(f"{name} {count}" for name, count in manifest.info.counts.items())
    show(f"{out}: {counts}{' (incomplete corpus)' if manifest.info.partial else ''}")


def doctor(data: Data, as_json: AsJson = False) -> None:
    """Check a prepared corpus: counts, media, texts, known defects."""
    from merkit.api.corpora import doctor as examine
    from merkit.data.corpus.findings import render

    with shown_progress() as progress:
        findings = examine(data, progress)
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        show_prose(render(findings))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
