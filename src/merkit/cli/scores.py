"""Scores as tables on a terminal and as JSON for programs."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.cli.console import number, show, show_prose, show_table
from merkit.core.characters import one_line
from merkit.core.phrases import listed, number_of
from merkit.reporting.text import interval_text, p_text, points, spread_text

if TYPE_CHECKING:
    from merkit.reporting.results import Group
    from merkit.reporting.section import Section

_SUMMARY = (
    *("model", "protocol", "selection", "seeds", "folds", "count_differences", "warnings", "test"),
    *("seconds", "peak_memory_bytes", "run"),
)


def summary(scores: dict[str, Any]) -> dict[str, Any]:
    """Return what ``--json`` prints of a run's scores."""
    return {key: scores[key] for key in _SUMMARY}


def print_scores(scores: dict[str, Any]) -> None:
    """Print a run's test scores and per-class F1 as two tables."""
    show(f"{scores['model']} on {scores['protocol']}, {scores['support']} test utterances")
    show(
        f"{number_of(len(scores['seeds']), 'seed')}, {number_of(len(scores['folds']), 'fold')}, "
        f"{_selection(scores)}; percent{', std over seeds' if scores['seeds'][1:] else ''}"
    )
    differences = scores["count_differences"]
    if differences:
        show(f"Not the published corpus, its counts differ: {listed(differences, 1, '; ')}")
    for warning in scores["warnings"]:
        show(f"warning: {warning}")
    show_table(
        ("metric", number("mean"), number("std"), number("95 % interval")),
        [
            (name, _percent(score["mean"], 2), _percent(score["std"], 2), _interval(score, 2))
            for name, score in scores["test"].items()
        ],
    )
    show_table(
        ("class", *map(number, ("utterances", "precision", "recall", "F1"))),
        [
            (
                one_line(row["label"]),
                str(row["support"]),
                *(_percent(row[name]["mean"]) for name in ("precision", "recall", "f1")),
            )
            for row in scores["per_class"]
        ],
    )
    leaky = scores.get("legacy_best_on_test")
    if leaky:
        values = ", ".join(f"{name} {_percent(leaky[name]['mean'], 2)}" for name in scores["test"])
        show(f"LEAKY, best epoch on test, not a result: {values}")


def print_next_steps(run: Path, scores: dict[str, Any]) -> None:
    """Print where a finished run is, its first score, and the commands that use it."""
    from merkit.io.card import analyze_command
    from merkit.io.checkpoint import read_config, stored_published_features

    metric, score = next(iter(scores["test"].items()))
    interval = _interval(score, 1)
    show(f"run:  {run}")
    show(f"test: {metric} {_percent(score['mean'])} %, 95 % interval {interval}")
    show(f"next: merkit report {quote(run)} --out report")
    checkpoint = min(run.glob("fold-*/seed-0/checkpoint"))
    published = stored_published_features(checkpoint)
    if published:
        show(f"note: the checkpoints read published features ({', '.join(published)}) and cannot read recordings")
    else:
        show(f"      {analyze_command(read_config(checkpoint), 'RECORDING', quote(checkpoint), 'TRANSCRIPT')}")


def quote(path: Path) -> str:
    """Return a path as a word of a shell command."""
    return shlex.quote(str(path))


def grid_summary(group: "Group") -> list[dict[str, Any]]:
    """Return what ``--json`` prints of a grid: a row a variant, the base first."""
    against: dict[str, Any] = {
        c.system: {
            "metric": c.metric,
            "difference": c.difference,
            "interval": list(c.interval),
            "p": c.p_value,
            "p_holm": c.adjusted,
            "verdict": c.verdict,
        }
        for c in group.comparisons
    }
    return [
        {
            "variant": entry.name,
            "changes": [] if entry.variant is None else list(entry.variant.changes),
            **{key: value for key, value in summary(entry.scores).items() if key != "run"},
            "run": str(entry.run.path),
            "against_base": against.get(entry.name),
        }
        for entry in group.entries
    ]


def print_grid(group: "Group") -> None:
    """Print the variants of a recipe as one table, with tests against the base."""
    from merkit.reporting.sections import features_cell, results_caption

    metric = group.metric
    rows = []
    compared = {comparison.system: comparison for comparison in group.comparisons}
    for entry in group.entries:
        score = entry.scores["test"][metric]
        row = [entry.name, spread_text(score["mean"], score["std"])]
        if entry.name in compared:
            c = compared[entry.name]
            row += [f"{points(c.difference, sign=True)} {interval_text(c.interval)}", p_text(c.adjusted), c.verdict]
        rows.append(row)
    show_table(("variant", *map(number, (metric, "against base", "p (Holm)")), "verdict"), rows)
    for run in group.rows:
        if run.metric == metric:
            show(f"{run.run}: {run.changes or features_cell(run).text}")
    show_prose(f"Protocol {group.protocol}. {results_caption(group.rows)}")
    folder = group.entries[0].run.path.parent
    show(f"runs: {folder}")
    show(f"next: merkit report {quote(folder)}/* --out report")


def print_section(section: "Section") -> None:
    """Print a section of a report; a name that equals the one above it is left out."""
    shown = {n: column for n, column in enumerate(section.columns) if not column.wide}
    heads = [number(column.name) if column.numeric else column.name for column in shown.values()]
    rows = [[" ".join(filter(None, [row.cells[n].text, row.cells[n].detail])) for n in shown] for row in section.rows]
    names = ["", *(row[0] for row in rows)]
    rows = [["" if row[0] == before else row[0], *row[1:]] for before, row in zip(names, rows, strict=False)]
    if rows:
        show_table(heads, rows)
    show_prose(section.caption)


def _selection(scores: dict[str, Any]) -> str:
    return "no epochs" if scores["selection"] == "none" else f"epoch by {scores['selection']}"


def _percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent; a dash where it is undefined, as the precision of a class that is never predicted."""
    return "–" if share is None else f"{100 * share:.{digits}f}"


def _interval(score: dict[str, Any], digits: int) -> str:
    return " to ".join(_percent(end, digits) for end in score["interval"])
