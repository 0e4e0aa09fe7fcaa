"""Results as CSV and Markdown: tables of reports, of ``results/ours.csv`` and of a README. Figures are in percent."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from merkit.evaluation.probes import SETTINGS, ProbeRow, representations_of
from merkit.evaluation.replay import Difference
from merkit.evaluation.subsets import SubsetRow, training_note
from merkit.evaluation.text_columns import TextRow
from merkit.reporting.reference import Reference
from merkit.reporting.results import METRIC_NAMES, SELECTION_NAMES, Entry, Group

# fmt: off
COLUMNS = (
    "protocol", "run", "model", "encoders", "metric", "mean", "std", "low", "high", "pooled", "valid", "selection",
    "leaky_best_on_test", "seeds", "folds", "support", "clusters", "cluster", "parameters", "trainable_parameters",
    "seconds", "peak_memory_bytes", "corpus_version", "data_sha256", "recipe_sha256", "merkit", "commit",
)
SUBSET_COLUMNS = (
    "protocol", "run", "modalities", "metric", "mean", "std", "low", "high", "drop", "drop_low",
    "drop_high",
    "training",
)
TEXT_COLUMNS = (
    "protocol", "run", "text_column", "missing", "metric", "mean", "std", "low", "high", "drop", "drop_low",
    "drop_high",
)
PROBE_COLUMNS = (
    "protocol", "run", "representation", "modality", "metric", "mean", "std", "low", "high", "above_chance",
    "above_chance_low", "above_chance_high", "verdict", "probe",
)
# fmt: on
_CHOSEN = {"best_valid": "on validation", "last": "last epoch", "best_test": "on the test part, leaky"}


def csv_rows(group: Group) -> list[Mapping[str, Any]]:
    """Return the cells of `COLUMNS`, one row a run and metric, with all that the figure must not be quoted without."""
    return [_row(entry, metric) for entry in group.entries for metric in entry.scores["test"]]


def subset_csv_rows(group: Group) -> list[Mapping[str, Any]]:
    """Return the cells of `SUBSET_COLUMNS`, one row a run, subset of its modalities and metric; drops are in points."""
    return [
        _subset_row(entry, subset, metric)
        for entry in group.entries
        for subset in entry.subsets
        for metric in subset.figures
    ]


def probe_csv_rows(group: Group) -> list[Mapping[str, Any]]:
    """Return the cells of `PROBE_COLUMNS`, one row a run, probe and metric.

    ``above_chance`` is in points of mean recall, whatever the row's metric.
    """
    return [
        _probe_row(entry, probe, metric)
        for entry in group.entries
        for probe in entry.probes or ()
        for metric in probe.figures
    ]


def text_csv_rows(group: Group) -> list[Mapping[str, Any]]:
    """Return the cells of `TEXT_COLUMNS`, one row a run, column of texts and metric; drops are in points."""
    return [
        {
            "protocol": entry.scores["protocol"],
            "run": entry.name,
            "text_column": row.column,
            "missing": row.missing,
            "metric": metric,
            **_figure_cells(row.figures[metric]),
            **_drop_cells(row.drops.get(metric)),
        }
        for entry in group.entries
        for row in entry.texts
        for metric in row.figures
    ]


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as CSV with a head."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def results_markdown(group: Group) -> str:
    """Return the results of one protocol as a Markdown table with its caption; the paper's row stands above ours."""
    metrics = group.entries[0].run.protocol.metrics
    lines = [
        "| system | features | " + " | ".join(METRIC_NAMES[metric] for metric in metrics) + " | epoch chosen | seeds |",
        "|---|---|" + "---|" * len(metrics) + "---|---|",
    ]
    for entry in group.entries:
        scores = entry.scores
        printed = group.printed_above(entry)
        if printed:
            name, made_of, chosen = f"_{entry.run.model}, paper_", printed[0].made_of, printed[0].selection
            values = " | ".join(_printed(printed, metric) for metric in metrics)
            lines.append(f"| {name} | {made_of} | {values} | {chosen} | |")
        name = f"{entry.name} ({entry.changes})" if entry.changes else entry.name
        values = " | ".join(figure_text(scores["test"][metric]) for metric in metrics)
        chosen = _CHOSEN[scores["selection"]]
        lines.append(f"| {name} | {entry.encoders} | {values} | {chosen} | {len(scores['seeds'])} |")
        if scores["legacy_best_on_test"] is not None:
            values = " | ".join(spread_text(scores["legacy_best_on_test"][metric]) for metric in metrics)
            lines.append(f"| {entry.name}, **leaky** | | {values} | on the test part itself | |")
    return "\n".join([*lines, "", caption(group)])


def comparisons_markdown(group: Group) -> str:
    """Return the comparisons of one protocol as a Markdown table."""
    lines = [
        f"| against {group.compared_with.name} | difference, points | 95 % interval | p | p (Holm) | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for c in group.comparisons:
        low, high = (signed(value, 1) for value in c.interval)
        lines.append(
            f"| {c.system} | {signed(c.difference, 2)} | [{low}, {high}] | {p_text(c.p_value)} | {p_text(c.adjusted)}"
            f" | {c.verdict} |"
        )
    return "\n".join(lines)


def subsets_markdown(group: Group) -> str:
    """Return what is left of each run with every subset of its modalities as a Markdown table with its caption."""
    rows = [(entry, entry.subsets) for entry in group.entries]
    return "\n".join([*_drops_lines(group, "modalities", rows), "", subsets_caption(group)])


def subsets_caption(group: Group) -> str:
    """Return the sentences that say how figures with some modalities were made, and how the runs were trained."""
    systems: dict[str, list[str]] = {}
    for entry in group.entries:
        if entry.subsets:
            systems.setdefault(training_note(entry.run), []).append(entry.name)
    notes = "; ".join(f"{', '.join(names)}: {note}" for note, names in systems.items())
    cluster = group.entries[0].scores["cluster"]
    return (
        "The stored checkpoints on the test part; all other modalities are absent in every utterance. Drop: how"
        f" much {METRIC_NAMES[group.metric]} falls against all modalities [95 % interval, {cluster}s drawn anew for"
        f" both at once]. {notes}."
    )


def texts_markdown(group: Group) -> str:
    """Return each run's figures with the transcript and another column's texts as a Markdown table with its caption."""
    rows = [(entry, entry.texts) for entry in group.entries]
    return "\n".join([*_drops_lines(group, "text read", rows), "", texts_caption(group)])


def texts_caption(group: Group) -> str:
    """Return the sentences that say how figures with another column's texts were made."""
    rows = next(entry.texts for entry in group.entries if entry.texts)
    missing = "; ".join(f"{row.column}: {row.missing}" for row in rows)
    cluster = group.entries[0].scores["cluster"]
    return (
        f"The stored checkpoints, trained on 'text', on the test part with another column in its place. Drop: how much"
        f" {METRIC_NAMES[group.metric]} falls against 'text' [95 % interval, {cluster}s drawn anew for both at once]."
        f" Test utterances without a text: {missing}."
    )


def _drops_lines(group: Group, given: str, found: Sequence[tuple[Entry, Sequence[SubsetRow | TextRow]]]) -> list[str]:
    """Return the lines of a Markdown table of each run under several conditions."""
    metrics = group.entries[0].run.protocol.metrics
    lines = [
        f"| system | {given} | " + " | ".join(METRIC_NAMES[metric] for metric in metrics) + " | drop, points |",
        "|---|---|" + "---|" * len(metrics) + "---|",
    ]
    for entry, conditions in found:
        for row in conditions:
            values = " | ".join(figure_text(row.figures[metric]) for metric in metrics)
            lines.append(f"| {entry.name} | {row.given} | {values} | {drop_text(row.drops.get(group.metric))} |")
    return lines


def probes_markdown(group: Group) -> str:
    """Return what linear probes find in the runs' representations as a Markdown table with its caption."""
    metrics = group.entries[0].run.protocol.metrics
    lines = [
        "| system | probed | "
        + " | ".join(METRIC_NAMES[metric] for metric in metrics)
        + " | above chance, points of UA | verdict |",
        "|---|---|" + "---|" * len(metrics) + "---|---|",
    ]
    rows = []
    for entry in group.entries:
        for row in entry.probes or ():
            values = " | ".join(figure_text(row.figures[metric]) for metric in metrics)
            rows.append(f"| {entry.name} | {row.name} | {values} | {above_text(row.above)} | {verdict_of(row)} |")
    return "\n".join([*lines, *rows, "", probes_caption(group)] if rows else [probes_caption(group)])


def probes_caption(group: Group) -> str:
    """Return the sentences that say what was probed and how, and which runs offer nothing to probe."""
    probed = [entry for entry in group.entries if entry.probes]
    kinds = dict.fromkeys(
        f"{name}: {words} ({entry.run.model})"
        for entry in probed
        for name, words in representations_of(entry.run).items()
    )
    without = [entry.name for entry in group.entries if entry.probes == ()]
    sentences = []
    if probed:
        scores = probed[0].scores
        sentences += [
            f"Linear probes ({SETTINGS}) on what the stored checkpoints make of each modality, fitted to the training"
            " part's utterances that have it, asked about the test part; there an utterance without it gets the"
            " training part's class shares. Above chance: mean recall (UA) less that of answers that know nothing of"
            f" the class, 1 in {len(scores['labels'])} [95 % interval, {scores['cluster']}s drawn anew].",
            f"{'; '.join(kinds)}.",
        ]
    if without:
        sentences.append(f"Models that offer no representation of a single modality: {', '.join(without)}.")
    return " ".join(sentences)


def verdict_of(row: ProbeRow) -> str:
    """Return what a probe's interval says, in words."""
    return "above chance" if row.knows else "not above chance"


def above_text(above: Difference) -> str:
    """Return ``+21.30 [15.0, 27.2]`` in percentage points."""
    low, high = (f"{100 * value:.1f}".replace("-", "−") for value in above.interval)
    return f"{signed(above.mean, 2)} [{low}, {high}]"


def drop_text(drop: Difference | None) -> str:
    """Return ``4.20 [1.3, 7.0]`` in percentage points, positive where less is right; nothing for all modalities."""
    if drop is None:
        return ""
    low, high = (f"{100 * value:.1f}".replace("-", "−") for value in drop.interval)
    return f"{100 * drop.mean:.2f} [{low}, {high}]".replace("-", "−")


def caption(group: Group) -> str:
    """Return the sentence that says how the figures of a protocol were made."""
    scores = group.entries[0].scores
    rules = sorted({SELECTION_NAMES[entry.scores["selection"]] for entry in group.entries})
    folds = len(scores["folds"])
    if folds == 1:
        over = "one fold"
    else:
        over = f"{folds} folds, " + ("predictions pooled" if scores["pooled"] else "mean over folds")
    partial = " The corpus is a part of the published one." if scores["count_differences"] else ""
    return (
        f"Percent, mean ± standard deviation over seeds [95 % interval by bootstrap over {scores['clusters']}"
        f" {scores['cluster']}s]; {scores['support']:,} test utterances, {over}; reported: {' or '.join(rules)}."
        f"{partial}"
    )


def figure_text(figure: Mapping[str, Any]) -> str:
    """Return ``62.31 ± 0.42 [60.1, 64.2]``."""
    low, high = (f"{100 * value:.1f}" for value in figure["interval"])
    return f"{spread_text(figure)} [{low}, {high}]"


def spread_text(figure: Mapping[str, Any]) -> str:
    """Return ``62.31 ± 0.42``, or a dash for what is undefined."""
    return "–" if figure["mean"] is None else f"{100 * figure['mean']:.2f} ± {100 * figure['std']:.2f}"


def signed(share: float, digits: int) -> str:
    """Return a difference in percentage points with its sign."""
    return f"{100 * share:+.{digits}f}".replace("-", "−")


def p_text(p_value: float) -> str:
    """Return a p-value with three digits, as ``< 0.001`` below that."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _printed(references: Sequence[Reference], metric: str) -> str:
    return next((f"{reference.value:g}" for reference in references if reference.metric == metric), "")


def _row(entry: Entry, metric: str) -> dict[str, Any]:
    scores, provenance = entry.scores, entry.run.provenance
    leaky = scores["legacy_best_on_test"]
    return {
        "protocol": scores["protocol"],
        "run": entry.name,
        "model": scores["model"],
        "encoders": entry.encoders,
        "metric": metric,
        **_figure_cells(scores["test"][metric]),
        "pooled": _percent(scores["test"][metric]["pooled"]),
        "valid": _percent(scores["valid"][metric]["mean"]),
        "selection": scores["selection"],
        "leaky_best_on_test": "" if leaky is None else _percent(leaky[metric]["mean"]),
        "seeds": " ".join(map(str, scores["seeds"])),
        "folds": len(scores["folds"]),
        **{name: scores[name] for name in COLUMNS if name in ("support", "clusters", "cluster")},
        "parameters": scores["parameters"],
        "trainable_parameters": scores["trainable_parameters"],
        "seconds": f"{scores['seconds']:.1f}",
        "peak_memory_bytes": scores["peak_memory_bytes"],
        "corpus_version": provenance["data"]["corpus_version"],
        "data_sha256": provenance["data"]["sha256"],
        "recipe_sha256": provenance["recipe_sha256"],
        "merkit": provenance["merkit"],
        "commit": provenance.get("commit") or "",
    }


def _subset_row(entry: Entry, subset: SubsetRow, metric: str) -> dict[str, Any]:
    return {
        "protocol": entry.scores["protocol"],
        "run": entry.name,
        "modalities": "+".join(subset.modalities),
        "metric": metric,
        **_figure_cells(subset.figures[metric]),
        **_drop_cells(subset.drops.get(metric)),
        "training": training_note(entry.run),
    }


def _probe_row(entry: Entry, probe: ProbeRow, metric: str) -> dict[str, Any]:
    low, high = probe.above.interval
    return {
        "protocol": entry.scores["protocol"],
        "run": entry.name,
        "representation": probe.representation,
        "modality": probe.modality,
        "metric": metric,
        **_figure_cells(probe.figures[metric]),
        "above_chance": _percent(probe.above.mean),
        "above_chance_low": _percent(low),
        "above_chance_high": _percent(high),
        "verdict": verdict_of(probe),
        "probe": SETTINGS,
    }


def _drop_cells(drop: Difference | None) -> dict[str, str]:
    lost = {} if drop is None else {"drop": drop.mean, "drop_low": drop.interval[0], "drop_high": drop.interval[1]}
    return {column: _percent(share) for column, share in lost.items()}


def _figure_cells(figure: Mapping[str, Any]) -> dict[str, str]:
    low, high = figure["interval"]
    shares = {"mean": figure["mean"], "std": figure["std"], "low": low, "high": high}
    return {column: _percent(share) for column, share in shares.items()}


def _percent(share: float) -> str:
    return f"{100 * share:.4f}"
