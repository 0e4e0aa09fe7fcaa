"""`merkit report`: runs to one HTML page, one Markdown file and CSV files, all scores computed anew."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merkit.core.arguments import checked_arguments
from merkit.core.characters import markdown_text
from merkit.core.errors import ConfigError
from merkit.core.progress import ProgressCallback
from merkit.data.files import atomic_path, write_texts
from merkit.evaluation.probes import probe_scores
from merkit.evaluation.subsets import modalities_of, subset_conditions
from merkit.evaluation.text_columns import PLAIN, plain_conditions, text_conditions
from merkit.io.outputs import Outputs
from merkit.reporting.kept_results import renewed
from merkit.reporting.page import page
from merkit.reporting.reference import read_references, shipped_references
from merkit.reporting.results import Entry, Group, gather
from merkit.reporting.rows import rows_csv
from merkit.reporting.section import Section, section_markdown, to_csv
from merkit.reporting.sections import sections_of

_TASKS_NAMED = 3
"""So many tasks are named in a title."""

RECORD = "report.json"
"""Name of the record of a report's files."""


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Files of a report, and what it shows."""

    html: Path
    markdown: Path
    csv: Path
    written: tuple[Path, ...]
    """All files: those three, and the others that were requested."""
    requested: tuple[Section, ...]
    """Scores under other conditions, each with a file of its own."""


@checked_arguments
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
    text_condition: str | None = None,
    features: Path | None = None,
    progress: ProgressCallback | None = None,
    results: Path | None = None,
    readme: Path | None = None,
    results_page: Path | None = None,
) -> ReportFiles:
    """Write ``report.html`` (self-contained), ``report.md`` and ``report.csv`` about runs into a folder.

    No file changes unless all of them can be written in full, and none that merkit did not write. ``report.json``
    records them.

    Args:
        runs: Folders that `merkit train` wrote; of one task or several, each of which has tables of its own.
        out: The folder; made where it is missing.
        data: The manifest's folder, if it was moved since training.
        reference: Folder name of the run that the others are compared with; see `results.gather` for the default.
        printed: Table of scores printed in papers; ``None``: the one that comes with merkit.
        title: Title of the page; ``None``: names the tasks.
        subsets: Show the scores of each run with every subset of its modalities, also in ``subsets.csv``.
        probes: Show those of linear probes of each run's representations, also in ``probes.csv``.
        text_column: Show those of each run that reads text with this column in place of the transcript, also in
            ``text-column.csv``.
        text_condition: ``plain``: score each run with the transcript in plain text too. Predictions for these are made
            once and stored in the run's folder.
        features: Folder of the feature stores for them; ``None``: ``features`` in the manifest's folder.
        progress: Called with their progress.
        results: CSV file of kept results, in which the runs' tasks are renewed; see `kept_results.renewed`.
        readme: Markdown file with the short table of ``results``, renewed with it.
        results_page: Markdown file with all tables of ``results``, renewed with it.

    Raises:
        MerkitError: A run is incomplete or cannot be compared; ``results``, ``readme`` or ``results_page`` cannot be
            renewed; a folder cannot be written to.
    """
    references = read_references(printed or shipped_references())
    groups = gather(runs, references, data=data, reference=reference)
    check_report(out, (results, readme, results_page))
    renewed(groups, results, readme, results_page, references)  # mistakes in the files are errors before the work
    if subsets and all(len(modalities_of(entry.run)) < 2 for group in groups for entry in group.entries):
        raise ConfigError("--subsets: none of the runs has more than one modality; leave the option out")
    if text_column and not any("text" in modalities_of(entry.run) for group in groups for entry in group.entries):
        raise ConfigError(f"--text-column {text_column}: none of the runs reads text; leave the option out")
    if text_condition not in (None, PLAIN):
        raise ConfigError(f"--text-condition: found '{text_condition}', expected '{PLAIN}'")

    def with_conditions(entry: Entry) -> Entry:
        if not (subsets or probes or text_column or text_condition):
            return entry
        run = entry.run
        texts = []
        if text_column and "text" in modalities_of(run):
            texts = text_conditions(run, text_column, features, progress)
        if text_condition and "text" in modalities_of(run):
            texts += plain_conditions(run, features, progress)[1 if texts else 0 :]
        return replace(
            entry,
            subsets=tuple(subset_conditions(run, features, progress)) if subsets else (),
            probes=tuple(probe_scores(run, features, progress)) if probes else None,
            texts=tuple(texts),
        )

    groups = [replace(group, entries=tuple(map(with_conditions, group.entries))) for group in groups]
    kept = renewed(groups, results, readme, results_page, references)
    title = title or "Results on " + _tasks(groups)
    html, markdown, csv = (out / f"report.{ending}" for ending in ("html", "md", "csv"))
    sections = {group.title: sections_of(group) for group in groups}
    texts = {
        html: page(sections, title),
        markdown: _markdown(sections, title),
        csv: rows_csv(row for group in groups for row in group.rows),
    }
    records: dict[str, list[Mapping[str, Any]]] = {}
    requested = tuple(section for of_task in sections.values() for section in of_task if section.file)
    for section in requested:
        records.setdefault(section.file, []).extend(section.records)
    texts |= {out / file: to_csv(rows, list(rows[0]) if rows else ()) for file, rows in records.items()}
    outputs = Outputs(out / RECORD, tuple(texts))
    with ExitStack() as stack:  # the kept files take their places last, if all others have
        for path, text in kept.items():
            stack.enter_context(atomic_path(path)).write_text(text, encoding="utf-8")
        outputs.write({"runs": [str(run) for run in runs]}, {}, {path: _writer(text) for path, text in texts.items()})
    return ReportFiles(html, markdown, csv, (*texts, *kept), requested)


def check_report(out: Path, kept: Iterable[Path | None] = ()) -> None:
    """Refuse to write a report over files that merkit did not write, or over those in which results are kept.

    Raises:
        MerkitError: Names the file and what to do.
    """
    named = [out / f"report.{ending}" for ending in ("html", "md", "csv")]
    Outputs(out / RECORD, tuple(named)).check()
    paths = [path.resolve() for path in (out / RECORD, *named, *kept) if path is not None]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"'{path}' would be written more than once: give each file a name of its own")


def _writer(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _tasks(groups: Sequence[Group]) -> str:
    """Return the titles of a few tasks, the protocols and the number of many."""
    if len(groups) <= _TASKS_NAMED:
        return ", ".join(group.title for group in groups)
    return f"{', '.join(dict.fromkeys(group.protocol for group in groups))}: {len(groups)} tasks"


def renew_tables(results: Path, readme: Path | None = None, page: Path | None = None) -> tuple[Path, ...]:
    """Renew the tables that show a file of results, without any run, and return the files.

    Raises:
        MerkitError: A file cannot be read, has another layout, or cannot be written.
    """
    texts = renewed([], results, readme, page, read_references(shipped_references()))
    write_texts(texts)
    return tuple(texts)


def _markdown(sections: Mapping[str, Sequence[Section]], title: str) -> str:
    blocks = [f"# {markdown_text(title)}"]
    for task, of_task in sections.items():
        blocks.append(f"## {markdown_text(task)}")
        for section in of_task:
            if section.rows or section.caption:
                blocks += [f"### {markdown_text(section.title)}", section_markdown(section)]
    return "\n\n".join(blocks) + "\n"
