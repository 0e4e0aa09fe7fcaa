"""Scores as tables on a terminal and as JSON for programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merkit.reporting.results import Group

_SUMMARY = (
    *("model", "protocol", "selection", "seeds", "folds", "count_differences", "test"),
    *("seconds", "peak_memory_bytes", "run"),
)


def summary(scores: dict[str, Any]) -> dict[str, Any]:
    """Return what ``--json`` prints of a run's scores."""
    return {key: scores[key] for key in _SUMMARY}


def print_scores(scores: dict[str, Any]) -> None:
    """Print a run's test figures and per-class F1 as two tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    count = len(scores["seeds"])
    title = (
        f"{scores['model']} on {scores['protocol']}: sealed test, {scores['support']} utterances, "
        f"{count} seed{'s' * (count != 1)}, {len(scores['folds'])} fold{'s' * (len(scores['folds']) != 1)}, "
        f"epoch by {scores['selection']}"
    )
    console.print(title)
    differences = scores["count_differences"]
    if differences:
        more = f"; and {len(differences) - 1} more" if differences[1:] else ""
        console.print(f"Not the published corpus, its counts differ: {differences[0]}{more}")
    table = Table("metric", "mean", "std", "95 % interval")
    for name, figure in scores["test"].items():
        low, high = figure["interval"]
        std = "" if figure["std"] is None else f"{100 * figure['std']:.2f}"
        table.add_row(name, f"{100 * figure['mean']:.2f}", std, f"{100 * low:.2f} to {100 * high:.2f}")
    console.print(table)
    classes = Table("class", "utterances", "precision", "recall", "F1")
    for row in scores["per_class"]:
        figures = (_percent(row[name]["mean"]) for name in ("precision", "recall", "f1"))
        classes.add_row(row["label"], str(row["support"]), *figures)
    console.print(classes)
    leaky = scores.get("legacy_best_on_test")
    if leaky:
        told = ", ".join(f"{name} {100 * leaky[name]['mean']:.2f}" for name in scores["test"])
        console.print(f"LEAKY, best epoch on test, not a result: {told}")
    console.print(f"run: {scores['run']}")


def _percent(share: float | None) -> str:
    """Return a share in percent; a dash where it is undefined, as the precision of a class that is never predicted."""
    return "–" if share is None else f"{100 * share:.1f}"


def print_comparison(runs: Sequence[dict[str, Any]]) -> None:
    """Print the test figures of several runs of one protocol, a row each."""
    from rich.console import Console
    from rich.table import Table

    first = runs[0]
    seeds = max(len(run["seeds"]) for run in runs)
    title = (
        f"{first['protocol']}: sealed test, {first['support']} utterances, mean of {seeds} seeds, "
        f"95 % interval over {first['clusters']} {first['cluster']}s, epoch by {first['selection']}"
    )
    metrics = list(first["test"])[:2]
    console = Console()
    console.print(title)
    table = Table("run", *metrics)
    for run in runs:
        table.add_row(run["run"], *(_figure(run["test"][metric]) for metric in metrics))
    console.print(table)


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
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from merkit.reporting.sections import results_caption
    from merkit.reporting.text import interval_text, p_text, points, spread_text

    metric = group.metric
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("variant", overflow="fold")
    for head in (metric, "against base", "p (Holm)"):
        table.add_column(head, no_wrap=True)
    table.add_column("verdict", min_width=15)
    compared = {comparison.system: comparison for comparison in group.comparisons}
    for entry in group.entries:
        score = entry.scores["test"][metric]
        row = [entry.name, spread_text(score["mean"], score["std"])]
        if entry.name in compared:
            c = compared[entry.name]
            row += [f"{points(c.difference, sign=True)} {interval_text(c.interval)}", p_text(c.adjusted), c.verdict]
        table.add_row(*row)
    console = Console()
    console.print(table)
    for entry in group.entries:
        console.print(f"{entry.name}: {entry.changes or entry.features}", highlight=False, markup=False)
    console.print(f"{group.protocol}. {results_caption(group.rows)}", highlight=False, markup=False)
    console.print(f"runs: {group.entries[0].run.path.parent}", highlight=False, markup=False)


def print_conditions(group: "Group") -> None:
    """Print the scores with subsets of modalities, of linear probes and with another text column, where requested."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from merkit.reporting.sections import probe_section, subset_section, text_section

    console = Console()
    for section in (subset_section(group), probe_section(group), text_section(group)):
        narrow = [number for number, column in enumerate(section.columns) if not column.wide]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for number in narrow:
            table.add_column(section.columns[number].name, overflow="fold", no_wrap=number > 0)
        before = ""
        for row in section.rows:
            texts = [" ".join(filter(None, [row.cells[n].text, row.cells[n].detail])) for n in narrow]
            table.add_row(*(Text(text) for text in ["" if texts[0] == before else texts[0], *texts[1:]]))
            before = texts[0]
        if section.rows:
            console.print(table)
        if section.caption:
            console.print(section.caption, highlight=False, markup=False)


def _figure(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    spread = "" if figure["std"] is None else f" ± {100 * figure['std']:.1f}"
    return f"{100 * figure['mean']:.1f}{spread}  [{100 * low:.1f}, {100 * high:.1f}]"
