"""Timelines that people corrected, read again: JSON, CSV, TextGrid and EAF, each as an analysis writes it.

What counts is time, speaker, text and label; all else in the files is ignored. An utterance whose label is empty,
``unsure`` or ``no label`` has none. In a TextGrid the tier of labels has the times, and the words of an utterance are
those whose middle lies within; in EAF the tier of words has them, as labels hang on it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.aligners.segments.formats import open_textgrid
from merkit.core.alignment import Interval
from merkit.core.errors import MerkitError
from merkit.data.delimited import read_table
from merkit.data.plain_text import decode
from merkit.data.strict_json import parse_json
from merkit.io.outputs import KEY
from merkit.io.predictions import LABEL_SEPARATOR
from merkit.recordings.transcripts import spoken_text
from merkit.recordings.transcripts.lines import Draft
from merkit.recordings.transcripts.tiers import parse_eaf
from merkit.timeline.analysis import Analysis
from merkit.timeline.annotations import LABELS, UNKNOWN_SPEAKER, UNSURE, WORDS
from merkit.timeline.reading import read_timeline

_COLUMNS = ("start_s", "end_s", "label")
_NO_LABELS = frozenset({"", UNSURE, "no label"})
_OVERLAP = re.compile(r" \(overlap \d+\)$")


@dataclass(frozen=True)
class Corrected:
    """An utterance of a corrected timeline."""

    start_s: float
    end_s: float
    speaker: str
    text: str | None
    label: str | None
    """Several labels are one text, with semicolons between them; ``None``: it has none."""
    place: str
    """Where the file has it, such as "line 3"."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Each of its labels."""
        return () if self.label is None else tuple(self.label.split(LABEL_SEPARATOR))


def read_corrected(path: Path) -> list[Corrected]:
    """Return the utterances of a corrected timeline by its ending, in order of time.

    Raises:
        MerkitError: It is damaged, or an utterance has no time span; names the file and the line, segment, interval or
            annotation.
    """
    utterances = list(READERS[path.suffix.lower()](path))
    for each in utterances:
        if not 0 <= each.start_s < each.end_s:
            raise MerkitError(
                f"{path}: {each.place}: from {each.start_s:g} to {each.end_s:g} s is no time span, expected "
                "0 <= start < end"
            )
    return sorted(utterances, key=lambda each: (each.start_s, each.end_s))


def read_json(path: Path) -> Analysis:
    """Return the analysis of its JSON, corrected or not.

    Raises:
        MerkitError: It is damaged, or no timeline; names the file and the place.
    """
    text, _ = decode(path.read_bytes(), f"'{path}'", western=False)
    try:
        values = parse_json(text, nan=False)
        if not isinstance(values, Mapping):
            raise ValueError(f"a {type(values).__name__}, expected an object")
        return read_timeline({key: value for key, value in values.items() if key != KEY})
    except (ValueError, MerkitError) as error:
        raise MerkitError(f"{path}: {error}") from error


def _read_json(path: Path) -> Iterator[Corrected]:
    for number, segment in enumerate(read_json(path).segments):
        place = f"segments[{number}]"
        label = _of_several(segment.label, segment.labels, f"{path}: {place}")
        yield Corrected(segment.start_s, segment.end_s, segment.speaker, segment.text, label, place)


def _read_csv(path: Path) -> Iterator[Corrected]:
    text, _ = decode(path.read_bytes(), f"'{path}'", western=True)
    table = read_table(text, str(path), {*_COLUMNS, "labels", "speaker", "text"})
    missing = [name for name in _COLUMNS if name not in table.names]
    if missing:
        raise MerkitError(f"{path}: no column {', '.join(missing)}, found {', '.join(table.names)[:200]}")
    for number, cells in table.rows:
        row = dict(zip(table.names, cells, strict=True))
        place = f"line {number}"
        start_s, end_s = (_seconds(row[name], f"{path}: {place}: {name}") for name in _COLUMNS[:2])
        speaker, words = spoken_text(row.get("speaker")) or "", spoken_text(row.get("text"))
        label = _label(row["label"])
        if "labels" in row:
            label = _of_several(label, (row["labels"] or "").split(LABEL_SEPARATOR), f"{path}: {place}")
        yield Corrected(start_s, end_s, speaker, words, label, place)


def _read_textgrid(path: Path) -> Iterator[Corrected]:
    tiers: dict[str, Sequence[Interval]] = {}
    for name, intervals in open_textgrid(path):
        if intervals is None and (_is(name, LABELS) or _is(name, WORDS)):
            raise MerkitError(f"{path}: tier '{name}' has points, expected intervals")
        tiers[name] = intervals or ()
    labelled = [name for name in tiers if _is(name, LABELS)]
    if not labelled:
        raise MerkitError(f"{path}: no tier '{LABELS}@NAME', found {', '.join(tiers)[:200] or 'none'}")
    for name in labelled:
        who = name.removeprefix(f"{LABELS}@")
        words = tiers.get(f"{WORDS}@{who}", ())
        speaker = _speaker(_OVERLAP.sub("", who))
        used: set[int] = set()
        for number, interval in enumerate(tiers[name], start=1):
            inside = [at for at, word in enumerate(words) if interval.start_s <= _middle(word) < interval.end_s]
            used.update(inside)
            text = spoken_text(" ".join(words[at].label for at in inside))
            place = f"tier '{name}', interval {number}"
            yield Corrected(interval.start_s, interval.end_s, speaker, text, _label(interval.label), place)
        for at, word in enumerate(words):
            if at not in used:  # its label is empty
                place = f"tier '{WORDS}@{who}', interval {at + 1}"
                yield Corrected(word.start_s, word.end_s, speaker, spoken_text(word.label), None, place)


def _read_eaf(path: Path) -> Iterator[Corrected]:
    slots, tiers = parse_eaf(path.read_bytes(), Draft(str(path)))
    labels = {
        of: _label("".join(pieces)) for tier in tiers if _is(tier.name, LABELS) for _, of, pieces in tier.references
    }
    spoken = [tier for tier in tiers if _is(tier.name, WORDS) and not tier.dependent]
    if not spoken:
        found = ", ".join(tier.name for tier in tiers)[:200] or "none"
        raise MerkitError(f"{path}: no tier '{WORDS}@NAME', found {found}")
    for tier in spoken:
        speaker = tier.speaker or _speaker(_OVERLAP.sub("", tier.name.removeprefix(f"{WORDS}@")))
        for id_, first, last, pieces in tier.annotations:
            start_ms, end_ms = slots.get(first), slots.get(last)
            place = f"annotation {id_}"
            if start_ms is None or end_ms is None:
                raise MerkitError(f"{path}: {place}: it has no times")
            text = spoken_text("".join(pieces))
            yield Corrected(start_ms / 1000, end_ms / 1000, speaker, text, labels.get(id_), place)


READERS: Mapping[str, Callable[[Path], Iterator[Corrected]]] = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".textgrid": _read_textgrid,
    ".eaf": _read_eaf,
}
"""By ending, in small letters."""


def labels_of(utterances: Sequence[Corrected]) -> set[str]:
    """Return the labels that occur."""
    return {label for each in utterances for label in each.labels}


def _is(tier: str, kind: str) -> bool:
    return tier.startswith(f"{kind}@")


def _label(text: str | None) -> str | None:
    label = spoken_text(text) or ""
    return None if label.casefold() in _NO_LABELS else label


def _of_several(label: str | None, labels: Sequence[str], place: str) -> str | None:
    """Return several labels as one text; ``label`` is one of them.

    Raises:
        MerkitError: It is none of them: one of the two was corrected, and not the other.
    """
    one, several = _label(label), [each for each in map(_label, labels) if each is not None]
    joined = LABEL_SEPARATOR.join(several)
    if (one is not None or several) and one not in several:
        said = "there is no label" if one is None else f"label is '{one}'"
        others = f"labels are '{joined}'" if joined else "there are no labels"
        raise MerkitError(f"{place}: {said}, and {others}: correct both, so that label is one of labels")
    return joined or None


def _speaker(name: str) -> str:
    return "" if name == UNKNOWN_SPEAKER else name


def _seconds(cell: str | None, place: str) -> float:
    try:
        value = float((cell or "").replace(",", "."))
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise MerkitError(f"{place} is {cell!r:.40}, expected seconds")
    return value


def _middle(interval: Interval) -> float:
    return (interval.start_s + interval.end_s) / 2
