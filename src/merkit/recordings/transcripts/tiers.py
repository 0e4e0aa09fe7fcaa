"""Transcripts in tiers: Praat's TextGrid and ELAN's EAF."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from merkit.aligners.segments.formats import open_textgrid, tier_kind
from merkit.aligners.segments.tiers import spoken
from merkit.core.alignment import Interval
from merkit.core.errors import MerkitError
from merkit.core.phrases import number_of
from merkit.recordings.transcripts.lines import Draft, Line


def read_textgrid_lines(path: Path, draft: Draft) -> None:
    """Read a TextGrid: each tier of intervals is a speaker; words are joined to lines where there is no longer unit.

    Raises:
        MerkitError: It is damaged, or has no tier with words.
    """
    draft.ordered = False
    tiers: dict[str | None, list[tuple[str, Sequence[Interval]]]] = {}
    for name, intervals in open_textgrid(path):
        kind: str | None = "point" if intervals is None else tier_kind(name)
        tiers.setdefault(kind, []).append((name, intervals or ()))
    used = None if any(intervals for _, intervals in tiers.get(None, ())) else "word"
    chosen = tiers.pop(used, [])
    if not any(intervals for _, intervals in chosen):
        found = ", ".join(name for rest in tiers.values() for name, _ in rest)[:120] or "none"
        raise draft.error("", f"no tier has words; its tiers are {found}.")
    for other, rest in tiers.items():
        draft.note(f"tiers of {other}s left out: {', '.join(name for name, _ in rest)}")
    words = []
    for name, labelled in chosen:
        speaker = name.rpartition(" - ")[0] if used else name
        speaker = draft.speaker(speaker if len(chosen) > 1 or used else None, f"tier '{name}'")
        for number, interval in enumerate(labelled, start=1):
            place = f"tier '{name}', interval {number}"
            label = draft.text(interval.label, place)
            if label is None or spoken(label) is None:
                draft.note("{} of silence or noise left out", place)
            elif used:
                words.append(Line(interval.start_s, interval.end_s, speaker, label, place))
            else:
                draft.add(interval.start_s, interval.end_s, speaker, label, place)
    draft.add_words(words)


@dataclass
class EafTier:
    """A tier of an EAF, as it is in the file."""

    name: str
    speaker: str
    """Its participant; empty where it names none."""
    dependent: bool
    annotations: list[tuple[str, str, str, list[str]]] = field(default_factory=list)
    """Id, time slots of start and end, and text in pieces."""
    references: list[tuple[str, str, list[str]]] = field(default_factory=list)
    """Of annotations that hang on others: id, id of the other, and text in pieces."""


def read_eaf(raw: bytes, draft: Draft, encoding: str | None = None) -> None:
    """Read an EAF: lines are the annotations of tiers that depend on no other, with the participant as speaker.

    Args:
        raw: The file's content.
        draft: Where the lines go.
        encoding: Of the content; ``None``: what it says itself.

    Nothing outside the file is read and no entity is expanded: a document type is refused.

    Raises:
        MerkitError: It is no XML, has a document type, or other units than milliseconds.
    """
    draft.ordered = False
    slots, tiers = parse_eaf(raw, draft, encoding)
    roots = [tier for tier in tiers if not tier.dependent]
    left = sum(len(tier.annotations) + len(tier.references) for tier in tiers if tier.dependent)
    if left:
        names = ", ".join(tier.name for tier in tiers if tier.dependent)[:120]
        draft.note(f"{number_of(left, 'annotation')} of tiers that depend on others left out ({names})")
    several = len([tier for tier in roots if tier.annotations]) > 1
    for tier in roots:
        speaker = tier.speaker or (tier.name if several else "")
        for name, start, end, pieces in tier.annotations:
            place = f"annotation {name}"
            times = slots.get(start), slots.get(end)
            text = draft.text("".join(pieces), place)
            if times[0] is None or times[1] is None:
                draft.note("{} without times left out", place)
                continue
            draft.add(times[0] / 1000, times[1] / 1000, draft.speaker(speaker, place), text, place)


def parse_eaf(raw: bytes, draft: Draft, encoding: str | None = None) -> tuple[dict[str, int | None], list[EafTier]]:
    """Return the time slots of an EAF in milliseconds (``None``: without a time), and its tiers.

    Raises:
        MerkitError: As `read_eaf`.
    """
    slots: dict[str, int | None] = {}
    tiers: list[EafTier] = []
    inside: list[str] = []
    pieces: list[str] | None = None

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal pieces
        inside[:] = [name]
        if name == "TIME_SLOT":
            slots[attributes.get("TIME_SLOT_ID", "")] = _whole(draft, attributes.get("TIME_VALUE"), "TIME_VALUE")
        elif name == "HEADER" and attributes.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise draft.error("", f"its times are {attributes['TIME_UNITS'][:40]!r}, expected milliseconds")
        elif name == "MEDIA_DESCRIPTOR" and (_whole(draft, attributes.get("TIME_ORIGIN"), "TIME_ORIGIN") or 0) != 0:
            raise draft.error(
                "", f"a medium begins at {attributes['TIME_ORIGIN']} ms (TIME_ORIGIN); expected times of the recording"
            )
        elif name == "TIER":
            parent = attributes.get("PARENT_REF")
            tiers.append(EafTier(attributes.get("TIER_ID", ""), attributes.get("PARTICIPANT", ""), parent is not None))
        elif name == "REF_ANNOTATION" and tiers:
            pieces = []
            tiers[-1].references.append(
                (attributes.get("ANNOTATION_ID", ""), attributes.get("ANNOTATION_REF", ""), pieces)
            )
        elif name == "ALIGNABLE_ANNOTATION" and tiers:
            start, end = (attributes.get(f"TIME_SLOT_REF{number}", "") for number in (1, 2))
            pieces = []
            tiers[-1].annotations.append((attributes.get("ANNOTATION_ID", ""), start, end, pieces))

    def words(data: str) -> None:
        if inside == ["ANNOTATION_VALUE"] and pieces is not None:
            pieces.append(data)

    def end(name: str) -> None:
        inside[:] = []

    def refuse(*_: Any) -> None:
        raise draft.error("", "it has a document type (DOCTYPE), which no ELAN file has; save it again with ELAN")

    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, words
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise MerkitError(f"{draft.source} is not XML that can be read: {error}") from error
    return slots, tiers


def _whole(draft: Draft, value: str | None, key: str) -> int | None:
    if value is None:
        return None
    if not (value.strip().isascii() and value.strip().isdigit() and len(value) < 16):
        raise draft.error("", f"{key} is {value[:40]!r}, expected whole milliseconds")
    return int(value)
