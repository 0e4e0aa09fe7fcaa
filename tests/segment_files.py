"""Writers of the segment files that merkit reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from merkit.aligners.segments.formats import SEG_FRAME_S
from merkit.core.alignment import TIERS, Interval, TierName


def write_textgrid(path: Path, tiers: Mapping[TierName, Sequence[Interval]], duration_s: float) -> None:
    """Write a TextGrid in Praat's long format, silence between the intervals left empty."""
    from praatio import textgrid as library

    grid = library.Textgrid(0.0, duration_s)
    for name in TIERS[::-1]:
        if name in tiers:
            entries = [(each.start_s, each.end_s, each.label) for each in tiers[name]]
            grid.addTier(library.IntervalTier(f"{name}s", entries, 0.0, duration_s))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True, reportingMode="silence")


def write_ctm(path: Path, intervals: Mapping[str, Sequence[Interval]]) -> None:
    """Write a CTM of several recordings, to a tenth of a millisecond; spaces in labels become ``_``."""
    lines = [
        f"{name} 1 {each.start_s:.4f} {each.end_s - each.start_s:.4f} {each.label.replace(' ', '_')}\n"
        for name, row in intervals.items()
        for each in row
    ]
    path.write_text("".join(lines), encoding="utf-8")


def write_seg(path: Path, intervals: Sequence[Interval], tier: TierName) -> None:
    """Write a Sphinx segment file; times are rounded to frames of 10 ms, scores are 0."""
    lines = [f"\t SFrm  EFrm    SegAScr {tier.capitalize()}\n"]
    for each in intervals:
        first, last = round(each.start_s / SEG_FRAME_S), round(each.end_s / SEG_FRAME_S) - 1
        lines.append(f"\t{first:5d} {last:5d} {0:10d} {each.label.replace(' ', '_')}\n")
    lines.append(" Total score:           0\n")
    path.write_text("".join(lines), encoding="utf-8")
