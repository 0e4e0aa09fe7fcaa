"""Results that are kept: ``results/ours.csv``, the short table of a README and a page with all tables.

The given runs replace those of the same task and name; all others stay, in their order. The tables are rendered from
the file, so they can be renewed without any run. A row of an earlier version, which does not name its task, stays until
its run is given again.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from merkit.core.characters import markdown_text
from merkit.core.errors import ConfigError, MerkitError
from merkit.reporting.csv_file import read_text
from merkit.reporting.reference import Reference
from merkit.reporting.results import Group
from merkit.reporting.rows import ResultRow, by_run, read_rows, rows_csv, titles_of
from merkit.reporting.section import Section, section_markdown
from merkit.reporting.sections import cost_section, reference_section, results_section

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
"""Marks between which the tables of a README or page stand."""
MOST = 10
"""Rows of the short table."""


def renewed(
    groups: Sequence[Group],
    results: Path | None,
    readme: Path | None = None,
    page: Path | None = None,
    references: Sequence[Reference] = (),
) -> dict[Path, str]:
    """Return the new text of the results file, of the README and of the page; nothing is written.

    Args:
        groups: Runs as `results.gather` returns them, a group for each task; none: only the tables are renewed.
        results: The CSV file, whose columns are the fields of `ResultRow`; made where it is missing.
        readme: A Markdown file with the marks ``<!-- results:begin -->`` and ``<!-- results:end -->``, for the short
            table of the file's first task.
        page: A Markdown file with the same marks, for all tables of all tasks.
        references: Scores printed in papers, for the page.

    Raises:
        ConfigError: ``readme`` or ``page`` without ``results``.
        MerkitError: A file cannot be read, or the results file has other columns; or a Markdown file lacks the marks.
    """
    if results is None:
        if readme or page:
            raise ConfigError("--readme and --page show the scores of --results: give that file too")
        return {}
    rows = _with_groups(read_rows(results), groups)
    if not rows:
        raise MerkitError(f"{results}: no results found; give at least one folder that `merkit train` wrote")
    texts = {results: rows_csv(row for of_task in rows.values() for row in of_task)}
    titles = titles_of(rows)
    if page is not None:
        tables = [_tables(titles[table], of_task, references) for table, of_task in rows.items()]
        texts[page] = _between_marks(page, "\n\n".join(tables))
    if readme is not None:
        link = Path(os.path.relpath(page, readme.parent)).as_posix() if page else None
        texts[readme] = _between_marks(
            readme, _short_table(*next((titles[table], of_task) for table, of_task in rows.items()), link)
        )
    return texts


def _with_groups(stored: Sequence[ResultRow], groups: Sequence[Group]) -> dict[str, list[ResultRow]]:
    """Return the rows by table: the stored ones, and the given runs in the place of those of the same name.

    A new run follows the last one of its model in its table, or all others.
    """
    new = [row for group in groups for row in group.rows]
    again = {(row.recipe_sha256, row.data_sha256): row.table for row in new}
    tables: dict[str, list[list[ResultRow]]] = {}
    for run in by_run(stored):
        known = None if run[0].task else again.get((run[0].recipe_sha256, run[0].data_sha256))
        tables.setdefault(known or run[0].table, []).append(run)
    for run in by_run(new):
        runs = tables.setdefault(run[0].table, [])
        names = [each[0].run for each in runs]
        if run[0].run in names:
            runs[names.index(run[0].run)] = run
        else:
            same = [number for number, each in enumerate(runs, start=1) if each[0].model == run[0].model]
            runs.insert(max(same, default=len(runs)), run)
    return {table: [row for run in runs for row in run] for table, runs in tables.items()}


def best_of_each_model(rows: Iterable[ResultRow]) -> list[list[ResultRow]]:
    """Return the run of each model with the best validation score on the first metric, in the order of the rows.

    Of more than `MOST` models those with the best validation scores are returned. The test split decides nothing.
    """
    runs = by_run(rows)
    best: dict[str, list[ResultRow]] = {}
    for run in runs:
        model = run[0].model
        if model not in best or run[0].valid > best[model][0].valid:
            best[model] = run
    kept = sorted(best.values(), key=lambda run: run[0].valid, reverse=True)[:MOST]
    return [run for run in runs if run in kept]


def _short_table(title: str, rows: Sequence[ResultRow], link: str | None) -> str:
    section = results_section([row for run in best_of_each_model(rows) for row in run], [])
    own = replace(section, rows=[row for row in section.rows if row.kind != "leaky"])
    short = replace(
        _with_columns(own, (0, 1, -2, -1)),
        caption=f"Protocol {title}; of each model the run with the best validation score. {section.caption}",
    )
    return section_markdown(short) + (f"\n\n[All runs, metrics and protocols]({link})" if link else "")


def _tables(title: str, rows: Sequence[ResultRow], references: Sequence[Reference]) -> str:
    results = results_section(rows, references)
    features = replace(_with_columns(results, (0, -1)), title="Features", caption="")
    blocks = [f"## {markdown_text(title)}", section_markdown(_with_columns(results, range(len(results.columns) - 1)))]
    for section in (features, cost_section(rows), reference_section(rows, references)):
        if section.rows:
            blocks += [f"### {section.title}: {markdown_text(title)}", section_markdown(section)]
    return "\n\n".join(blocks)


def _with_columns(section: Section, kept: Sequence[int]) -> Section:
    rows = [replace(row, cells=[row.cells[number] for number in kept]) for row in section.rows]
    return replace(section, columns=[section.columns[number] for number in kept], rows=rows)


def _between_marks(path: Path, tables: str) -> str:
    text = read_text(path)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise MerkitError(
            f"{path}: expected '{BEGIN}' and '{END}' once each, in this order; add them where the table goes"
        )
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"
