"""Rows of a table to utterances and back; all mistakes of a table are listed in one error."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow

from merkit.core.characters import is_unicode
from merkit.core.errors import ManifestError
from merkit.core.phrases import listed, number_of
from merkit.core.types import MODALITIES, Scalar, Utterance
from merkit.core.waveform import Waveform
from merkit.data.corpus.tables import Columns

RESERVED = ("id", "conversation", "turn", "speaker", "text", "audio", "video", "start_s", "end_s", "language")
"""Columns with the meaning of ``Utterance``'s fields; every other column is an attribute."""

NAMES = ("id", "conversation", "speaker")
STRINGS = ("text", "audio", "video", "language")
TIMES = ("start_s", "end_s")
_LATEST_S = 1e9
SHOWN = 10
"""How many mistakes an error lists before it counts the rest."""


_log = logging.getLogger(__name__)

_OTHER_NAMES = {
    "id": ("utterance_id", "utt_id", "uid", "name", "file_id", "filename", "file", "sr no."),
    "text": ("utterance", "transcript", "transcription", "sentence", "words"),
    "audio": ("wav", "path", "file", "filename", "clip", "audio_path", "wav_path", "speech"),
    "video": ("mp4", "video_path"),
}
"""Other common names of these columns; only used to suggest a name."""


def counted_names(names: Sequence[str], noun: str) -> str:
    """Return ``3 clips (a, b, c)`` with at most ten names.

    >>> counted_names(["dia0_utt1"], "clip")
    '1 clip (dia0_utt1)'
    """
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"{number_of(len(names), noun)} ({shown})"


def to_columns(utterances: Sequence[Utterance]) -> Columns:
    """Return the reserved columns and, sorted by name, the attributes; ``None`` where an utterance lacks one.

    Raises:
        ManifestError: An attribute has the name of a reserved column.
    """
    names = dict.fromkeys(name for utterance in utterances for name in utterance.attributes)
    if clash := [name for name in names if name in RESERVED]:
        raise ManifestError(f"attribute '{clash[0]}' has the name of a reserved column; rename it")
    columns: Columns = {name: [getattr(utterance, name) for utterance in utterances] for name in RESERVED}
    columns |= {name: [utterance.attributes.get(name) for utterance in utterances] for name in sorted(names)}
    return columns


def to_arrays(columns: Columns) -> dict[str, pyarrow.Array]:
    """Return checked columns as Arrow arrays; reserved columns have the same types in every manifest."""
    kinds = dict.fromkeys((*NAMES, *STRINGS), pyarrow.string()) | dict.fromkeys(TIMES, pyarrow.float64())
    kinds["turn"] = pyarrow.int64()
    return {name: pyarrow.array(cells, type=kinds.get(name)) for name, cells in columns.items()}


def to_utterances(columns: Columns, source: str) -> list[Utterance]:
    """Return one utterance per row, in the order of the rows.

    Turns with gaps, as where a release leaves utterances out, are numbered again from 0, and a log line says so.

    Args:
        columns: Cells by column name, all columns of one length.
        source: Where the columns come from, for the message.

    Raises:
        ManifestError: Lists every mistake, the first ten in words.
    """
    mistakes = _column_mistakes(columns)
    if mistakes:
        raise _error(source, mistakes)
    total = len(columns["id"])
    if not total:
        raise ManifestError(f"{source}: has no utterance; expected one row per utterance")
    attributes = {}
    for name in columns.keys() - set(RESERVED):
        attributes[name] = _attribute(name, columns[name], mistakes)
    cells: Columns = {name: columns.get(name, [None] * total) for name in RESERVED}
    names: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    utterances = []
    ordered = sorted(attributes)
    for row in range(total):
        fields = {name: cells[name][row] for name in RESERVED}
        where = f"row {row + 1}" if fields["id"] is None else f"'{fields['id']}'"
        row_mistakes = _row_mistakes(fields, "turn" in columns)
        mistakes += [f"{where}: {mistake}" for mistake in row_mistakes]
        if row_mistakes:
            continue
        identity = str(fields["id"])
        names[identity] += 1
        conversation = identity if fields["conversation"] in (None, "") else str(fields["conversation"])
        turn = counted[conversation] if "turn" not in columns else int(fields["turn"])
        counted[conversation] += 1
        utterances.append(
            Utterance(
                id=identity,
                conversation=conversation,
                turn=turn,
                speaker="" if fields["speaker"] is None else str(fields["speaker"]),
                text=fields["text"],
                audio=fields["audio"],
                video=fields["video"],
                start_s=None if fields["start_s"] is None else float(fields["start_s"]),
                end_s=None if fields["end_s"] is None else float(fields["end_s"]),
                language=fields["language"],
                attributes={name: attributes[name][row] for name in ordered},
            )
        )
    mistakes += [f"id '{name}' occurs {times} times" for name, times in names.items() if times > 1]
    if not mistakes:
        mistakes += _repeated_turns(utterances)
    if mistakes:
        raise _error(source, mistakes)
    return _renumbered(utterances, source)


def _column_mistakes(columns: Columns) -> list[str]:
    meant = {name: name.strip().casefold() for name in columns if name not in RESERVED}
    mistakes = [f"column '{name}' must be written '{plain}'" for name, plain in meant.items() if plain in RESERVED]
    if mistakes:
        return mistakes
    holds = f"found {', '.join(columns) or 'no column'}"
    if "id" not in columns:
        mistakes.append(f"no column 'id', {holds}{_suggestion(meant, ('id',))}")
    if not any(name in columns for name in MODALITIES) and (suggestion := _suggestion(meant, MODALITIES)):
        mistakes.append(f"no column 'text', 'audio' or 'video', {holds}{suggestion}")
    return mistakes


def _suggestion(meant: Mapping[str, str], wanted: Iterable[str]) -> str:
    renames = [f"'{name}' to '{word}'" for word in wanted for name in meant if meant[name] in _OTHER_NAMES[word]]
    return f": rename {' or '.join(renames)}?" if renames else ""


def _row_mistakes(fields: Mapping[str, Any], has_turn: bool) -> list[str]:
    mistakes = []
    for name in NAMES:
        cell = fields[name]
        if cell is not None and (isinstance(cell, bool) or not isinstance(cell, (str, int))):
            mistakes.append(f"{name} is {cell!r}, expected text")
        elif isinstance(cell, str) and not is_unicode(cell):
            mistakes.append(f"{name} is {cell!r}, which is not valid Unicode")
    if fields["id"] is None or not str(fields["id"]).strip():
        mistakes.append("id is empty")
    for name in STRINGS:
        cell = fields[name]
        if cell is None or (name == "audio" and isinstance(cell, Waveform)):
            continue
        if not isinstance(cell, str):
            shown = repr(cell) if isinstance(cell, int | float) else f"of type {type(cell).__name__}"
            mistakes.append(f"{name} is {shown}, expected text")
        elif not is_unicode(cell):
            mistakes.append(f"{name} is not valid Unicode (half of a surrogate pair)")
        elif not cell and name in ("audio", "video"):
            mistakes.append(f"{name} is empty; leave the cell out instead")
    turn = fields["turn"]
    whole = isinstance(turn, int) or (isinstance(turn, float) and turn.is_integer())
    if has_turn and (isinstance(turn, bool) or not whole or turn < 0):
        mistakes.append(f"turn is {turn!r}, expected a whole number from 0")
    good = True
    for name in TIMES:
        cell = fields[name]
        number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
        if cell is not None and not (number and 0 <= cell <= _LATEST_S):
            mistakes.append(f"{name} is {cell!r}, expected seconds from 0")
            good = False
    if good and fields["end_s"] is not None and fields["end_s"] <= (fields["start_s"] or 0):
        mistakes.append(f"end_s is {fields['end_s']!r}, expected more than start_s {fields['start_s'] or 0!r}")
    return mistakes


def _attribute(name: str, cells: list[Any], mistakes: list[str]) -> list[Scalar]:
    """Return a column of one kind; whole and real numbers together are real numbers."""
    broken = [i for i, cell in enumerate(cells) if isinstance(cell, str) and not is_unicode(cell)]
    kinds = {type(cell) for cell in cells if cell is not None}
    bad = [i for i, cell in enumerate(cells) if isinstance(cell, float) and not math.isfinite(cell)]
    huge = [i for i, cell in enumerate(cells) if type(cell) is int and not -(2**63) <= cell < 2**63]
    if broken:
        mistakes.append(f"attribute '{name}' is not valid Unicode in row {broken[0] + 1}")
    elif bad:
        where = f"in {len(bad)} rows, first in row {bad[0] + 1}"
        mistakes.append(f"attribute '{name}' is {cells[bad[0]]} {where}; leave such a cell empty")
    elif huge:
        mistakes.append(f"attribute '{name}' is too large a number in row {huge[0] + 1}; write it as text")
    elif kinds == {int, float}:
        return [None if cell is None else float(cell) for cell in cells]
    elif len(kinds) > 1 or kinds - {str, int, float, bool}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        mistakes.append(f"attribute '{name}' holds {found}, expected one of text, numbers or truth values")
    return cells


def _repeated_turns(utterances: Iterable[Utterance]) -> list[str]:
    times = Counter((utterance.conversation, utterance.turn) for utterance in utterances)
    return [
        f"conversation '{name}' has turn {turn} {count} times, expected once"
        for (name, turn), count in times.items()
        if count > 1
    ]


def _renumbered(utterances: list[Utterance], source: str) -> list[Utterance]:
    """Return the utterances with turns from 0 without gaps in each conversation; their order stays."""
    turns: dict[str, list[int]] = {}
    for utterance in utterances:
        turns.setdefault(utterance.conversation, []).append(utterance.turn)
    places = {
        name: {turn: place for place, turn in enumerate(sorted(numbers))}
        for name, numbers in turns.items()
        if max(numbers) >= len(numbers)
    }
    if not places:
        return utterances
    _log.warning(
        f"{source}: the turns of {counted_names(list(places), 'conversation')} do not count up from 0 without gaps; "
        "numbered again in their order."
    )
    return [replace(u, turn=places[u.conversation][u.turn]) if u.conversation in places else u for u in utterances]


def _error(source: str, mistakes: Sequence[str]) -> ManifestError:
    return ManifestError(f"{source}: {listed(mistakes, SHOWN, '; ')}")
