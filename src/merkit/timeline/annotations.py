"""Annotations that people correct: Praat's TextGrid, and ELAN's EAF with a controlled vocabulary of the labels.

Each speaker has a tier of words, ``words@NAME``, and one of labels, ``emotion@NAME``. In EAF labels hang on the words,
which have the times: to move a boundary moves both. In a TextGrid both have times, the same. The label of an utterance
without one is empty, or ``unsure``. No tier may hold what overlaps, so where a speaker's own utterances do, the later
ones are on tiers of their own, ``words@NAME (overlap 2)`` and so on; so are those of another speaker whose tier would
have the same name. Times are those of the recording in milliseconds.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from merkit.io.predictions import LABEL_SEPARATOR

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis, Segment

WORDS, LABELS = "words", "emotion"
UNSURE = "unsure"
UNKNOWN_SPEAKER = "unknown"
"""The speaker's name where there is none."""

_VOCABULARY = "emotions"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def textgrid(analysis: "Analysis") -> str:
    """Return Praat's long text format, with the empty intervals between utterances that it requires."""
    end = max([_ms(analysis.duration_s), *(_ms(segment.end_s) for segment in analysis.segments)])
    tiers = []
    for name, segments in tiers_of(analysis.segments):
        for kind in (WORDS, LABELS):
            tiers.append((f"{kind}@{name}", list(_intervals(segments, kind, end))))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_seconds(end)}"]
    lines += [f"tiers? {'<exists>' if tiers else '<absent>'}", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {_seconds(end)}", f"        intervals: size = {len(intervals)}"]
        for place, (start, stop, text) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {_seconds(start)}"]
            lines += [f"            xmax = {_seconds(stop)}", f"            text = {_quoted(text)}"]
    return "\n".join(lines) + "\n"


def eaf(analysis: "Analysis") -> str:
    """Return ELAN's format, version 3.0, linked with the recording."""
    slots: list[int] = []
    tiers: list[str] = []
    number = 0
    for name, segments in tiers_of(analysis.segments):
        speaker = segments[0].speaker
        words, labels = [], []
        for segment in segments:
            first, second = f"ts{len(slots) + 1}", f"ts{len(slots) + 2}"
            slots += _span(segment)
            words.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number + 1}" TIME_SLOT_REF1="{first}" '
                f'TIME_SLOT_REF2="{second}"><ANNOTATION_VALUE>{_xml(segment.text or "")}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
            entry = _entry(analysis, _label(segment))
            labels.append(
                f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a{number + 2}" ANNOTATION_REF="a{number + 1}"{entry}>'
                f"<ANNOTATION_VALUE>{_xml(_label(segment))}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
            )
            number += 2
        who = _attribute(speaker)
        parent = _attribute(f"{WORDS}@{name}")
        tiers.append(f'<TIER LINGUISTIC_TYPE_REF="{WORDS}" PARTICIPANT={who} TIER_ID={parent}>{_lines(words)}</TIER>')
        tiers.append(
            f'<TIER LINGUISTIC_TYPE_REF="{LABELS}" PARENT_REF={parent} PARTICIPANT={who} '
            f"TIER_ID={_attribute(f'{LABELS}@{name}')}>{_lines(labels)}</TIER>"
        )
    order = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{at}" TIME_VALUE="{ms}"/>\n' for at, ms in enumerate(slots, start=1))
    link = "" if analysis.file is None else analysis.file.resolve().as_uri()
    medium = f'<MEDIA_DESCRIPTOR MEDIA_URL={_attribute(link)} MIME_TYPE="unknown"/>' if link else ""
    entries = "\n".join(
        f'<CV_ENTRY_ML CVE_ID="e{at}"><CVE_VALUE DESCRIPTION="" LANG_REF="und">{_xml(label)}</CVE_VALUE></CV_ENTRY_ML>'
        for at, label in enumerate(_vocabulary(analysis))
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="merkit" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{medium}</HEADER>
<TIME_ORDER>
{order}</TIME_ORDER>
{_lines(tiers)}
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="{WORDS}" TIME_ALIGNABLE="true"/>
<LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Association" CONTROLLED_VOCABULARY_REF="{_VOCABULARY}" \
GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="{LABELS}" TIME_ALIGNABLE="false"/>
<LANGUAGE LANG_DEF="http://cdb.iso.org/lg/CDB-00130975-001" LANG_ID="und" LANG_LABEL="undetermined (und)"/>
<CONSTRAINT DESCRIPTION="1-1 association with a parent annotation" STEREOTYPE="Symbolic_Association"/>
<CONTROLLED_VOCABULARY CV_ID="{_VOCABULARY}">
<DESCRIPTION LANG_REF="und"/>
{entries}
</CONTROLLED_VOCABULARY>
</ANNOTATION_DOCUMENT>
"""


def tiers_of(segments: Sequence["Segment"]) -> list[tuple[str, list["Segment"]]]:
    """Return the utterances of each tier by its name behind the ``@``: of one speaker, none overlapping."""
    tiers: dict[str, list[list[Segment]]] = {}
    for segment in sorted(segments, key=lambda each: each.start_s):
        if _span(segment)[0] >= _span(segment)[1]:
            continue
        lanes = tiers.setdefault(segment.speaker, [])
        free = (lane for lane in lanes if _span(lane[-1])[1] <= _span(segment)[0])
        lane = next(free, None)
        if lane is None:
            lanes.append([segment])
        else:
            lane.append(segment)
    named: dict[str, list[Segment]] = {}
    for speaker, lanes in tiers.items():
        name = _allowed(speaker) or UNKNOWN_SPEAKER
        names = chain([name], (f"{name} (overlap {number})" for number in count(2)))
        for lane in lanes:
            named[next(each for each in names if each not in named)] = lane
    return list(named.items())


def _intervals(segments: Sequence["Segment"], kind: str, end: int) -> Iterator[tuple[int, int, str]]:
    at = 0
    for segment in segments:
        start, stop = _span(segment)
        if start > at:
            yield at, start, ""
        yield start, stop, (segment.text or "") if kind == WORDS else _label(segment)
        at = stop
    if at < end:
        yield at, end, ""


def _label(segment: "Segment") -> str:
    if segment.labels:
        return LABEL_SEPARATOR.join(segment.labels)
    return UNSURE if segment.prediction is not None and segment.prediction.is_unsure else ""


def _vocabulary(analysis: "Analysis") -> tuple[str, ...]:
    return (*analysis.labels, UNSURE)


def _entry(analysis: "Analysis", label: str) -> str:
    entries = _vocabulary(analysis)
    return f' CVE_REF="e{entries.index(label)}"' if label in entries else ""


def _span(segment: "Segment") -> tuple[int, int]:
    return _ms(segment.start_s), _ms(segment.end_s)


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}"


def _allowed(text: str) -> str:
    """Return a text without the characters that XML 1.0 forbids, which Praat does not show either."""
    return _FORBIDDEN.sub("", text)


def _quoted(text: str) -> str:
    return '"' + _allowed(text).replace('"', '""') + '"'


def _xml(text: str) -> str:
    return escape(_allowed(text))


def _attribute(text: str) -> str:
    return quoteattr(_allowed(text))


def _lines(items: Sequence[str]) -> str:
    return "\n" + "\n".join(items)
