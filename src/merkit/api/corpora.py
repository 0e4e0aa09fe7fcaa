"""Corpora and reports: prepare a corpus, check it, and compare runs on it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from merkit.api.runs import Run
from merkit.core.arguments import checked_arguments
from merkit.core.corpus import CorpusSpec, Finding
from merkit.core.errors import ConfigError
from merkit.core.lookup import load, names
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.doctor import examine
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.corpus.prepare import prepare as prepare_corpus
from merkit.experiments.mistakes import check_options
from merkit.reporting.report import ReportFiles, write_report


@checked_arguments
def prepare(
    corpus: str,
    out: str | Path,
    raw: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    allow_partial: bool = False,
) -> Manifest:
    """Read a raw release of a corpus and write its manifest; return the manifest.

    Args:
        corpus: Name of the corpus, such as ``table`` or ``meld``; ``merkit list corpora`` lists them.
        out: Folder to write the manifest to.
        raw: Folder of the raw release, or file of the table. Not needed for parley, which is made.
        options: Settings of the corpus by name.
        allow_partial: Accept counts that differ from the published ones.

    Raises:
        MerkitError: The release cannot be read, its counts differ, or an option is unknown.
    """
    spec: CorpusSpec = load("corpora", corpus)
    checked = check_options(spec.options, options or {}, f"prepare {corpus}")
    if raw is None and not spec.makes_media:
        raise ConfigError(f"prepare {corpus}: give the folder of the raw release with --raw DIR (raw=… in Python)")
    return prepare_corpus(spec, Path(out if raw is None else raw), Path(out), checked, allow_partial)


@checked_arguments
def doctor(data: str | Path, progress: ProgressCallback | None = None) -> list[Finding]:
    """Check a prepared corpus: counts, media, texts and known defects; return the findings, most serious first.

    Raises:
        MerkitError: There is no manifest.
    """
    manifest = read_manifest(Path(data))
    spec = load("corpora", manifest.info.name) if manifest.info.name in names("corpora") else None
    return examine(manifest, spec, None if progress is None else partial(progress, "media"))


@checked_arguments
def report(runs: str | Path | Run | Sequence[str | Path | Run], out: str | Path, **options: Any) -> ReportFiles:
    """Compare runs in ``report.html``, ``report.md`` and ``report.csv``; return the files' paths.

    Args:
        runs: A run or several, or their folders.
        out: Folder of the report.
        options: Those of `merkit.reporting.report.write_report`.

    Raises:
        MerkitError: A run is incomplete or cannot be compared.
    """
    runs = [runs] if isinstance(runs, str | Path | Run) else runs
    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    return write_report(folders, Path(out), **options)
