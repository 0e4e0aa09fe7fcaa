"""Long monologues in windows: each is read on its own, and where two overlap the timeline has the mean of both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from merkit.data.media.audio import Recording
from merkit.recordings.speech import Region
from merkit.recordings.transcripts import Line


@dataclass(frozen=True)
class Windows:
    """What is read of a recording, and what of it each line of the timeline rests on."""

    read: Sequence[tuple[Line, Recording]]
    """Lines and windows, each with its sound."""
    shown: Sequence[tuple[Line, Sequence[int]]]
    """Lines that do not overlap, each with the numbers of what is read of it."""


def windows_of(lines: Sequence[tuple[Line, Recording]], window_s: float | None) -> Windows:
    """Return lines that are longer than a window in windows; lines with words, and without times, stay whole.

    Args:
        lines: Each with its sound.
        window_s: The length of a window in seconds; ``None``: all lines stay whole.
    """
    read: list[tuple[Line, Recording]] = []
    shown: list[tuple[Line, Sequence[int]]] = []
    for line, sound in lines:
        begin_s, last_s = line.start_s, line.end_s
        if (
            window_s is None
            or line.text is not None
            or begin_s is None
            or last_s is None
            or last_s - begin_s <= window_s
        ):
            shown.append((line, [len(read)]))
            read.append((line, sound))
            continue
        spans = window_times(begin_s, last_s, window_s)
        first = len(read)
        read += [(replace(line, start_s=start_s, end_s=end_s), sound) for start_s, end_s in spans]
        step_s = spans[1][0] - spans[0][0]
        edges = [*(start_s for start_s, _ in spans), spans[-1][0] + step_s, last_s]
        for start_s, end_s in pairwise(edges):
            middle_s = (start_s + end_s) / 2
            over = [first + n for n, span in enumerate(spans) if span[0] < middle_s < span[1]]
            shown.append((replace(line, start_s=start_s, end_s=end_s), over))
    return Windows(read, shown)


def window_times(start_s: float, end_s: float, window_s: float) -> list[Region]:
    """Return windows of one length, evenly spaced from the start to the end, which overlap by half or a little more.

    >>> window_times(0.0, 10.0, 4.0)
    [(0.0, 4.0), (2.0, 6.0), (4.0, 8.0), (6.0, 10.0)]
    """
    if end_s - start_s <= window_s:
        return [(start_s, end_s)]
    steps = math.ceil((end_s - start_s - window_s) / (window_s / 2) - 1e-9)
    step_s = (end_s - start_s - window_s) / steps
    starts = [start_s + number * step_s for number in range(steps + 1)]
    return [(begin, begin + window_s) for begin in starts]
