"""Charts over epochs: learning curves, and the values that a model logs in its history."""

import math
from collections.abc import Iterable, Sequence

from merkit.core.characters import html_text
from merkit.evaluation.stored import StoredCell
from merkit.reporting.charts import Curve, curves, legend
from merkit.reporting.results import Entry
from merkit.reporting.text import METRIC_NAMES

_STYLES = tuple(f"line-{number}{dash}" for dash in ("", " dashed", " dotted") for number in range(1, 7))


def over_epochs(entry: Entry) -> list[str]:
    """Return a run's charts over epochs as HTML."""
    cells = [cell for cell in entry.run.cells if cell.history]
    if not cells:
        return ["<figure><h4>Learning curves</h4><p>The model is fitted without epochs.</p></figure>"]
    return [*_learning(entry, cells), *_logged(entry, cells)]


def _learning(entry: Entry, cells: Sequence[StoredCell]) -> list[str]:
    many = len(entry.run.folds) > 1

    def lines(of: Iterable[Sequence[float]]) -> list[Curve]:
        return [
            Curve(f"{f'fold {cell.fold}, ' if many else ''}seed {cell.seed}", values, int(cell.facts["epoch"]))
            for cell, values in zip(cells, of, strict=True)
        ]

    loss = curves(lines([[row["loss"]["total"] for row in cell.history] for cell in cells]), "Training loss")
    first = entry.run.protocol.metrics[0]
    name = METRIC_NAMES[first]
    valid = [[row["valid"][first] for row in cell.history] for cell in cells]
    metric = curves(lines(valid), f"{name} on validation", factor=100)
    what = "fold and seed" if many else "seed"
    note = f'<figcaption>One line for each {what}. <span class="key chosen"></span>The reported epoch.</figcaption>'
    return [
        f"<figure><h4>{html_text(name)} on validation, percent</h4>{metric}{note}</figure>",
        f"<figure><h4>Training loss</h4>{loss}{note}</figure>",
    ]


def _logged(entry: Entry, cells: Sequence[StoredCell]) -> list[str]:
    """Return a chart for each group of values that the model logs: those whose names agree up to the first dot."""
    groups: dict[str, list[Curve]] = {}
    for name in dict.fromkeys(name for cell in cells for row in cell.history for name in row.get("model", {})):
        values = _means(cells, name)
        if any(value is not None for value in values):
            group, _, member = name.partition(".")
            lines = groups.setdefault(group, [])
            lines.append(Curve(member or group, values, kind=_STYLES[len(lines) % len(_STYLES)]))
    folds = "folds and " if len(entry.run.folds) > 1 else ""
    over = f"Mean over {folds}seeds" if len(cells) > 1 else "One seed"
    note = f"<figcaption>{over}; logged by the model in training.</figcaption>"
    return [
        f"<figure><h4>{html_text(group)}</h4>{curves(lines, group)}"
        f'<div class="legend">{legend(lines)}</div>{note}</figure>'
        for group, lines in groups.items()
    ]


def _means(cells: Sequence[StoredCell], name: str) -> list[float | None]:
    """Return each epoch's mean over the cells with a finite value; ``None`` where none has one."""
    means: list[float | None] = []
    for epoch in range(max(len(cell.history) for cell in cells)):
        rows = [cell.history[epoch].get("model", {}) for cell in cells if epoch < len(cell.history)]
        known = [float(row[name]) for row in rows if name in row and math.isfinite(row[name])]
        means.append(sum(known) / len(known) if known else None)
    return means
