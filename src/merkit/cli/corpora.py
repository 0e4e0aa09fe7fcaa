"""``merkit prepare`` and ``merkit doctor``: make a manifest of a raw release, and check it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show, show_json
from merkit.cli.options import AllowPartial, AsJson, Data, parse_values
from merkit.cli.progress import shown_progress


def prepare(
    corpus: Annotated[str, typer.Argument(help="Name of the corpus; see 'merkit list corpora'.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the manifest to.", show_default=False)],
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Folder of the raw release, or file of the table. Parley needs none.")
    ] = None,
    set_: Annotated[list[str], typer.Option("--set", help="Option of the corpus: KEY=VALUE. May be repeated.")] = [],  # noqa: B006 (typer copies it)
    allow_partial: AllowPartial = False,
) -> None:
    """Read a raw release and write its manifest."""
    from merkit.core.corpus import CorpusSpec
    from merkit.core.errors import MerkitError
    from merkit.core.lookup import load
    from merkit.data.corpus.prepare import prepare as prepare_corpus
    from merkit.experiments.recipe import check_options

    spec: CorpusSpec = load("corpora", corpus)
    options = check_options(spec.options, parse_values(set_), f"prepare {corpus}")
    if raw is None:
        if not spec.makes_media:
            raise MerkitError(f"prepare {corpus}: give the folder of the raw release with --raw DIR")
        raw = out
    manifest = prepare_corpus(spec, raw, out, options, allow_partial)
    counts = ", ".join(f"{name} {count}" for name, count in manifest.info.counts.items())
    show(f"{out}: {counts}{' (incomplete corpus)' if manifest.info.partial else ''}")


def doctor(data: Data, as_json: AsJson = False) -> None:
    """Check a prepared corpus: counts, media, texts, known defects."""
    from merkit.core.lookup import load, names
    from merkit.data.corpus.doctor import examine
    from merkit.data.corpus.findings import render
    from merkit.data.corpus.manifest import read_manifest

    manifest = read_manifest(data)
    spec = load("corpora", manifest.info.name) if manifest.info.name in names("corpora") else None
    with shown_progress() as progress:
        findings = examine(manifest, spec, lambda done, total: progress("media", done, total))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        show(render(findings))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
