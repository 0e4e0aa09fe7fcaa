"""Sections of scores under other conditions: subsets of modalities, another column of texts, linear probes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from merkit.evaluation.probes import SETTINGS, representations_of
from merkit.evaluation.scores import Difference, Scores
from merkit.evaluation.subsets import training_note
from merkit.reporting.results import Group
from merkit.reporting.section import SYSTEM, Cell, Column, Row, Section, metric_columns, score_cell
from merkit.reporting.text import METRIC_NAMES, interval_text, points


@dataclass(frozen=True, slots=True)
class _Line:
    """Scores of a run under one condition, with the cells that begin and end its records."""

    run: str
    name: str
    scores: Scores
    differences: Mapping[str, Difference]
    first: Mapping[str, Any]
    last: Mapping[str, Any] = field(default_factory=dict)
    verdict: Sequence[Cell] = ()


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
    lines = [
        _Line(entry.name, c.name, c.scores, c.drops, {"modalities": c.name}, {"training": training_note(entry.run)})
        for entry in group.entries
        for c in entry.subsets
    ]
    section = _section(group, "Subsets of the modalities", ("Modalities", "Drop, points"), lines, "drop")
    return replace(section, caption=caption, file="subsets.csv") if lines else section


def text_section(group: Group) -> Section:
    """Return the scores of each run with the transcript and with other texts, where they were requested."""
    lines = [
        _Line(entry.name, c.name, c.scores, c.drops, {"text_column": c.name, "missing": c.missing})
        for entry in group.entries
        for c in entry.texts
    ]
    missing = dict.fromkeys(f"{line.name}: {line.first['missing']}" for line in lines)
    caption = (
        "The stored checkpoints, trained on 'text', on the test split with other texts in its place: another column, "
        "or plain text, in lower case and without punctuation."
        f" {_drop_caption(group, 'the column text')} Test utterances without a text: {'; '.join(missing)}."
    )
    section = _section(group, "Other texts", ("Texts", "Drop, points"), lines, "drop")
    return replace(section, caption=caption, file="text-column.csv") if lines else section


def probe_section(group: Group) -> Section:
    """Return the scores of linear probes of each run's representations, where they were requested."""
    lines = []
    for entry in group.entries:
        for probe in entry.probes or ():
            representation, _, modality = probe.name.partition(".")
            tone, sign, words = ("good", "▲", "above") if probe.above_chance else ("same", "≈", "not above")
            lines.append(
                _Line(
                    entry.name,
                    probe.name,
                    probe.scores,
                    dict.fromkeys(probe.scores, probe.above),
                    {"representation": representation, "modality": modality},
                    {"verdict": f"{words} chance", "probe": SETTINGS},
                    verdict=[Cell(f"{sign} {words} chance", tone=tone)],
                )
            )
    heads = ("Representation", "Above chance, points of UA", "Verdict")
    section = _section(group, "Linear probes", heads, lines, "above_chance", sign=True)
    requested = any(entry.probes is not None for entry in group.entries)
    return replace(section, caption=_probe_caption(group), file="probes.csv" if requested else "")


def _drop_caption(group: Group, whole: str) -> str:
    cluster = group.entries[0].scores["cluster"]
    return (
        f"Drop: {METRIC_NAMES[group.metric]} with {whole} less that of the row [95 % bootstrap confidence interval over"
        f" {cluster}s, the same draws for both]."
    )


def _section(
    group: Group, title: str, heads: Sequence[str], lines: Sequence[_Line], difference: str, sign: bool = False
) -> Section:
    """Return a section of lines; ``heads`` are those of the columns beside the scores, ``difference`` is its record."""
    metrics = group.entries[0].run.protocol.metrics
    rows, records = [], []
    for line in lines:
        gap = line.differences.get(group.metric)
        shown = Cell("") if gap is None else Cell(points(gap.mean, sign=sign), interval_text(gap.interval))
        scores = [score_cell(line.scores[metric], bold=not line.differences) for metric in metrics]
        rows.append(Row([Cell(line.run), Cell(line.name), *scores, shown, *line.verdict]))
        names = {"protocol": group.protocol, "task": group.rows[0].task, "run": line.run, **line.first}
        for metric in metrics:
            score, gap = line.scores[metric], line.differences.get(metric)
            ends = (None, None, None) if gap is None else (gap.mean, *gap.interval)
            shares = dict(
                zip(("mean", "std", "low", "high"), (score["mean"], score["std"], *score["interval"]), strict=True)
            )
            shares |= zip((difference, f"{difference}_low", f"{difference}_high"), ends, strict=True)
            percents = {name: None if share is None else 100 * share for name, share in shares.items()}
            records.append({**names, "metric": metric, **percents, **line.last})
    before, numeric, *after = heads
    columns = [SYSTEM, Column(before), *metric_columns(metrics), Column(numeric, numeric=True), *map(Column, after)]
    return Section(title, columns, rows, records=records)


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
