"""The report as one HTML page that needs nothing else: its sections, from scored runs to markup."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from merkit.metrics.comparison import NOT_DISTINGUISHABLE
from merkit.reporting.charts import Scale, axis, reliability, scale_around, track
from merkit.reporting.learning_curves import over_epochs
from merkit.reporting.markup import figure_cell, html_table
from merkit.reporting.modalities import probes_section, subsets_section, texts_section
from merkit.reporting.reference import Reference
from merkit.reporting.results import METRIC_NAMES, Entry, Group
from merkit.reporting.tables import caption, figure_text, p_text, signed, spread_text

_VERDICTS = {NOT_DISTINGUISHABLE: ("same", "≈"), "Better": ("good", "▲"), "Worse": ("bad", "▼")}
_CHOSEN = {
    "best_valid": "validation",
    "last": "nothing: the last epoch",
    "best_test": 'the test part <span class="tag warn">leaky</span>',
}
_EVIDENCE = {"paper": "", "secondary": "quoted from a secondary source", "derived": "derived from other figures"}


def page(groups: Sequence[Group], title: str) -> str:
    """Return the whole page."""
    style = resources.files("merkit.reporting").joinpath("report.css").read_text(encoding="utf-8")
    links = "".join(
        f'<li><a href="#{_anchor(group.protocol)}">{escape(group.protocol)}</a></li>'
        + "".join(f'<li><a href="#{_anchor(group.protocol, e.name)}">{escape(e.name)}</a></li>' for e in group.entries)
        for group in groups
    )
    body = "".join(_group(group) for group in groups)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">Every figure on this page was recomputed from stored'
        " predictions, joined with the labels by utterance id.</p>"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )


def _group(group: Group) -> str:
    return (
        f'<section id="{_anchor(group.protocol)}"><h2>{escape(group.protocol)}</h2><p>{escape(caption(group))}</p>'
        f"{_differences(group)}{_forest(group)}{_results(group)}{_comparisons(group)}"
        f"{subsets_section(group)}{texts_section(group)}{probes_section(group)}{_others(group)}"
        f"{''.join(_details(group, entry) for entry in group.entries)}"
        f"{_costs(group)}{_origins(group)}</section>\n"
    )


def _differences(group: Group) -> str:
    found = group.entries[0].scores["count_differences"]
    if not found:
        return ""
    listed = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
    return f'<p class="note"><b>Not the published corpus.</b> Its counts differ: {escape(listed)}.</p>'


def _forest(group: Group) -> str:
    """Every system's first metric with its interval, on one axis."""
    metric = group.metric
    printed = {e.name: _values(group.printed_for(e), metric) for e in group.entries}
    values = [value for e in group.entries for value in e.scores["test"][metric]["interval"]]
    scale = scale_around([*values, *(value for found in printed.values() for value in found)])
    rows = []
    for entry in group.entries:
        figure = entry.scores["test"][metric]
        words = f"{entry.name}: {METRIC_NAMES[metric]} {figure_text(figure)}"
        kind = "floor" if entry.is_floor else ""
        plot = track(scale, figure["mean"], figure["interval"], words, kind, printed[entry.name])
        rows.append(
            f'<div class="row"><div class="label">{escape(entry.name)}</div><div class="plot">{plot}</div>'
            f'<div class="value"><b>{100 * figure["mean"]:.2f}</b></div></div>'
        )
    diamond = ' <span class="key diamond"></span> printed in the paper.' if any(printed.values()) else ""
    return (
        f'<figure class="wide"><h4>{escape(METRIC_NAMES[metric])} on the test part, percent</h4><div class="rows">'
        f"{''.join(rows)}{_axis_row(scale)}</div>"
        f'<figcaption><span class="key dot"></span>mean over seeds, whiskers: 95 % interval; grey: floors.{diamond}'
        "</figcaption></figure>"
    )


def _axis_row(scale: Scale) -> str:
    return f'<div class="row"><div></div><div class="plot">{axis(scale)}</div><div></div></div>'


def _results(group: Group) -> str:
    metrics = group.entries[0].run.protocol.metrics
    best = {metric: max(e.scores["test"][metric]["mean"] for e in group.entries) for metric in metrics}
    rows = []
    for entry in group.entries:
        rows.extend(_paper_row(group.printed_above(entry), metrics))
        scores = entry.scores
        details = "; ".join(filter(None, [entry.changes, _count(len(scores["seeds"]), "seed")]))
        cells = "".join(
            figure_cell(scores["test"][metric], scores["test"][metric]["mean"] == best[metric]) for metric in metrics
        )
        tag = '<span class="tag floor">floor</span> ' if entry.is_floor else ""
        valid = spread_text(scores["valid"][group.metric])
        chosen = _CHOSEN[scores["selection"]] if any(cell.history for cell in entry.run.cells) else "no epochs"
        rows.append(
            f'<tr class="{"floor" if entry.is_floor else ""}"><th scope="row">{escape(entry.name)} {tag}'
            f"{_features(entry.encoders)}<small>{escape(details)}</small></th>{cells}"
            f'<td class="n">{valid}</td><td>{chosen}</td></tr>'
        )
        if scores["legacy_best_on_test"] is not None:
            rows.append(_leaky_row(entry, metrics))
    numbers = [METRIC_NAMES[metric] for metric in metrics] + [f"{METRIC_NAMES[group.metric]}, validation"]
    table = html_table({"System, features": False, **dict.fromkeys(numbers, True), "Epoch chosen on": False}, rows)
    return f"<h3>Results</h3>{table}{_pooled_note(group)}"


def _paper_row(printed: Sequence[Reference], metrics: Sequence[str]) -> list[str]:
    if not printed:
        return []
    cells = "".join(f'<td class="n">{_first(_values(printed, metric, 1))}</td>' for metric in metrics)
    first = printed[0]
    return [
        f'<tr class="printed"><th scope="row">{escape(first.system)} <span class="tag paper">paper</span>'
        f"{_features(first.made_of)}<small>{escape(_source(first))}</small></th>{cells}"
        f'<td class="n"></td><td>{_on(first.selection)}</td></tr>'
    ]


def _features(made_of: str) -> str:
    """Return what a figure was made of, in the same place and print for the paper's row and for ours."""
    return f'<small class="features">{escape(made_of)}</small>'


def _leaky_row(entry: Entry, metrics: Sequence[str]) -> str:
    leaky = entry.scores["legacy_best_on_test"]
    cells = "".join(f'<td class="n">{spread_text(leaky[metric])}</td>' for metric in metrics)
    return (
        f'<tr class="leaky"><th scope="row">{escape(entry.name)} <span class="tag warn">leaky</span>'
        f"<small>never a result: only beside papers that chose so</small></th>{cells}"
        '<td class="n"></td><td>the <b>test</b> part itself</td></tr>'
    )


def _pooled_note(group: Group) -> str:
    if len(group.entries[0].scores["folds"]) == 1 or group.entries[0].scores["pooled"]:
        return ""
    said = "; ".join(
        f"{e.name} " + ", ".join(f"{METRIC_NAMES[m]} {100 * f['pooled']:.2f}" for m, f in e.scores["test"].items())
        for e in group.entries
    )
    return f'<p class="small">With all folds\' predictions pooled instead: {escape(said)}.</p>'


def _comparisons(group: Group) -> str:
    if not group.comparisons:
        return ""
    rows = []
    for c in group.comparisons:
        kind, sign = _VERDICTS[c.verdict]
        low, high = (signed(value, 1) for value in c.interval)
        rows.append(
            f'<tr><th scope="row">{escape(c.system)}<small>{_count(len(c.seeds), "seed")} in common</small></th>'
            f'<td class="n">{signed(c.difference, 2)}<small>[{low}, {high}]</small></td>'
            f'<td class="n">{p_text(c.p_value)}</td><td class="n">{p_text(c.adjusted)}</td>'
            f'<td class="{kind}">{sign} {c.verdict}</td></tr>'
        )
    difference = f"Difference in {METRIC_NAMES[group.metric]}, points"
    table = html_table({"System": False, difference: True, "p": True, "p, Holm": True, "Verdict": False}, rows)
    cluster = group.entries[0].scores["cluster"]
    return (
        f"<h3>Compared with {escape(group.compared_with.name)}</h3>{table}"
        f'<p class="small">Interval (95 %): {cluster}s drawn anew for both systems at once. p: paired permutation, the'
        f" systems swapped in whole {cluster}s; adjusted by Holm for all rows of this table. The verdict goes by the"
        " adjusted p at 5 %.</p>"
    )


def _others(group: Group) -> str:
    """Printed figures of systems and variants that stand above no run."""
    shown = {reference for entry in group.entries for reference in group.printed_for(entry)}
    rows = [
        f'<tr><th scope="row">{escape(r.system)}<small>{escape(r.variant)}</small></th><td>{escape(r.modalities)}</td>'
        f'<td>{escape(METRIC_NAMES[r.metric])}</td><td class="n">{r.value:g}</td><td>{_on(r.selection)}</td>'
        f"<td>{escape(r.features)}<small>{escape(_source(r))}</small></td></tr>"
        for r in group.printed
        if r not in shown
    ]
    if not rows:
        return ""
    heads = {"System": False, "Modalities": False, "Metric": False, "Printed": True, "Epoch chosen on": False}
    return f"<h3>Other figures printed for this protocol</h3>{html_table({**heads, 'Features, source': False}, rows)}"


def _details(group: Group, entry: Entry) -> str:
    figures = [_confusion(entry), _classes(entry), *over_epochs(entry), _calibration(entry)]
    return (
        f'<section id="{_anchor(group.protocol, entry.name)}"><h3>{escape(entry.name)}</h3>'
        f'<div class="figures">{"".join(figures)}</div></section>'
    )


def _confusion(entry: Entry) -> str:
    labels, matrix = entry.scores["labels"], entry.scores["confusion"]
    head = "".join(f'<th scope="col"><span>{escape(label)}</span></th>' for label in labels)
    rows = []
    for label, counts in zip(labels, matrix, strict=True):
        total = sum(counts)
        cells = "".join(_heat(count, total, f"{label} as {other}") for count, other in zip(counts, labels, strict=True))
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{cells}<td class="support">{total:.0f}</td></tr>')
    width = "6.2rem" if max(len(label) for label in labels) > 6 else "4.6rem"
    return (
        f'<figure><h4>Confusion</h4><table class="confusion"><colgroup><col style="width:{width}"></colgroup>'
        f'<thead><tr><td></td>{head}<th scope="col"><span>utterances</span></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table><figcaption>Rows: true class. Columns: predicted class. Percent of the"
        " row, mean over seeds.</figcaption></figure>"
    )


def _heat(count: float, total: float, words: str) -> str:
    share = count / total if total else 0.0
    kind = "strong" if share > 0.72 else "zero" if share < 0.005 else ""
    return f'<td class="{kind}" style="--share:{share:.2f}" title="{escape(words)}: {count:.1f}">{100 * share:.0f}</td>'


def _classes(entry: Entry) -> str:
    scale = Scale(0.0, 1.0)
    rows = []
    for row in entry.scores["per_class"]:
        f1 = row["f1"]
        words = f"{row['label']}: F1 {figure_text(f1)}"
        rows.append(
            f'<div class="row"><div class="label">{escape(row["label"])} <small>{row["support"]}</small></div>'
            f'<div class="plot">{track(scale, f1["mean"], f1["interval"], words)}</div>'
            f'<div class="value"><b>{100 * f1["mean"]:.1f}</b>'
            f" <small>P {_whole(row['precision'])} R {_whole(row['recall'])}</small></div></div>"
        )
    return (
        f'<figure><h4>F1 by class</h4><div class="rows">{"".join(rows)}{_axis_row(scale)}</div>'
        "<figcaption>Whiskers: 95 % interval. Small figures: test utterances, precision (P), recall (R). A dash:"
        " undefined.</figcaption></figure>"
    )


def _calibration(entry: Entry) -> str:
    found = entry.scores["calibration"]
    return (
        f"<figure><h4>Reliability</h4>{reliability(found['bins'])}<figcaption>"
        '<span class="key bar"></span>Accuracy of the utterances of one confidence, <span class="key mean"></span>'
        "their mean confidence; on the dashed line both agree. Expected calibration error (15 bins)"
        f" {spread_text(found['expected_calibration_error'])} %, Brier score {found['brier']['mean']:.3f} (0 to 2),"
        f" area under the risk-coverage curve {found['risk_coverage_area']['mean']:.3f}: lower is better."
        "</figcaption></figure>"
    )


def _costs(group: Group) -> str:
    rows = []
    for entry in group.entries:
        scores = entry.scores
        runs = len(scores["seeds"]) * len(scores["folds"])
        rows.append(
            f'<tr><th scope="row">{escape(entry.name)}</th><td class="n">{scores["parameters"]:,}</td>'
            f'<td class="n">{scores["trainable_parameters"]:,}</td><td class="n">{_duration(scores["seconds"])}</td>'
            f'<td class="n">{_duration(scores["seconds"] / runs)}</td>'
            f'<td class="n">{_memory(scores["peak_memory_bytes"])}</td></tr>'
        )
    heads = ("Parameters", "of them trained", "Training, all", "per fold and seed", "Peak memory")
    return f"<h3>Cost</h3>{html_table({'System': False, **dict.fromkeys(heads, True)}, rows)}"


def _origins(group: Group) -> str:
    figures = []
    for entry in group.entries:
        provenance = entry.run.provenance
        data, machine = provenance["data"], provenance["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items() if version)
        facts = {
            "Command": _code(provenance["command"]),
            "Data": f"{escape(str(data['corpus']))}, version {data['corpus_version']}, {_code(data['sha256'][:16])}",
            "Counts": escape(", ".join(f"{name} {count:,}" for name, count in data["counts"].items())),
            "Encoders": "<br>".join(_encoder(name, said) for name, said in provenance["encoders"].items()) or "none",
            "Recipe": _code(provenance["recipe_sha256"][:16]),
            "Seeds": ", ".join(map(str, entry.scores["seeds"])),
            "Folds": escape(", ".join(entry.scores["folds"])),
            "merkit": f"{escape(provenance['merkit'])}, commit {_code((provenance.get('commit') or 'unknown')[:16])}",
            "Versions": escape(versions),
            "Machine": escape(", ".join(f"{name} {_said(value)}" for name, value in machine.items() if value)),
            "Started": escape(str(provenance["started"])),
        }
        listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
        figures.append(f'<figure><h4 class="plain">{escape(entry.name)}</h4><dl>{listed}</dl></figure>')
    return f'<h3>How each number was made</h3><div class="figures">{"".join(figures)}</div>'


def _source(reference: Reference) -> str:
    return "; ".join(filter(None, [reference.source, _EVIDENCE[reference.evidence], reference.note]))


def _encoder(modality: str, described: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name} {_said(value)}" for name, value in described.items() if value is not None)
    return f"<b>{escape(modality)}</b>: {escape(said)}"


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _values(printed: Sequence[Reference], metric: str, unit: float = 100) -> list[float]:
    return [reference.value / unit for reference in printed if reference.metric == metric]


def _first(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if values else ""


def _on(selection: str) -> str:
    """Return what an epoch was chosen on, with a warning where it was the test part."""
    said = escape(selection.removeprefix("on "))
    return f'{said} <span class="tag warn">leaky</span>' if "test" in selection else said


def _anchor(*names: str) -> str:
    return escape("-".join(names).replace("/", "-").replace(" ", "-"))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _whole(figure: Mapping[str, Any]) -> str:
    return "–" if figure["mean"] is None else f"{100 * figure['mean']:.0f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _memory(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size else "–"
