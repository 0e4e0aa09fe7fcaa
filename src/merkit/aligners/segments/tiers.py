"""Checks of tiers from any source, and syllables where only phones are known.

Times are seconds from the start of the utterance. An interval is ``[start_s, end_s)``; silence, noise and breath have
none. The intervals of a tier are in order of time and do not overlap.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from merkit.aligners.segments.syllables import syllables_of
from merkit.core.alignment import Alignment, Interval, TierName
from merkit.core.errors import MerkitError

ROUNDING_S = 1e-4
"""How far neighbours may overlap, or a tier begin before 0, by rounding; such intervals are cut."""

_SILENCE = re.compile(r"|<[^<>]*>|\[[^\[\]]*\]|\++[^+]*\++|sil|sp|spn|nsn|pau|_", re.IGNORECASE)
_VARIANT = re.compile(r"\(\d+\)$")


def spoken(label: str) -> str | None:
    """Return a label, or ``None`` for silence and noise (``<s>``, ``SIL``, ``++BREATH++``, empty).

    The number of a dictionary's variant is removed: ``THE(2)`` becomes ``THE``.
    """
    label = label.strip()
    return None if _SILENCE.fullmatch(label) else _VARIANT.sub("", label)


def check_tier(name: str, intervals: Sequence[Interval], source: str) -> tuple[Interval, ...]:
    """Return a tier without silence and rounding errors; ``source`` is named in errors.

    Raises:
        MerkitError: An interval ends before it begins, begins before 0, or overlaps with the one before it.
    """
    checked: list[Interval] = []
    for interval in intervals:
        label = spoken(interval.label)
        if label is None:
            continue
        start_s, end_s = interval.start_s, interval.end_s
        previous_s = checked[-1].end_s if checked else 0.0
        found = f"{source}: {name} '{label}' from {start_s:.4f} to {end_s:.4f} s"
        if not end_s > start_s:
            raise MerkitError(f"{found}: it must end after it begins. Correct the file, or align again")
        if start_s < previous_s - ROUNDING_S:
            before = f"'{checked[-1].label}' ends at {previous_s:.4f} s" if checked else "the utterance begins at 0 s"
            raise MerkitError(f"{found}: {before}. Expected intervals in order that do not overlap; correct the file")
        checked.append(Interval(label, max(start_s, previous_s), end_s))
    return tuple(checked)


def merged_words(intervals: Sequence[Interval]) -> list[Interval]:
    """Merge neighbours of the same times, which were spoken as one word ("of the")."""
    same = groupby(intervals, key=lambda interval: (interval.start_s, interval.end_s))
    return [Interval(" ".join(interval.label for interval in group), *times) for times, group in same]


def checked_alignment(tiers: Mapping[TierName, Sequence[Interval]], source: str) -> Alignment:
    """Check all tiers, and add syllables where words and phones are known but syllables are not.

    Raises:
        MerkitError: As ``check_tier``.
    """
    checked = {name: check_tier(name, intervals, source) for name, intervals in tiers.items()}
    if "syllable" not in checked and "word" in checked and "phone" in checked:
        checked["syllable"] = syllables_of(checked["word"], checked["phone"])
    return checked


def shifted(intervals: Sequence[Interval], by_s: float, end_s: float | None = None) -> list[Interval]:
    """Return intervals shifted in time and cut to 0 to ``end_s``, without those whose middle is outside."""
    moved = [Interval(each.label, each.start_s + by_s, each.end_s + by_s) for each in intervals]
    last_s = float("inf") if end_s is None else end_s
    return [
        Interval(each.label, max(each.start_s, 0.0), min(each.end_s, last_s))
        for each in moved
        if 0.0 <= (each.start_s + each.end_s) / 2 < last_s
    ]
