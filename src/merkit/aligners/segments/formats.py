"""Reading files of segments in the formats that aligners and corpora use.

| ending | format | holds |
|---|---|---|
| ``.TextGrid`` | Praat, by praatio (extra ``align``) | tiers by name: ``words``, ``phones``, ``syllables`` |
| ``.ctm`` | NIST: file, channel, start, duration, label | one tier of many recordings; not words: ``.phone.ctm`` |
| ``.wdseg .phseg .syseg`` | Sphinx, as shipped with IEMOCAP: first and last frame of 10 ms | one tier |
| ``.json`` | as shipped with parley: utterances with words and phones | words and phones of a recording |

Readers return tiers as they are in the file, silence included; ``merkit.aligners.segments.tiers`` checks them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merkit.aligners.segments.tiers import merged_words
from merkit.core.alignment import Interval, TierName
from merkit.core.errors import MerkitError, first_line
from merkit.data.plain_text import decode
from merkit.data.strict_json import parse_json

Tiers = dict[TierName, list[Interval]]

SEG_FRAME_S = 0.01
"""Sphinx counts in frames of 10 ms, both the first and the last included."""
SEG_TIERS: Mapping[str, TierName] = {".wdseg": "word", ".phseg": "phone", ".syseg": "syllable"}

_TIER_OF: Mapping[str, TierName] = {
    **dict.fromkeys(("word", "words", "wrd", "ort"), "word"),
    **dict.fromkeys(("phone", "phones", "phoneme", "phonemes", "segments", "phn", "mau"), "phone"),
    **dict.fromkeys(("syllable", "syllables", "syll", "syl", "mas"), "syllable"),
}
"""Names of tiers of the Montreal Forced Aligner, WebMAUS, Praat's aligner and manual annotation, in lower case."""


def open_textgrid(path: Path) -> list[tuple[str, list[Interval] | None]]:
    """Read a Praat TextGrid, long or short; return each tier's name and filled intervals, ``None`` for points.

    Raises:
        MerkitError: It is damaged, or praatio is not installed.
    """
    try:
        from praatio.textgrid import openTextgrid
    except ImportError as error:
        raise MerkitError("TextGrids need the extra 'align': pip install 'merkit[align]'") from error
    try:
        content = openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence")
    except Exception as error:  # praatio raises errors of any kind on bad files
        raise MerkitError(
            f"{path}: not a TextGrid that can be read ({first_line(error)}). Save it again with Praat"
        ) from error
    _refuse_cut_off(path)
    tiers: list[tuple[str, list[Interval] | None]] = []
    for name in content.tierNames:
        entries = content.getTier(name).entries
        if all(hasattr(entry, "end") for entry in entries):
            tiers.append((name, [Interval(entry.label, float(entry.start), float(entry.end)) for entry in entries]))
        else:
            tiers.append((name, None))
    return tiers


def _refuse_cut_off(path: Path) -> None:
    """Refuse a TextGrid that holds fewer tiers or entries than it says; praatio reads what is there.

    Numbers and texts in quotes come in one order in the long and the short form; the words around them are ignored.
    """
    text, _ = decode(path.read_bytes(), f"'{path}'", western=True)
    pieces = re.split(r'"((?:[^"]|"")*)"', text)
    texts, between = pieces[1::2], pieces[2::2]
    place = 2  # behind "ooTextFile" and "TextGrid"
    try:
        for _ in range(_third_number(between[1])):
            place += 2 + _third_number(between[place + 1])  # its kind and name, then its entries
    except (IndexError, ValueError):  # no number, or no whole one
        place = len(texts) + 1
    if place > len(texts):
        raise MerkitError(f"{path}: the TextGrid is cut off: it holds less than it says. Save it again with Praat")


def _third_number(text: str) -> int:
    """Return how many tiers or entries follow, behind the times of the beginning and the end."""
    return int(re.findall(r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", text)[2].partition(".")[0])


def tier_kind(name: str) -> TierName | None:
    """Return what a tier of this name holds; a speaker's name before `` - `` is ignored.

    >>> tier_kind("Ann - words")
    'word'
    """
    return _TIER_OF.get(name.rpartition(" - ")[2].strip().lower())


def read_textgrid(path: Path) -> Tiers:
    """Read the tiers of words, syllables and phones of a Praat TextGrid.

    Raises:
        MerkitError: It is damaged, or none of its tiers is one of words, syllables or phones.
    """
    tiers: Tiers = {}
    content = open_textgrid(path)
    for name, intervals in content:
        known = tier_kind(name)
        if known is None or intervals is None:
            continue
        if known in tiers:
            raise MerkitError(f"{path}: two tiers of {known}s. Expected one; keep that of the utterance's speaker")
        tiers[known] = intervals
    if not tiers:
        found = ", ".join(name for name, _ in content) or "none"
        raise MerkitError(f"{path}: tiers {found}. Expected one named words, syllables or phones; rename it in Praat")
    return tiers


def read_ctm(path: Path) -> dict[str, list[Interval]]:
    """Read a CTM; return its intervals by the name in the first column.

    Raises:
        MerkitError: A line is not file, channel, start, duration and label; names it.
    """
    intervals: dict[str, list[Interval]] = {}
    for _, (name, _, interval) in ctm_rows(_text(path), str(path)):
        intervals.setdefault(name, []).append(interval)
    return intervals


def ctm_rows(text: str, source: str) -> Iterator[tuple[int, tuple[str, str, Interval]]]:
    """Yield the number of each line of a CTM, with its file, channel and interval.

    Raises:
        MerkitError: A line is not file, channel, start, duration and label; names it.
    """
    for number, fields, refused in _rows(text, source, (";;",), "file channel start duration label"):
        try:
            name, channel, start, duration, label = fields[:5]
            yield number, (name, channel, Interval(label, float(start), round(float(start) + float(duration), 6)))
        except ValueError:
            raise refused from None


def read_seg(path: Path) -> list[Interval]:
    """Read one of Sphinx' segment files (IEMOCAP's ``.wdseg``, ``.phseg``, ``.syseg``).

    Columns are first frame, last frame, score and label; a phone's neighbours, after it, are ignored, and so are the
    header and the ``Total score`` at the end.

    Raises:
        MerkitError: Another line has other columns; names it.
    """
    intervals = []
    for _, fields, refused in _rows(_text(path), str(path), ("SFrm", "Total"), "first frame, last frame, score, label"):
        try:
            first, last, _, label = fields[:4]
            start_s, end_s = int(first) * SEG_FRAME_S, (int(last) + 1) * SEG_FRAME_S
        except ValueError:
            raise refused from None
        intervals.append(Interval(label, round(start_s, 4), round(end_s, 4)))
    return intervals


def read_json(path: Path) -> dict[str, Tiers]:
    """Read parley's alignment of a recording: the tiers of each utterance, in seconds from the utterance's start.

    Words that were spoken as one are merged. JSON of another kind (no ``utterances``) has no tiers.

    Raises:
        MerkitError: The file is damaged.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        rows = content["utterances"] if isinstance(content, dict) and "utterances" in content else ()
        return {str(row["id"]): {"word": _spans(row, "words"), "phone": _spans(row, "phones")} for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MerkitError(f"{path}: not an alignment in parley's format ({first_line(error)})") from error


def _spans(row: Mapping[str, Any], key: str) -> list[Interval]:
    start_s = float(row["start_s"])
    spans = [
        Interval(str(span["label"]), round(span["start_s"] - start_s, 4), round(span["end_s"] - start_s, 4))
        for span in row[key]
    ]
    return merged_words(spans)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MerkitError(f"Cannot read '{path}': {first_line(error)}") from error


def _rows(
    text: str, source: str, ignored: tuple[str, ...], expected: str
) -> Iterator[tuple[int, list[str], MerkitError]]:
    """Yield number and fields of each line, unless it is ignored, with the error to raise where they are unexpected."""
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if line and not line.startswith(ignored):
            refused = MerkitError(f"{source}, line {number}: '{line[:60]}' found, expected {expected}")
            yield number, line.split(), refused
