"""Sections of a report, one function each: from scored runs, or rows of a results file, to tables.

A new section is a function that returns a `Section`, and its name in `sections_of`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from merkit.core.phrases import listed, number_of
from merkit.metrics.comparison import NOT_DISTINGUISHABLE
from merkit.reporting.condition_sections import probe_section, subset_section, text_section
from merkit.reporting.details import details_section, forest
from merkit.reporting.reference import Reference, above
from merkit.reporting.results import Group
from merkit.reporting.rows import ResultRow, by_run
from merkit.reporting.section import SYSTEM, Cell, Column, Row, Section, metric_columns, score_cell
from merkit.reporting.text import (
    METRIC_NAMES,
    duration_text,
    interval_text,
    memory_text,
    p_text,
    points,
    spread_text,
)

SELECTIONS = {
    "best_valid": Cell("best on validation"),
    "last": Cell("last epoch"),
    "best_test": Cell("best on the test split", tag="leaky"),
    "none": Cell("no epochs"),
}
PUBLISHED = "†"
"""Marks features that a checkpoint cannot compute from recordings."""
_VERDICTS = {NOT_DISTINGUISHABLE: ("same", "≈"), "Better": ("good", "▲"), "Worse": ("bad", "▼")}
_EVIDENCE = {"paper": "", "secondary": "quoted from a secondary source", "derived": "derived from other values"}


def sections_of(group: Group) -> list[Section]:
    """Return the sections of one task in their order; those without content are left out."""
    made = [
        results_section(group.rows, group.printed, _warning(group)),
        task_section(group),
        comparison_section(group),
        subset_section(group),
        text_section(group),
        probe_section(group),
        reference_section(group.rows, group.printed),
        *(details_section(group.title, entry) for entry in group.entries),
        label_section(group),
        class_section(group),
        cost_section(group.rows),
        provenance_section(group),
    ]
    return [section for section in made if section.rows or section.caption or section.chart]


def task_section(group: Group) -> Section:
    """Return what the runs were asked to predict."""
    task, folds = group.entries[0].run.task, len(group.entries[0].scores["folds"])
    caption = (
        f"Protocol {task.protocol} on {task.corpus}; {task.options or 'default options'}; {number_of(folds, 'fold')};"
        f" {len(task.labels)} classes: {', '.join(task.labels)}. Task {task.id[:8]}: runs of other options, classes,"
        " folds or data have tables of their own and are not compared with these."
    )
    return Section("Task", caption=caption)


def results_section(rows: Sequence[ResultRow], references: Sequence[Reference], warning: str = "") -> Section:
    """Return the test scores of all runs of one task, each system below those that its paper prints."""
    runs = by_run(rows)
    metrics = [row.metric for row in runs[0]]
    best = {metric: max(row.mean for row in rows if row.metric == metric) for metric in metrics}
    plain = any(row.plain_text is not None for row in rows)
    others = ["plain text", "validation"] if plain else ["validation"]
    empty = [Cell("")] * len(others)
    shown: dict[str, list[Reference]] = {}
    lines: list[Row] = []
    for run in runs:
        first = run[0]
        printed = above(references, first.model, first.protocol, first.modalities)
        if printed and printed not in shown.values():
            lines.append(_paper_row(printed, metrics, empty))
        shown[first.run] = printed
        scores = [row_cell(row, bold=row.mean == best[row.metric]) for row in run]
        name = Cell(first.run, first.changes, "baseline" if first.is_baseline else "")
        last = [Cell(_number(first.valid)), SELECTIONS[first.selection], Cell(str(first.seed_count))]
        if plain:
            last.insert(0, Cell(_number(first.plain_text)))
        lines.append(Row([name, *scores, *last, features_cell(first)], "baseline" if first.is_baseline else ""))
        if first.leaky_best_on_test is not None:
            leaky = [Cell(_number(row.leaky_best_on_test)) for row in run]
            source = Cell("never a result: for papers that select so")
            cells = [Cell(first.run, tag="leaky"), *leaky, *empty, SELECTIONS["best_test"], Cell(""), source]
            lines.append(Row(cells, "leaky"))
    named = [Column(f"{METRIC_NAMES[metrics[0]]}, {other}", numeric=True) for other in others]
    return Section(
        "Results",
        [SYSTEM, *metric_columns(metrics), *named, Column("Epoch"), Column("Seeds", numeric=True), Column("Features")],
        lines,
        results_caption(rows),
        warning,
        forest([run[0] for run in runs], shown),
    )


def features_cell(row: ResultRow) -> Cell:
    """Return a run's features, marked where they are published ones."""
    return Cell(row.features if row.reads_recordings else f"{row.features} {PUBLISHED}", tone="features")


def results_caption(rows: Sequence[ResultRow]) -> str:
    """Return how the scores of a protocol's runs were computed."""
    first = rows[0]
    several = any(row.seed_count > 1 for row in rows)
    sentences = [
        ("Percent: mean ± standard deviation over seeds" if several else "Percent")
        + f" [95 % bootstrap confidence interval over {first.clusters} {first.cluster}s];"
        f" test split of {first.support:,} utterances."
    ]
    if first.folds > 1:
        averaged = "mean over folds" if first.averaging == "folds" else "predictions of all folds pooled"
        sentences.append(f"{first.folds} folds, {averaged}.")
    if first.folds > 1 and first.averaging == "folds":
        pooled = "; ".join(
            f"{run[0].run} " + ", ".join(f"{METRIC_NAMES[row.metric]} {row.pooled:.2f}" for row in run)
            for run in by_run(rows)
        )
        sentences.append(f"With the predictions of all folds pooled instead: {pooled}.")
    if not first.published_counts:
        sentences.append("The corpus is only a part of the published one.")
    if not all(row.reads_recordings for row in rows):
        sentences.append(f"{PUBLISHED} An input is published features: the checkpoint cannot read recordings.")
    return " ".join(sentences)


def comparison_section(group: Group) -> Section:
    """Return the comparisons of a protocol's runs with one of them; without rows for a single run."""
    name, cluster = group.compared_with.name, group.entries[0].scores["cluster"]
    rows = []
    for c in group.comparisons:
        tone, sign = _VERDICTS[c.verdict]
        difference = Cell(points(c.difference, sign=True), interval_text(c.interval))
        system = Cell(c.system, f"{number_of(len(c.seeds), 'seed')} in common")
        p_values = [Cell(p_text(p)) for p in (c.p_value, c.adjusted)]
        rows.append(Row([system, difference, *p_values, Cell(f"{sign} {c.verdict}", tone=tone)]))
    numeric = [Column(text, numeric=True) for text in ("Difference, points", "p", "p (Holm)")]
    caption = (
        f"{name} {group.reason}. 95 % bootstrap confidence interval over {cluster}s, the same draws for both systems."
        f" p: paired permutation test that swaps the systems in whole {cluster}s; Holm's adjustment for all rows of the"
        " table decides the verdict, at 5 %."
    )
    title = f"{METRIC_NAMES[group.metric]} compared with {name}"
    return Section(title, [SYSTEM, *numeric, Column("Verdict")], rows, caption if rows else "")


def reference_section(rows: Sequence[ResultRow], references: Sequence[Reference]) -> Section:
    """Return the scores printed for a protocol that the results do not show."""
    protocol = rows[0].protocol
    shown = [r for row in rows for r in above(references, row.model, protocol, row.modalities)]
    others = [
        Row(
            [
                Cell(r.system, r.variant),
                Cell(r.modalities),
                Cell(METRIC_NAMES[r.metric]),
                Cell(f"{r.value:g}"),
                _selected(r.selection),
                Cell(r.features, _source(r)),
            ]
        )
        for r in references
        if r.is_for(protocol) and r not in shown
    ]
    before, printed, after = ("Modalities", "Metric"), Column("Printed", numeric=True), ("Epoch selected", "Features")
    columns = [SYSTEM, *map(Column, before), printed, *map(Column, after)]
    return Section("Other scores printed for this protocol", columns, others)


def label_section(group: Group) -> Section:
    """Return every run's scores by label, a row each; empty where an utterance has one class."""
    if not group.entries[0].run.protocol.multi_label:
        return Section("Scores by label")
    columns = [Column(name, numeric=True) for name in ("Utterances", "Threshold", "Precision", "Recall", "F1")]
    rows = []
    for entry in group.entries:
        for row in entry.scores["per_class"]:
            threshold = Cell(f"{row['threshold']['mean']:.2f}")
            scores = [Cell(spread_text(row[name]["mean"], row[name]["std"])) for name in ("precision", "recall")]
            cells = [Cell(f"{row['support']:,}"), threshold, *scores, score_cell(row["f1"])]
            rows.append(Row([Cell(entry.name), Cell(row["label"]), *cells]))
    cluster = group.entries[0].scores["cluster"]
    caption = (
        "Test split, percent, folds pooled. An utterance has a label where the label's probability reaches its"
        " threshold, the one with the highest F1 on the validation split"
        f" (mean over models). Brackets: 95 % bootstrap confidence interval over {cluster}s. A dash: undefined."
    )
    return Section("Scores by label", [SYSTEM, Column("Label"), *columns], rows, caption)


def class_section(group: Group) -> Section:
    """Return every run's F1 by class; empty where an utterance has several, whose scores `label_section` returns."""
    if group.entries[0].run.protocol.multi_label:
        return Section("F1 by class")
    classes = group.entries[0].scores["per_class"]
    columns = [Column(f"{row['label']} ({row['support']})", numeric=True) for row in classes]
    rows = [
        Row([Cell(e.name), *(Cell(spread_text(r["f1"]["mean"], r["f1"]["std"])) for r in e.scores["per_class"])])
        for e in group.entries
    ]
    over = ", mean over seeds" if any(entry.scores["seeds"][1:] for entry in group.entries) else ""
    caption = f"Percent, folds pooled{over}; in parentheses the number of test utterances."
    return Section("F1 by class", [SYSTEM, *columns], rows, caption)


def cost_section(rows: Sequence[ResultRow]) -> Section:
    """Return parameters, time and memory of every run; times of features only where some were measured."""
    measured = any(row.feature_seconds is not None for row in rows)
    names = ("Parameters", "of them trained", *(("Features",) if measured else ()), "Training, all")
    lines = []
    for row, *_ in by_run(rows):
        seconds = float(row.seconds)
        parameters = Cell(f"{row.parameters:,}", "" if row.counts_frozen else "without frozen networks")
        features = "–" if row.feature_seconds is None else duration_text(row.feature_seconds)
        cells = [
            f"{row.trainable_parameters:,}",
            *([features] if measured else []),
            duration_text(seconds),
            duration_text(seconds / (row.seed_count * row.folds)),
            memory_text(row.peak_memory_bytes),
        ]
        lines.append(Row([Cell(row.run), parameters, *map(Cell, cells)]))
    columns = [Column(name, numeric=True) for name in (*names, "per fold and seed", "Peak memory")]
    caption = "Features: time of extracting those that no earlier run had stored." if measured else ""
    return Section("Cost", [SYSTEM, *columns], lines, caption)


def provenance_section(group: Group) -> Section:
    """Return the code, data, machine and settings of every run."""
    rows = []
    for entry in group.entries:
        provenance = entry.run.provenance
        data, row = provenance["data"], next(row for row in group.rows if row.run == entry.name)
        versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items() if version)
        encoders = [f"{name}: {_facts(keys)}" for name, keys in provenance["encoders"].items()] or ["none"]
        facts = {
            "Command": provenance["command"],
            "Code": f"merkit {row.merkit}, commit {row.commit[:16] or 'unknown'}"
            + "".join(f", source files {code[:16]}" for code in row.code_sha256.split()),
            "Recipe": f"{row.recipe_sha256[:16]}; seeds {', '.join(row.seeds.split())};"
            f" {number_of(row.folds, 'fold')}: {', '.join(entry.scores['folds'])}",
            "Data": f"{data['corpus']}, version {data['corpus_version']}, {data['sha256'][:16]};"
            f" {', '.join(f'{name} {count:,}' for name, count in data['counts'].items())}",
            "Encoders": "; ".join(encoders),
            "Versions": versions,
            "Machine": f"{_facts(provenance['machine'])}; started {provenance['started']}",
        }
        rows += [Row([Cell(entry.name), Cell(name), Cell(text, tone="fact")]) for name, text in facts.items()]
    return Section("Provenance", [SYSTEM, Column(""), Column("")], rows)


def row_cell(row: ResultRow, bold: bool = False) -> Cell:
    """Return mean, standard deviation over seeds and interval of a row, in percent."""
    std = None if row.std is None else row.std / 100
    return score_cell({"mean": row.mean / 100, "std": std, "interval": (row.low / 100, row.high / 100)}, bold)


def _paper_row(printed: Sequence[Reference], metrics: Sequence[str], empty: Sequence[Cell]) -> Row:
    first = printed[0]
    values = [next((f"{r.value:g}" for r in printed if r.metric == metric), "") for metric in metrics]
    features = Cell(first.made_of, _source(first), tone="features")
    name, epoch = Cell(first.system, tag="paper"), _selected(first.selection)
    return Row([name, *map(Cell, values), *empty, epoch, Cell(""), features], "printed")


def _selected(selection: str) -> Cell:
    """Return what a paper selected its epoch on, marked where it was the test split."""
    return Cell(selection.removeprefix("on "), tag="leaky" if "test" in selection else "")


def _source(reference: Reference) -> str:
    return "; ".join(filter(None, [reference.source, _EVIDENCE[reference.evidence], reference.note]))


def _warning(group: Group) -> str:
    scores = group.entries[0].scores
    differences = scores["count_differences"]
    shown = listed(differences, 6, "; ")
    counts = [f"Not the published corpus. Its counts differ: {shown}."] if differences else []
    return " ".join([*counts, *(f"Warning: {warning}." for warning in scores["warnings"])])


def _number(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.2f}"


def _facts(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_fact(value)}" for name, value in values.items() if value not in (None, [], ""))


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
