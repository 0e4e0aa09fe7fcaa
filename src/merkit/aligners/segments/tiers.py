"""Segments of speech: what holds for every tier, whoever made it, and syllables where only phones are known.

Times are seconds from the beginning of the utterance. An interval is ``[start_s, end_s)``; silence, noise and breath
have none. The intervals of a tier are in order of time and do not overlap.
"""

import re
from collections.abc import Mapping, Sequence

from merkit.aligners.segments.syllables import syllables_of
from merkit.core.alignment import Alignment, Interval, TierName
from merkit.core.errors import MerkitError

SLIP_S = 1e-4
"""How far neighbours may overlap, or a tier begin before 0, by rounding; mended by cutting."""

_SILENCE = re.compile(r"|<.*>|\[.*\]|\++.*\++|sil|sp|spn|nsn|pau|_", re.IGNORECASE)
_VARIANT = re.compile(r"\(\d+\)$")


def spoken(label: str) -> str | None:
    """Return a label as it counts, or ``None`` for silence and noise (``<s>``, ``SIL``, ``++BREATH++``, empty).

    The number of a dictionary's variant is taken off: ``THE(2)`` is ``THE``.
    """
    label = label.strip()
    return None if _SILENCE.fullmatch(label) else _VARIANT.sub("", label)


def check_tier(name: str, intervals: Sequence[Interval], source: str) -> tuple[Interval, ...]:
    """Return a tier without silence, its rounding mended; ``source`` is named in errors.

    Raises:
        MerkitError: An interval ends before it has begun, begins before 0, or overlaps with the one before it.
    """
    checked: list[Interval] = []
    for interval in intervals:
        label = spoken(interval.label)
        if label is None:
            continue
        start_s, end_s = interval.start_s, interval.end_s
        previous_s = checked[-1].end_s if checked else 0.0
        told = f"{source}: {name} '{label}' from {start_s:.4f} to {end_s:.4f} s"
        if not end_s > start_s:
            raise MerkitError(f"{told}: it must end after it has begun. Mend the file, or align again")
        if start_s < previous_s - SLIP_S:
            before = f"'{checked[-1].label}' ends at {previous_s:.4f} s" if checked else "the utterance begins at 0 s"
            raise MerkitError(f"{told}: {before}. Expected intervals in order that do not overlap; mend the file")
        checked.append(Interval(label, max(start_s, previous_s), end_s))
    return tuple(checked)


def merged_words(intervals: Sequence[Interval]) -> list[Interval]:
    """Return intervals with neighbours of the very same times as one: words that were spoken as one ("of the")."""
    found: list[Interval] = []
    for interval in intervals:
        if found and (found[-1].start_s, found[-1].end_s) == (interval.start_s, interval.end_s):
            label = f"{found[-1].label} {interval.label}"
            found[-1] = Interval(label, interval.start_s, interval.end_s)
        else:
            found.append(interval)
    return found


def checked_alignment(tiers: Mapping[TierName, Sequence[Interval]], source: str) -> Alignment:
    """Check all tiers, and add the syllables where words and phones are known and they are not.

    Raises:
        MerkitError: As ``check_tier``.
    """
    checked = {name: check_tier(name, intervals, source) for name, intervals in tiers.items()}
    if "syllable" not in checked and "word" in checked and "phone" in checked:
        checked["syllable"] = syllables_of(checked["word"], checked["phone"])
    return checked


def shifted(intervals: Sequence[Interval], by_s: float, end_s: float | None = None) -> list[Interval]:
    """Return intervals moved in time, of those whose middle then lies between 0 and ``end_s``; cut to that part."""
    moved = [Interval(each.label, each.start_s + by_s, each.end_s + by_s) for each in intervals]
    last_s = float("inf") if end_s is None else end_s
    return [
        Interval(each.label, max(each.start_s, 0.0), min(each.end_s, last_s))
        for each in moved
        if 0.0 <= (each.start_s + each.end_s) / 2 < last_s
    ]
