"""Charts of a report: all systems on one axis, and confusion, classes, learning curves and calibration of each run."""

from collections.abc import Mapping, Sequence
from typing import Any

from merkit.core.characters import html_text
from merkit.reporting.charts import Scale, axis, reliability, scale_around, track
from merkit.reporting.learning_curves import over_epochs
from merkit.reporting.reference import Reference
from merkit.reporting.results import Entry
from merkit.reporting.rows import ResultRow
from merkit.reporting.section import Section
from merkit.reporting.text import METRIC_NAMES, interval_text, score_text, spread_text


def forest(rows: Sequence[ResultRow], printed: Mapping[str, Sequence[Reference]]) -> str:
    """Return every run's score on the first metric with its interval, on one axis.

    Args:
        rows: The row of each run for that metric.
        printed: The scores that its paper prints, by the name of the run.
    """
    metric = rows[0].metric
    diamonds = {name: [r.value for r in references if r.metric == metric] for name, references in printed.items()}
    scale = scale_around([v for row in rows for v in (row.low, row.high)] + [v for vs in diamonds.values() for v in vs])
    lines = []
    for row in rows:
        interval = (row.low, row.high)
        label = f"{row.run}: {METRIC_NAMES[metric]} {row.mean:.2f} {interval_text([end / 100 for end in interval])}"
        plot = track(scale, row.mean, interval, label, "baseline" if row.is_baseline else "", diamonds[row.run])
        lines.append(
            f'<div class="row"><div class="label">{html_text(row.run)}</div><div class="plot">{plot}</div>'
            f'<div class="value"><b>{row.mean:.2f}</b></div></div>'
        )
    key = ' <span class="key diamond"></span>printed in the paper.' if any(diamonds.values()) else ""
    over = "Mean over seeds" if any(row.seed_count > 1 for row in rows) else "One seed"
    grey = " Grey: baselines." if any(row.is_baseline for row in rows) else ""
    return (
        f'<figure class="wide"><h4>{html_text(METRIC_NAMES[metric])} on the test split, percent</h4><div class="rows">'
        f"{''.join(lines)}{_axis_row(scale, 1)}</div>"
        f'<figcaption><span class="key dot"></span>{over}; whiskers: 95 % bootstrap confidence interval.'
        f"{grey}{key}</figcaption></figure>"
    )


def details_section(task: str, entry: Entry) -> Section:
    """Return the charts of one run."""
    figures = [_classes(entry), *over_epochs(entry)]
    if not entry.run.protocol.multi_label:
        figures = [_confusion(entry), *figures, _calibration(entry)]
    return Section(entry.name, chart=f'<div class="figures">{"".join(figures)}</div>', anchor=anchor(task, entry.name))


def anchor(*names: str) -> str:
    """Return the ``id`` of a section."""
    return "-".join(names).replace("/", "-").replace(" ", "-")


def _axis_row(scale: Scale, factor: float = 100) -> str:
    return f'<div class="row"><div></div><div class="plot">{axis(scale, factor)}</div><div></div></div>'


def _confusion(entry: Entry) -> str:
    labels, matrix = entry.scores["labels"], entry.scores["confusion"]
    head = "".join(f'<th scope="col"><span>{html_text(label)}</span></th>' for label in labels)
    rows = []
    for label, counts in zip(labels, matrix, strict=True):
        total = sum(counts)
        cells = "".join(_heat(count, total, f"{label} as {other}") for count, other in zip(counts, labels, strict=True))
        rows.append(f'<tr><th scope="row">{html_text(label)}</th>{cells}<td class="support">{total:.0f}</td></tr>')
    over = ", mean over seeds" if entry.scores["seeds"][1:] else ""
    width = "6.2rem" if max(len(label) for label in labels) > 6 else "4.6rem"
    return (
        f'<figure><h4>Confusion</h4><table class="confusion"><colgroup><col style="width:{width}"></colgroup>'
        f'<thead><tr><td></td>{head}<th scope="col"><span>utterances</span></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table><figcaption>Rows: true class. Columns: predicted class. Percent of the"
        f" row{over}.</figcaption></figure>"
    )


def _heat(count: float, total: float, label: str) -> str:
    share = count / total if total else 0.0
    kind = "strong" if share > 0.72 else "zero" if share < 0.005 else ""
    return (
        f'<td class="{kind}" style="--share:{share:.2f}" title="{html_text(label)}: {count:.1f}">{100 * share:.0f}</td>'
    )


def _classes(entry: Entry) -> str:
    scale = Scale(0.0, 1.0)
    rows = []
    for row in entry.scores["per_class"]:
        f1 = row["f1"]
        label = f"{row['label']}: F1 {score_text(f1)}"
        rows.append(
            f'<div class="row"><div class="label">{html_text(row["label"])} <small>{row["support"]}</small></div>'
            f'<div class="plot">{track(scale, f1["mean"], f1["interval"], label)}</div>'
            f'<div class="value"><b>{100 * f1["mean"]:.1f}</b>'
            f" <small>P {_whole(row['precision'])} R {_whole(row['recall'])}</small></div></div>"
        )
    return (
        f'<figure><h4>F1 by class</h4><div class="rows">{"".join(rows)}{_axis_row(scale)}</div>'
        "<figcaption>Whiskers: 95 % bootstrap confidence interval. Small numbers: test utterances, precision (P),"
        " recall (R). A dash: undefined.</figcaption></figure>"
    )


def _calibration(entry: Entry) -> str:
    calibration = entry.scores["calibration"]
    error = calibration["expected_calibration_error"]
    return (
        f"<figure><h4>Reliability</h4>{reliability(calibration['bins'])}<figcaption>"
        '<span class="key bar"></span>Accuracy of the utterances of one confidence, <span class="key mean"></span>'
        "their mean confidence; on the dashed line both agree. Expected calibration error (15 bins)"
        f" {spread_text(error['mean'], error['std'])} %, Brier score {calibration['brier']['mean']:.3f} (0 to 2),"
        f" area under the risk-coverage curve {calibration['risk_coverage_area']['mean']:.3f}: lower is better."
        "</figcaption></figure>"
    )


def _whole(score: Mapping[str, Any]) -> str:
    return "–" if score["mean"] is None else f"{100 * score['mean']:.0f}"
