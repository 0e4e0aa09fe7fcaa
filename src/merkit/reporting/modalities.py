"""The sections of the report's page about single modalities: without the others, with other words, and by probes."""

from collections.abc import Sequence
from html import escape

from merkit.evaluation.subsets import SubsetRow
from merkit.evaluation.text_columns import TextRow
from merkit.reporting.markup import figure_cell, html_table
from merkit.reporting.results import METRIC_NAMES, Entry, Group
from merkit.reporting.tables import above_text, drop_text, probes_caption, subsets_caption, texts_caption, verdict_of


def subsets_section(group: Group) -> str:
    """Return what is left of each run with every subset of its modalities; nothing where that was not asked for."""
    table = _drops_table(group, "Modalities", [(entry, entry.subsets) for entry in group.entries])
    return table and f'<h3>With some modalities alone</h3>{table}<p class="small">{escape(subsets_caption(group))}</p>'


def texts_section(group: Group) -> str:
    """Return each run's figures with the transcript and another column; nothing where that was not asked for."""
    table = _drops_table(group, "Text read", [(entry, entry.texts) for entry in group.entries])
    return table and f'<h3>With other words</h3>{table}<p class="small">{escape(texts_caption(group))}</p>'


def probes_section(group: Group) -> str:
    """Return what linear probes find in each run's representations; nothing where that was not asked for."""
    if all(entry.probes is None for entry in group.entries):
        return ""
    metrics = group.entries[0].run.protocol.metrics
    rows = []
    for entry in group.entries:
        probes = entry.probes or ()
        for number, row in enumerate(probes):
            name = f'<th scope="rowgroup" rowspan="{len(probes)}">{escape(entry.name)}</th>'
            cells = "".join(figure_cell(row.figures[metric], False) for metric in metrics)
            kind, sign = ("good", "▲") if row.knows else ("same", "≈")
            rows.append(
                f"<tr>{'' if number else name}<td>{escape(row.name)}</td>{cells}"
                f'<td class="n">{_in_two_lines(above_text(row.above))}</td>'
                f'<td class="{kind}">{sign} {verdict_of(row)}</td></tr>'
            )
    numbers = dict.fromkeys([*(METRIC_NAMES[metric] for metric in metrics), "Above chance, points of UA"], True)
    shown = html_table({"System": False, "Probed": False, **numbers, "Verdict": False}, rows) if rows else ""
    return (
        f"<h3>What each modality's representation knows</h3>{shown}"
        f'<p class="small">{escape(probes_caption(group))}</p>'
    )


def _drops_table(group: Group, given: str, found: Sequence[tuple[Entry, Sequence[SubsetRow | TextRow]]]) -> str:
    """Return a table of each run under several conditions, the first of them whole; "" where there are none."""
    metrics = group.entries[0].run.protocol.metrics
    rows = []
    for entry, conditions in found:
        name = f'<th scope="rowgroup" rowspan="{len(conditions)}">{escape(entry.name)}</th>'
        for row in conditions:
            cells = "".join(figure_cell(row.figures[metric], not row.drops) for metric in metrics)
            lost = _in_two_lines(drop_text(row.drops.get(group.metric)))
            rows.append(
                f'<tr>{"" if row.drops else name}<td>{escape(row.given)}</td>{cells}<td class="n">{lost}</td></tr>'
            )
    numbers = dict.fromkeys([*(METRIC_NAMES[metric] for metric in metrics), "Drop, points"], True)
    return html_table({"System": False, given: False, **numbers}, rows) if rows else ""


def _in_two_lines(told: str) -> str:
    """Return a figure with its interval below it."""
    return told.replace(" [", "<small>[").replace("]", "]</small>")
