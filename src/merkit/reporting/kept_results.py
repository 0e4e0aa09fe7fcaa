"""Results that are kept: ``results/ours.csv`` and the table in a README, renewed by protocol.

The protocols of the given runs are replaced whole, all others stay as they stand. A protocol keeps its place; a new one
follows. Between its marks a README has a section for each protocol of the file, which begins with a line
``**<protocol>**``.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.reporting.results import Group
from merkit.reporting.tables import COLUMNS, csv_rows, results_markdown, to_csv

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
"""Marks between which a README's table stands."""
_SECTION = re.compile(r"^\*\*([^*]+)\*\*$", re.MULTILINE)


def renewed(groups: Sequence[Group], results: Path, readme: Path | None = None) -> dict[Path, str]:
    """Return the new text of the results file, and of the README that shows it; nothing is written.

    Args:
        groups: Runs as `results.gather` returns them, a group for each protocol.
        results: The CSV file, one row a run and metric, there already or not.
        readme: A Markdown file with the marks ``<!-- results:begin -->`` and ``<!-- results:end -->``.

    Raises:
        MerkitError: A file cannot be read; the results file has other columns or a row of another length; the README
            lacks the marks, has text of no section between them, or would not show the protocols of the results file.
    """
    rows = _read_rows(results)
    new_rows = {group.protocol: csv_rows(group) for group in groups}
    texts = {results: to_csv((row for of_protocol in (rows | new_rows).values() for row in of_protocol), COLUMNS)}
    if readme is not None:
        before, sections, after = _read_sections(readme)
        if differing := (rows.keys() ^ sections.keys()) - new_rows.keys():
            raise MerkitError(
                f"{readme}: sections found: {_listed(sections)}, but protocols in {results}: {_listed(rows)}; the same"
                f" expected: give runs of {_listed(sorted(differing))} as well"
            )
        new = {group.protocol: f"**{group.protocol}**\n\n{results_markdown(group)}" for group in groups}
        texts[readme] = "\n\n".join([before + BEGIN, *(sections | new).values(), END + after])
    return texts


def _read_rows(path: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of each protocol in the file's order; nothing where there is no file."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    if not path.exists():
        return rows
    remedy = "put it away and give the runs of all its protocols"
    reader = csv.reader(io.StringIO(_read(path)), strict=True)
    try:
        if other := _other_columns(next(reader, [])):
            raise MerkitError(f"{path}: {other}; {remedy}")
        for cells in reader:
            if len(cells) != len(COLUMNS):
                raise MerkitError(
                    f"{path}: line {reader.line_num}: {len(cells)} cells found, {len(COLUMNS)} expected; {remedy}"
                )
            rows.setdefault(cells[0], []).append(dict(zip(COLUMNS, cells, strict=True)))
    except csv.Error as error:
        raise MerkitError(f"{path}: line {reader.line_num}: not CSV ({error}); {remedy}") from error
    return rows


def _other_columns(found: Sequence[str]) -> str:
    """Return in words how columns differ from `COLUMNS`; empty where they are the same."""
    if not found:
        return "no columns found"
    lacking = [name for name in COLUMNS if name not in found]
    unknown = [name for name in found if name not in COLUMNS]
    if lacking or unknown:
        return f"columns lacking: {_listed(lacking)}, unknown: {_listed(unknown)}"
    return "" if tuple(found) == COLUMNS else f"columns in another order or twice, {', '.join(COLUMNS)} expected"


def _read_sections(path: Path) -> tuple[str, dict[str, str], str]:
    """Return a README's text before the marks, the section of each protocol between them, and the text after them."""
    text = _read(path)
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise MerkitError(
            f"{path}: expected '{BEGIN}' and '{END}' once each, in this order; add them where the table goes"
        )
    stray, *parts = _SECTION.split(inside)
    protocols, bodies = parts[::2], parts[1::2]
    remedy = "clear what stands between the marks and give the runs of all its protocols"
    if stray.strip():
        raise MerkitError(
            f"{path}: '{stray.split(maxsplit=1)[0]}' found before the first line '**<protocol>**' between the marks;"
            f" {remedy}"
        )
    if doubled := [protocol for protocol in protocols if protocols.count(protocol) > 1]:
        raise MerkitError(f"{path}: more than one section '**{doubled[0]}**' found between the marks; {remedy}")
    sections = {name: f"**{name}**\n\n{body.strip()}" for name, body in zip(protocols, bodies, strict=True)}
    return before, sections, after


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MerkitError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise MerkitError(f"Cannot read '{path}': {error.strerror}") from error


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
