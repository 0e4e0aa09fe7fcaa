"""Sections of a report, one function each: from scored runs, or rows of a results file, to tables.

A new section is a function that returns a `Section`, and its name in `sections_of`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from merkit.evaluation.conditions import Condition, Difference
from merkit.evaluation.probes import SETTINGS, representations_of
from merkit.evaluation.scores import Scores
from merkit.evaluation.subsets import training_note
from merkit.metrics.comparison import NOT_DISTINGUISHABLE
from merkit.reporting.details import details_section, forest
from merkit.reporting.reference import Reference, above
from merkit.reporting.results import Entry, Group
from merkit.reporting.rows import ResultRow, by_run
from merkit.reporting.section import Cell, Column, Row, Section
from merkit.reporting.text import (
    METRIC_NAMES,
    counted,
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
_SYSTEM = Column("System")


def sections_of(group: Group) -> list[Section]:
    """Return the sections of one protocol in their order; those without content are left out."""
    made = [
        results_section(group.rows, group.printed, _counts_warning(group)),
        comparison_section(group),
        subset_section(group),
        text_section(group),
        probe_section(group),
        reference_section(group.rows, group.printed),
        *(details_section(group.protocol, entry) for entry in group.entries),
        class_section(group),
        cost_section(group.rows),
        provenance_section(group),
    ]
    return [section for section in made if section.rows or section.caption or section.chart]


def results_section(rows: Sequence[ResultRow], references: Sequence[Reference], warning: str = "") -> Section:
    """Return the test scores of all runs of one protocol, each system below those that its paper prints."""
    runs = by_run(rows)
    metrics = list(runs[0])
    best = {metric: max(run[metric].mean for run in runs) for metric in metrics}
    shown: list[list[Reference]] = []
    lines: list[Row] = []
    for run in runs:
        first = run[metrics[0]]
        printed = _printed_for(first, references)
        if printed and printed not in shown:
            lines.append(_paper_row(printed, metrics))
        shown.append(printed)
        scores = [row_cell(run[metric], bold=run[metric].mean == best[metric]) for metric in metrics]
        name = Cell(first.run, first.changes, "baseline" if first.is_baseline else "")
        last = [Cell(_number(first.valid)), SELECTIONS[first.selection], Cell(str(first.seed_count))]
        lines.append(Row([name, *scores, *last, features_cell(first)], "baseline" if first.is_baseline else ""))
        if first.leaky_best_on_test is not None:
            leaky = [Cell(_number(run[metric].leaky_best_on_test)) for metric in metrics]
            source = Cell("never a result: for papers that select so")
            cells = [Cell(first.run, tag="leaky"), *leaky, Cell(""), SELECTIONS["best_test"], Cell(""), source]
            lines.append(Row(cells, "leaky"))
    valid = Column(f"{METRIC_NAMES[metrics[0]]}, validation", numeric=True)
    return Section(
        "Results",
        [_SYSTEM, *_metric_columns(metrics), valid, Column("Epoch"), Column("Seeds", numeric=True), Column("Features")],
        lines,
        results_caption(rows),
        warning,
        forest(runs, {run[metrics[0]].run: _printed_for(run[metrics[0]], references) for run in runs}),
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
            f"{next(iter(run.values())).run} "
            + ", ".join(f"{METRIC_NAMES[name]} {row.pooled:.2f}" for name, row in run.items())
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
        system = Cell(c.system, f"{counted(len(c.seeds), 'seed')} in common")
        p_values = [Cell(p_text(p)) for p in (c.p_value, c.adjusted)]
        rows.append(Row([system, difference, *p_values, Cell(f"{sign} {c.verdict}", tone=tone)]))
    numeric = [Column(text, numeric=True) for text in ("Difference, points", "p", "p (Holm)")]
    caption = (
        f"95 % bootstrap confidence interval over {cluster}s, the same draws for both systems. p: paired permutation"
        f" test that swaps the systems in whole {cluster}s; Holm's adjustment for all rows of the table decides the"
        " verdict, at 5 %."
    )
    title = f"{METRIC_NAMES[group.metric]} compared with {name}"
    return Section(title, [_SYSTEM, *numeric, Column("Verdict")], rows, caption if rows else "")


def subset_section(group: Group) -> Section:
    """Return the scores of each run with every subset of its modalities, where they were requested."""
    systems: dict[str, list[str]] = {}
    for entry in group.entries:
        if entry.subsets:
            systems.setdefault(training_note(entry.run), []).append(entry.name)
    notes = "; ".join(f"{', '.join(names)}: {note}" for note, names in systems.items())
    caption = (
        "The stored checkpoints on the test split; the other modalities are missing in every utterance."
        f" {_drop_caption(group, 'all modalities')} {notes}."
    )
    found = [(entry, entry.subsets) for entry in group.entries if entry.subsets]
    records = _condition_records("modalities", found, lambda entry, _: {"training": training_note(entry.run)})
    return _condition_section(group, "Subsets of the modalities", "Modalities", found, caption, "subsets.csv", records)


def text_section(group: Group) -> Section:
    """Return the scores of each run with the transcript and with another column of texts, where they were requested."""
    found = [(entry, entry.texts) for entry in group.entries if entry.texts]
    missing = "; ".join(f"{condition.name}: {condition.missing}" for condition in (found[0][1] if found else ()))
    caption = (
        "The stored checkpoints, trained on 'text', on the test split with another column in its place."
        f" {_drop_caption(group, 'the column text')} Test utterances without a text: {missing}."
    )
    records = _condition_records("text_column", found, lambda _, condition: {"missing": condition.missing})
    return _condition_section(group, "Another text column", "Text column", found, caption, "text-column.csv", records)


def probe_section(group: Group) -> Section:
    """Return the scores of linear probes of each run's representations, where they were requested."""
    found = [(entry, probe) for entry in group.entries for probe in entry.probes or ()]
    metrics = list(found[0][1].scores) if found else []
    rows = []
    for entry, probe in found:
        tone, sign, words = ("good", "▲", "above") if probe.above_chance else ("same", "≈", "not above")
        above = Cell(points(probe.above.mean, sign=True), interval_text(probe.above.interval))
        scores = [score_cell(probe.scores[metric]) for metric in metrics]
        rows.append(
            Row([Cell(entry.name), Cell(probe.name), *scores, above, Cell(f"{sign} {words} chance", tone=tone)])
        )
    records = [
        {
            "protocol": entry.scores["protocol"],
            "run": entry.name,
            "representation": probe.representation,
            "modality": probe.modality,
            **_score_record(metric, probe.scores),
            **_difference_record("above_chance", probe.above),
            "verdict": "above chance" if probe.above_chance else "not above chance",
            "probe": SETTINGS,
        }
        for entry, probe in found
        for metric in probe.scores
    ]
    difference = Column("Above chance, points of UA", numeric=True)
    return Section(
        "Linear probes",
        [_SYSTEM, Column("Representation"), *_metric_columns(metrics), difference, Column("Verdict")],
        rows,
        _probe_caption(group),
        file="probes.csv" if any(entry.probes is not None for entry in group.entries) else "",
        records=records,
    )


def reference_section(rows: Sequence[ResultRow], references: Sequence[Reference]) -> Section:
    """Return the scores printed for a protocol that the results do not show."""
    protocol = rows[0].protocol
    shown = [reference for run in by_run(rows) for reference in _printed_for(next(iter(run.values())), references)]
    names = [("System", 0), ("Modalities", 0), ("Metric", 0), ("Printed", 1), ("Epoch selected", 0), ("Features", 0)]
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
    columns = [Column(name, numeric=bool(numeric)) for name, numeric in names]
    return Section("Other scores printed for this protocol", columns, others)


def class_section(group: Group) -> Section:
    """Return every run's F1 by class."""
    classes = group.entries[0].scores["per_class"]
    columns = [Column(f"{row['label']} ({row['support']})", numeric=True) for row in classes]
    rows = [
        Row([Cell(e.name), *(Cell(spread_text(r["f1"]["mean"], r["f1"]["std"])) for r in e.scores["per_class"])])
        for e in group.entries
    ]
    caption = "Percent, folds pooled, mean over seeds; in parentheses the number of test utterances."
    return Section("F1 by class", [_SYSTEM, *columns], rows, caption)


def cost_section(rows: Sequence[ResultRow]) -> Section:
    """Return parameters, training time and memory of every run."""
    names = ("Parameters", "of them trained", "Training, all", "per fold and seed", "Peak memory")
    lines = []
    for run in by_run(rows):
        row = next(iter(run.values()))
        seconds = float(row.seconds)
        cells = [
            f"{row.parameters:,}",
            f"{row.trainable_parameters:,}",
            duration_text(seconds),
            duration_text(seconds / (row.seed_count * row.folds)),
            memory_text(row.peak_memory_bytes),
        ]
        lines.append(Row([Cell(row.run), *map(Cell, cells)]))
    return Section("Cost", [_SYSTEM, *(Column(name, numeric=True) for name in names)], lines)


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
            + (f", hash of the code {row.code_sha256[:16]}" if row.code_sha256 else ""),
            "Recipe": f"{row.recipe_sha256[:16]}; seeds {', '.join(row.seeds.split())};"
            f" {counted(row.folds, 'fold')}: {', '.join(entry.scores['folds'])}",
            "Data": f"{data['corpus']}, version {data['corpus_version']}, {data['sha256'][:16]};"
            f" {', '.join(f'{name} {count:,}' for name, count in data['counts'].items())}",
            "Encoders": "; ".join(encoders),
            "Versions": versions,
            "Machine": f"{_facts(provenance['machine'])}; started {provenance['started']}",
        }
        rows += [Row([Cell(entry.name), Cell(name), Cell(text, tone="fact")]) for name, text in facts.items()]
    return Section("Provenance", [_SYSTEM, Column(""), Column("")], rows)


def score_cell(score: Mapping[str, Any], bold: bool = False) -> Cell:
    """Return mean, standard deviation over seeds and interval of a score between 0 and 1, in percent."""
    return Cell(spread_text(score["mean"], score["std"]), interval_text(score["interval"]), bold=bold)


def row_cell(row: ResultRow, bold: bool = False) -> Cell:
    """Return mean, standard deviation over seeds and interval of a row, in percent."""
    return score_cell({"mean": row.mean / 100, "std": row.share_std, "interval": (row.low / 100, row.high / 100)}, bold)


def _paper_row(printed: Sequence[Reference], metrics: Sequence[str]) -> Row:
    first = printed[0]
    values = [next((f"{r.value:g}" for r in printed if r.metric == metric), "") for metric in metrics]
    features = Cell(first.made_of, _source(first), tone="features")
    name, epoch = Cell(first.system, tag="paper"), _selected(first.selection)
    return Row([name, *map(Cell, values), Cell(""), epoch, Cell(""), features], "printed")


def _selected(selection: str) -> Cell:
    """Return what a paper selected its epoch on, marked where it was the test split."""
    return Cell(selection.removeprefix("on "), tag="leaky" if "test" in selection else "")


def _source(reference: Reference) -> str:
    return "; ".join(filter(None, [reference.source, _EVIDENCE[reference.evidence], reference.note]))


def _printed_for(row: ResultRow, references: Sequence[Reference]) -> list[Reference]:
    return above(references, row.model, row.protocol, row.modalities)


def _counts_warning(group: Group) -> str:
    differences = group.entries[0].scores["count_differences"]
    more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
    listed = "; ".join(differences[:6]) + more
    return f"Not the published corpus. Its counts differ: {listed}." if differences else ""


def _metric_columns(metrics: Iterable[str]) -> list[Column]:
    return [Column(METRIC_NAMES[metric], numeric=True, wide=number > 0) for number, metric in enumerate(metrics)]


def _number(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.2f}"


def _drop_caption(group: Group, whole: str) -> str:
    cluster = group.entries[0].scores["cluster"]
    return (
        f"Drop: {METRIC_NAMES[group.metric]} with {whole} less that of the row [95 % bootstrap confidence interval over"
        f" {cluster}s, the same draws for both]."
    )


def _condition_section(
    group: Group,
    title: str,
    head: str,
    found: Sequence[tuple[Entry, Sequence[Condition]]],
    caption: str,
    file: str,
    records: Sequence[Mapping[str, Any]],
) -> Section:
    metrics = group.entries[0].run.protocol.metrics
    rows = []
    for entry, conditions in found:
        for condition in conditions:
            drop = condition.drops.get(group.metric)
            lost = Cell("") if drop is None else Cell(points(drop.mean), interval_text(drop.interval))
            scores = [score_cell(condition.scores[metric], bold=not condition.drops) for metric in metrics]
            rows.append(Row([Cell(entry.name), Cell(condition.name), *scores, lost]))
    columns = [_SYSTEM, Column(head), *_metric_columns(metrics), Column("Drop, points", numeric=True)]
    return Section(title, columns, rows, caption if rows else "", file=file if rows else "", records=records)


def _condition_records(
    column: str,
    found: Sequence[tuple[Entry, Sequence[Condition]]],
    more: Callable[[Entry, Condition], Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    """Return a record for each run, condition and metric; scores in percent, drops in points."""
    return [
        {
            "protocol": entry.scores["protocol"],
            "run": entry.name,
            column: condition.name,
            **_score_record(metric, condition.scores),
            **_difference_record("drop", condition.drops.get(metric)),
            **more(entry, condition),
        }
        for entry, conditions in found
        for condition in conditions
        for metric in condition.scores
    ]


def _score_record(metric: str, scores: Scores) -> dict[str, Any]:
    score = scores[metric]
    shares = {"mean": score["mean"], "std": score["std"], "low": score["interval"][0], "high": score["interval"][1]}
    return {"metric": metric, **{name: None if share is None else 100 * share for name, share in shares.items()}}


def _difference_record(name: str, difference: Difference | None) -> dict[str, Any]:
    ends = (None, None, None) if difference is None else (difference.mean, *difference.interval)
    names = (name, f"{name}_low", f"{name}_high")
    return {name: None if share is None else 100 * share for name, share in zip(names, ends, strict=True)}


def _probe_caption(group: Group) -> str:
    probed = [entry for entry in group.entries if entry.probes]
    without = [entry.name for entry in group.entries if entry.probes == ()]
    sentences = []
    if probed:
        kinds = dict.fromkeys(
            f"{name}: {description} ({entry.run.model})"
            for entry in probed
            for name, description in representations_of(entry.run).items()
        )
        scores = probed[0].scores
        sentences = [
            f"Linear probes ({SETTINGS}) of what the stored checkpoints compute from each modality, fitted to the"
            " training utterances that have it, scored on the test split; test utterances without the modality get the"
            " class shares of the training split. Above chance: mean recall (UA) less that of a prediction without"
            f" knowledge of the class, 1 in {len(scores['labels'])} [95 % bootstrap confidence interval over"
            f" {scores['cluster']}s].",
            f"{'; '.join(kinds)}.",
        ]
    if without:
        sentences.append(f"Models without a representation of a single modality: {', '.join(without)}.")
    return " ".join(sentences)


def _facts(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_fact(value)}" for name, value in values.items() if value not in (None, [], ""))


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
