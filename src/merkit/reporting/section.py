"""A section of a report, described once and rendered to HTML, Markdown and CSV.

Cells are plain text; each rendering escapes what its format would interpret. In HTML, equal names below each other in
the first column are merged.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from merkit.core.characters import html_text, markdown_text
from merkit.reporting.text import METRIC_NAMES, interval_text, spread_text


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column."""

    name: str
    numeric: bool = False
    """Whether it is aligned to the right."""
    wide: bool = False
    """Whether a narrow table leaves it out, as on a terminal."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Content of a table's cell."""

    text: str
    detail: str = ""
    """Printed after the text, in HTML below it and small."""
    tag: str = ""
    """A label such as ``baseline``, ``paper`` or ``leaky``; a class of the style sheet."""
    bold: bool = False
    tone: str = ""
    """A class of the style sheet, such as ``good`` or ``code``."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row; ``kind`` is a class of the style sheet."""

    cells: Sequence[Cell]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its title, caption and charts; without rows it has no table."""

    title: str
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    caption: str = ""
    warning: str = ""
    chart: str = ""
    """HTML, shown above the table of a page; left out elsewhere."""
    anchor: str = ""
    """``id`` of the section on a page."""
    file: str = ""
    """Name of the CSV file with the section's records; empty: none."""
    records: Sequence[Mapping[str, Any]] = ()
    """Rows of the file, with full precision."""


SYSTEM = Column("System")


def score_cell(score: Mapping[str, Any], bold: bool = False) -> Cell:
    """Return mean, standard deviation over seeds and interval of a score between 0 and 1, in percent."""
    return Cell(spread_text(score["mean"], score["std"]), interval_text(score["interval"]), bold=bold)


def metric_columns(metrics: Iterable[str]) -> list[Column]:
    """Return the heads of the columns of scores; a narrow table shows the first metric alone."""
    return [Column(METRIC_NAMES[metric], numeric=True, wide=number > 0) for number, metric in enumerate(metrics)]


def section_html(section: Section) -> str:
    """Return a section as HTML, with its title as ``h3``."""
    anchor = f' id="{html_text(section.anchor)}"' if section.anchor else ""
    warning = f'<p class="note">{html_text(section.warning)}</p>' if section.warning else ""
    caption = f'<p class="small">{html_text(section.caption)}</p>' if section.caption else ""
    table = _html_table(section) if section.rows else ""
    return f"<section{anchor}><h3>{html_text(section.title)}</h3>{warning}{section.chart}{table}{caption}</section>"


def section_markdown(section: Section) -> str:
    """Return a section as Markdown without its title."""
    blocks = [f"**{markdown_text(section.warning)}**"] if section.warning else []
    if section.rows:
        lines = [
            [markdown_text(column.name) for column in section.columns],
            ["---:" if column.numeric else "---" for column in section.columns],
            *([_markdown_cell(cell) for cell in row.cells] for row in section.rows),
        ]
        blocks.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join([*blocks, *([markdown_text(section.caption)] if section.caption else [])])


def to_csv(records: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return records as CSV with a header; floats have four decimals."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in record.items()})
    return text.getvalue()


def _markdown_cell(cell: Cell) -> str:
    text = f"**{markdown_text(cell.text)}**" if cell.bold and cell.text else markdown_text(cell.text)
    detail = cell.detail if not cell.detail or cell.detail.startswith("[") else f"({cell.detail})"
    return " ".join(filter(None, [text, cell.tag and f"*({cell.tag})*", markdown_text(detail)]))


def _html_table(section: Section) -> str:
    head = "".join(f'<th scope="col"{_class(column)}>{html_text(column.name)}</th>' for column in section.columns)
    rows = []
    for _, group in groupby(section.rows, key=lambda row: row.cells[0]):
        of_name = list(group)
        for number, row in enumerate(of_name):
            scope = f'scope="rowgroup" rowspan="{len(of_name)}"' if len(of_name) > 1 else 'scope="row"'
            name = "" if number else f"<th {scope}>{_html_cell(row.cells[0])}</th>"
            others = zip(section.columns[1:], row.cells[1:], strict=True)
            cells = "".join(f"<td{_class(column, cell)}>{_html_cell(cell)}</td>" for column, cell in others)
            rows.append(f"<tr{_attribute(row.kind)}>{name}{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _html_cell(cell: Cell) -> str:
    text, sign, spread = cell.text.partition(" ± ")
    main = f"<b>{html_text(text)}</b>" if cell.bold else html_text(text)
    main += f' <span class="std">± {html_text(spread)}</span>' if sign else ""
    tag = f' <span class="tag {html_text(cell.tag)}">{html_text(cell.tag)}</span>' if cell.tag else ""
    return main + tag + (f"<small>{html_text(cell.detail)}</small>" if cell.detail else "")


def _class(column: Column, cell: Cell | None = None) -> str:
    return _attribute(" ".join(filter(None, ["n" if column.numeric else "", cell.tone if cell else ""])))


def _attribute(kind: str) -> str:
    return f' class="{html_text(kind)}"' if kind else ""
