"""Rows of the tables that corpora ship: required columns, and the order of turns."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from merkit.core.errors import ManifestError

Row = TypeVar("Row")


def checked_reader(path: Path, text: str, columns: Sequence[str], **form: Any) -> "csv.DictReader[str]":
    """Return a reader of the table ``text``, whose delimiter and quoting ``form`` gives.

    Raises:
        ManifestError: A column is missing; ``path`` names the file.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), **form)
    present = reader.fieldnames or ()
    if missing := [name for name in columns if name not in present]:
        found = ", ".join(present) or "an empty file"
        raise ManifestError(f"{path}: no column {', '.join(missing)}, found {found}. Take the file of the release")
    return reader


def in_turns(
    rows: Iterable[Row], conversation: Callable[[Row], str], number: Callable[[Row], int]
) -> list[tuple[int, Row]]:
    """Return turns and rows by conversation, in order of first appearance, and by number within it."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(conversation(row), []).append(row)
    return [pair for each in members.values() for pair in enumerate(sorted(each, key=number))]
