"""The terminal: results on standard output, messages and progress on standard error.

Words, names, labels and paths come from users' files. Nothing in them is read as markup, and characters that command a
terminal are shown, not sent: everything is printed by the functions of this module.
"""

import functools
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from merkit.core.characters import COMMANDS, visible

_WIDTH = 100
"""Columns of a table that goes to a file or a pipe."""
_SHORT = 10
"""Cells of so many characters stay on one line where the table fits."""
_GAP = 2
"""Characters between two columns."""


class _PlainConsole(Console):
    """A console that prints every text as written."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text with its control characters made visible."""
        return super().render_str(visible(text), **options)


@functools.cache
def messages() -> Console:
    """Return the console on standard error, which the log and the progress bar share."""
    return _PlainConsole(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


def show(text: str) -> None:
    """Print a result on standard output; long lines are left to the terminal."""
    _results().print(text, soft_wrap=True)


def show_prose(text: str) -> None:
    """Print sentences on standard output, broken between words on a terminal."""
    console = _results()
    console.print(text, soft_wrap=not console.is_terminal)


def show_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    line = json.dumps(value, ensure_ascii=False)
    print(COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", line))


def number(head: str) -> Column:
    """Return a table column of numbers: aligned to the right, never broken into lines."""
    return Column(head, justify="right", no_wrap=True)


def show_table(columns: Sequence[str | Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; a column given by its name breaks cells into lines, short ones only where there is no room."""
    console, cells = _results(), list(rows)
    heads = [Column(column, overflow="fold") if isinstance(column, str) else column for column in columns]
    texts = zip_longest([str(head.header) for head in heads], *cells, fillvalue="")  # of each column
    widths = [max(map(cell_len, own)) for own in texts]
    least = [width if head.no_wrap else min(width, _SHORT) for head, width in zip(heads, widths, strict=True)]
    if sum(least) + _GAP * len(least) <= console.width:
        heads = [replace(head, min_width=width) for head, width in zip(heads, least, strict=True)]
    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for row in cells:
        table.add_row(*row)
    console.print(table, soft_wrap=False)


def _results() -> Console:
    """Return the console on standard output; below a progress bar on the same terminal, the bar's own."""
    if hasattr(sys.stdout, "rich_proxied_file"):
        return messages()
    console = _PlainConsole(markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH
    return console


class MessageHandler(logging.Handler):
    """Print log records above the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        messages().print(self.format(record))
