"""Sections of scores under other conditions: subsets of modalities, another column of texts, linear probes."""

from collections.abc import Mapping, Sequence
from typing import Any

from merkit.evaluation.conditions import Condition
from merkit.evaluation.probes import SETTINGS, representations_of
from merkit.evaluation.scores import Difference, Scores
from merkit.evaluation.subsets import training_note
from merkit.reporting.results import Entry, Group
from merkit.reporting.section import SYSTEM, Cell, Column, Row, Section, metric_columns, score_cell
from merkit.reporting.text import METRIC_NAMES, interval_text, points

_Scored = tuple[Entry, Condition, Mapping[str, Any], Mapping[str, Any]]
"""A run under a condition, with the cells that begin and end its records."""


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
    scored: list[_Scored] = [
        (entry, condition, {"modalities": condition.name}, {"training": training_note(entry.run)})
        for entry in group.entries
        for condition in entry.subsets
    ]
    return _condition_section(group, "Subsets of the modalities", "Modalities", scored, caption, "subsets.csv")


def text_section(group: Group) -> Section:
    """Return the scores of each run with the transcript and with another column of texts, where they were requested."""
    scored: list[_Scored] = [
        (entry, condition, {"text_column": condition.name, "missing": condition.missing}, {})
        for entry in group.entries
        for condition in entry.texts
    ]
    missing = dict.fromkeys(f"{condition.name}: {condition.missing}" for _, condition, *_ in scored)
    caption = (
        "The stored checkpoints, trained on 'text', on the test split with another column in its place."
        f" {_drop_caption(group, 'the column text')} Test utterances without a text: {'; '.join(missing)}."
    )
    return _condition_section(group, "Another text column", "Text column", scored, caption, "text-column.csv")


def probe_section(group: Group) -> Section:
    """Return the scores of linear probes of each run's representations, where they were requested."""
    scored = [(entry, probe) for entry in group.entries for probe in entry.probes or ()]
    metrics = list(scored[0][1].scores) if scored else []
    rows = []
    for entry, probe in scored:
        tone, sign, words = ("good", "▲", "above") if probe.above_chance else ("same", "≈", "not above")
        above = Cell(points(probe.above.mean, sign=True), interval_text(probe.above.interval))
        scores = [score_cell(probe.scores[metric]) for metric in metrics]
        rows.append(
            Row([Cell(entry.name), Cell(probe.name), *scores, above, Cell(f"{sign} {words} chance", tone=tone)])
        )
    records = [
        {
            "protocol": group.protocol,
            "run": entry.name,
            "representation": probe.representation,
            "modality": probe.modality,
            **_score_record(metric, probe.scores),
            **_difference_record("above_chance", probe.above),
            "verdict": "above chance" if probe.above_chance else "not above chance",
            "probe": SETTINGS,
        }
        for entry, probe in scored
        for metric in probe.scores
    ]
    difference = Column("Above chance, points of UA", numeric=True)
    return Section(
        "Linear probes",
        [SYSTEM, Column("Representation"), *metric_columns(metrics), difference, Column("Verdict")],
        rows,
        _probe_caption(group),
        file="probes.csv" if any(entry.probes is not None for entry in group.entries) else "",
        records=records,
    )


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
    scored: Sequence[_Scored],
    caption: str,
    file: str,
) -> Section:
    """Return a section of runs under several conditions."""
    metrics = group.entries[0].run.protocol.metrics
    rows, records = [], []
    for entry, condition, first, last in scored:
        drop = condition.drops.get(group.metric)
        lost = Cell("") if drop is None else Cell(points(drop.mean), interval_text(drop.interval))
        scores = [score_cell(condition.scores[metric], bold=not condition.drops) for metric in metrics]
        rows.append(Row([Cell(entry.name), Cell(condition.name), *scores, lost]))
        for metric in metrics:
            difference = _difference_record("drop", condition.drops.get(metric))
            names = {"protocol": group.protocol, "run": entry.name, **first}
            records.append({**names, **_score_record(metric, condition.scores), **difference, **last})
    columns = [SYSTEM, Column(head), *metric_columns(metrics), Column("Drop, points", numeric=True)]
    return Section(title, columns, rows, caption if rows else "", file=file if rows else "", records=records)


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
