"""Parts of the report's page that several of its sections are made of."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def html_table(heads: Mapping[str, bool], rows: Sequence[str]) -> str:
    """Return a table that scrolls sideways where it is too wide; heads say whether their column holds numbers."""
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{escape(name)}</th>' for name, number in heads.items()
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def figure_cell(figure: Mapping[str, Any], bold: bool) -> str:
    """Return a table's cell with mean, deviation over seeds and interval, in percent."""
    low, high = (f"{100 * value:.1f}" for value in figure["interval"])
    mean = f"{100 * figure['mean']:.2f}"
    mean = f"<b>{mean}</b>" if bold else mean
    return (
        f'<td class="n">{mean} <span class="std">± {100 * figure["std"]:.2f}</span><small>[{low}, {high}]</small></td>'
    )
