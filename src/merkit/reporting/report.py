"""`merkit report`: runs to one HTML page, one Markdown file and one CSV file, every figure recomputed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.core.errors import ConfigError
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.files import write_texts
from merkit.evaluation.probes import predict_probes, probe_rows
from merkit.evaluation.subsets import modalities_of, predict_subsets, subset_rows
from merkit.evaluation.text_columns import text_rows
from merkit.reporting.kept_results import renewed
from merkit.reporting.page import page
from merkit.reporting.reference import read_references, shipped_references
from merkit.reporting.results import METRIC_NAMES, Entry, Group, gather
from merkit.reporting.tables import (
    COLUMNS,
    PROBE_COLUMNS,
    SUBSET_COLUMNS,
    TEXT_COLUMNS,
    comparisons_markdown,
    csv_rows,
    probe_csv_rows,
    probes_markdown,
    results_markdown,
    spread_text,
    subset_csv_rows,
    subsets_markdown,
    text_csv_rows,
    texts_markdown,
    to_csv,
)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report was written, and what it shows."""

    html: Path
    markdown: Path
    csv: Path
    written: tuple[Path, ...]
    """All files: those three, and the others that were asked for."""
    groups: tuple[Group, ...]


def write_report(
    runs: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    reference: str | None = None,
    printed: Path | None = None,
    title: str | None = None,
    subsets: bool = False,
    probes: bool = False,
    text_column: str | None = None,
    features: Path | None = None,
    progress: ProgressCallback | None = None,
    results: Path | None = None,
    readme: Path | None = None,
) -> ReportFiles:
    """Write ``report.html`` (self-contained), ``report.md`` and ``report.csv`` about runs into a folder.

    No file changes unless all of them could be written in full.

    Args:
        runs: Folders that `merkit train` wrote; of one protocol or several.
        out: The folder; made if need be.
        data: Where the manifest lies, if not where the runs found it.
        reference: Folder name of the run that the others are compared with; see `results.gather` for the default.
        printed: Table of figures printed in papers; ``None``: the one that comes with merkit.
        title: Of the page; ``None``: names the protocols.
        subsets: Show what is left of each run with every subset of its modalities, also in ``subsets.csv``; predicted
            from its checkpoints, once, and kept in the run's folder.
        probes: Show what linear probes find in each run's representations, also in ``probes.csv``; fitted and kept
            likewise.
        text_column: Show each run that reads text with this column in the place of the transcript beside its own
            figures, also in ``text-column.csv``; predicted and kept likewise.
        features: Folder of the feature stores, for ``subsets``, ``probes`` and ``text_column``; ``None``: ``features``
            in the manifest's folder.
        progress: Told how far ``subsets``, ``probes`` and ``text_column`` are.
        results: CSV file of results that are kept, in which the runs' protocols are renewed; see `ours.renewed`.
        readme: Markdown file that shows ``results``, renewed with it; not without ``results``.

    Raises:
        MerkitError: A run is incomplete or cannot be compared; ``results`` or ``readme`` cannot be renewed, or
            ``readme`` stands alone; a folder cannot be written to.
    """
    if readme is not None and results is None:
        raise ConfigError("--readme shows the figures of --results: give both")
    groups = gather(runs, read_references(printed or shipped_references()), data=data, reference=reference)
    kept = {} if results is None else renewed(groups, results, readme)
    if subsets:
        groups = _with_subsets(groups, data, features, progress)
    if probes:
        groups = _with_probes(groups, data, features, progress)
    if text_column is not None:
        groups = _with_texts(groups, text_column, data, features, progress)
    title = title or "Results on " + ", ".join(group.protocol for group in groups)
    html, markdown, csv = (out / f"report.{ending}" for ending in ("html", "md", "csv"))
    texts = {
        html: page(groups, title),
        markdown: _markdown(groups, title),
        csv: to_csv((row for group in groups for row in csv_rows(group)), COLUMNS),
    }
    if subsets:
        rows = (row for group in groups for row in subset_csv_rows(group))
        texts[out / "subsets.csv"] = to_csv(rows, SUBSET_COLUMNS)
    if probes:
        rows = (row for group in groups for row in probe_csv_rows(group))
        texts[out / "probes.csv"] = to_csv(rows, PROBE_COLUMNS)
    if text_column is not None:
        rows = (row for group in groups for row in text_csv_rows(group))
        texts[out / "text-column.csv"] = to_csv(rows, TEXT_COLUMNS)
    texts |= kept
    write_texts(texts)
    return ReportFiles(html, markdown, csv, tuple(texts), tuple(groups))


def _with_subsets(
    groups: Sequence[Group], data: Path | None, features: Path | None, progress: ProgressCallback | None
) -> list[Group]:
    """Return the groups with the figures of each run's subsets of modalities.

    Raises:
        ConfigError: No run has more than one modality.
    """
    if all(len(modalities_of(entry.run)) < 2 for group in groups for entry in group.entries):
        raise ConfigError("--subsets: none of the runs has more than one modality; leave the option out")

    def shown(entry: Entry) -> Entry:
        predict_subsets(entry.run, _manifest(entry, data), features, progress)
        return replace(entry, subsets=tuple(subset_rows(entry.run)))

    return _each(groups, shown)


def _with_probes(
    groups: Sequence[Group], data: Path | None, features: Path | None, progress: ProgressCallback | None
) -> list[Group]:
    """Return the groups with what linear probes find in each run's representations."""

    def shown(entry: Entry) -> Entry:
        predict_probes(entry.run, _manifest(entry, data), features, progress)
        return replace(entry, probes=tuple(probe_rows(entry.run)))

    return _each(groups, shown)


def _with_texts(
    groups: Sequence[Group], column: str, data: Path | None, features: Path | None, progress: ProgressCallback | None
) -> list[Group]:
    """Return the groups with the figures of those runs that read text.

    Raises:
        ConfigError: None of them does.
    """
    if not any("text" in modalities_of(entry.run) for group in groups for entry in group.entries):
        raise ConfigError(f"--text-column {column}: none of the runs reads text; leave the option out")

    def shown(entry: Entry) -> Entry:
        if "text" not in modalities_of(entry.run):
            return entry
        return replace(entry, texts=tuple(text_rows(entry.run, _manifest(entry, data), column, features, progress)))

    return _each(groups, shown)


def _each(groups: Sequence[Group], shown: Callable[[Entry], Entry]) -> list[Group]:
    return [replace(group, entries=tuple(map(shown, group.entries))) for group in groups]


def _manifest(entry: Entry, data: Path | None) -> Manifest:
    return read_manifest(data or Path(entry.run.provenance["data"]["path"]))


def _markdown(groups: Sequence[Group], title: str) -> str:
    parts = [f"# {title}"]
    for group in groups:
        parts += [f"## {group.protocol}", results_markdown(group)]
        if group.comparisons:
            metric = METRIC_NAMES[group.metric]
            parts += [f"### {metric} compared with {group.compared_with.name}", comparisons_markdown(group)]
        if any(entry.subsets for entry in group.entries):
            parts += ["### With some modalities alone", subsets_markdown(group)]
        if any(entry.texts for entry in group.entries):
            parts += ["### With other words", texts_markdown(group)]
        if any(entry.probes is not None for entry in group.entries):
            parts += ["### What each modality's representation knows", probes_markdown(group)]
        parts += ["### F1 by class", _classes_markdown(group)]
    return "\n\n".join(parts) + "\n"


def _classes_markdown(group: Group) -> str:
    classes = group.entries[0].scores["per_class"]
    lines = [
        "| system | " + " | ".join(f"{row['label']} ({row['support']})" for row in classes) + " |",
        "|---|" + "---|" * len(classes),
    ]
    for entry in group.entries:
        lines.append(
            f"| {entry.name} | " + " | ".join(spread_text(row["f1"]) for row in entry.scores["per_class"]) + " |"
        )
    return "\n".join(lines)
