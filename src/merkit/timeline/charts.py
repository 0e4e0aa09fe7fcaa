"""Charts of a timeline as SVG without scripts: the whole recording at a glance, and each speaker's course.

Colours and patterns are classes of the style sheet. The overview stretches with its column: positions are thousandths
of its width. Every chart has its content as text for screen readers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from merkit.core.characters import html_text
from merkit.timeline.labels import NONE, STYLES, UNSURE, style_class
from merkit.timeline.peaks import Peaks
from merkit.timeline.summary import Course, course
from merkit.timeline.view import LANES, UNKNOWN_SPEAKER, View, clock

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis, Segment

WIDTH = 1000
WAVE_HEIGHT, LANE_HEIGHT = 56, 16
_BARS = 500
_DENSE = 300
"""With more utterances the outlines of those without a label would hide the others."""
_POINTS = 72
_LEAST_SHARE, _MOST_LINES = 0.12, 5
"""Lines of a course: the labels whose share comes this high, and not more than so many."""


def patterns() -> str:
    """Return the definitions of the patterns, once in a page."""
    shapes = (
        "",
        '<circle cx="3" cy="3" r="1.3"/>',
        '<path d="M0 3H6"/>',
        '<path d="M-1 7 7-1"/>',
        '<path d="M-1-1 7 7"/>',
        '<path d="M0 3H6M3 0V6"/>',
        '<path d="M0 5 3 1 6 5"/>',
        '<path d="M3 0V6"/>',
        '<path d="M-1 7 7-1M-1-1 7 7"/>',
        '<path d="M1 1H5V5H1Z"/>',
        '<path d="M0 1.5H6M0 4.5H6"/>',
        '<path d="M1.5 0V6M4.5 0V6"/>',
    )
    filled = "".join(
        f'<pattern id="p{number}" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="l{number}" width="6" '
        f'height="6"/><g class="hatch">{shape}</g></pattern>'
        for number, shape in enumerate(shapes[:STYLES])
    )
    return f'<svg width="0" height="0" aria-hidden="true" class="defs"><defs>{filled}</defs></svg>'


def overview(view: View) -> str:
    """Return the whole recording: its outline, and below it a lane for each speaker with the utterances."""
    analysis, peaks = view.analysis, view.peaks
    lane_of = {speaker: min(at, LANES - 1) for at, speaker in enumerate(view.speakers)}
    count = min(len(view.speakers), LANES)
    below = 0 if peaks is None else WAVE_HEIGHT
    height = below + LANE_HEIGHT * max(count, 1)
    lanes = []
    for number in range(count):
        top = below + LANE_HEIGHT * number
        boxes: dict[str, list[str]] = {}
        for segment in analysis.segments:
            if lane_of[segment.speaker] == number:
                start, width = _extent(segment, analysis.duration_s)
                boxes.setdefault(style_class(segment, view.styles), []).append(
                    f"M{start:.1f} {top + 2}h{width:.1f}v{LANE_HEIGHT - 4}h-{width:.1f}z"
                )
        for kind, paths in boxes.items():
            fill = f' style="fill:url(#p{kind[1:]})"' if kind not in (UNSURE, NONE) else ""
            lanes.append(f'<path class="box {kind}"{fill} d="{"".join(paths)}"/>')
        lanes.append(f'<path class="lane" d="M0 {top}H{WIDTH}"/>')
    label = html_text(f"Timeline of {analysis.title}: {_described(analysis, view.speakers)}")
    dense = " dense" if len(analysis.segments) > _DENSE else ""
    wave = "" if peaks is None else f'<path class="wave" d="{_wave(peaks)}"/>'
    return (
        f'<svg class="overview{dense}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" role="img" '
        f'style="height:{height}px" aria-label="{label}">{wave}{"".join(lanes)}</svg>'
    )


def axis(duration_s: float, count: int = 6) -> str:
    """Return times below a chart that stretches."""
    step = _round_step(duration_s / count)
    ticks = [number * step for number in range(int(duration_s / step * 0.97) + 1)]
    marks = "".join(f'<span style="left:{100 * at / duration_s:.2f}%">{clock(at)}</span>' for at in ticks)
    return f'<div class="axis" aria-hidden="true">{marks}</div>'


def courses(view: View, speaker: str) -> str:
    """Return a speaker's course as lines with 95 % bands; nothing where there are fewer than two utterances."""
    analysis, styles = view.analysis, view.styles
    own = [s for s in analysis.segments if s.speaker == speaker and s.prediction and s.prediction.probabilities]
    if len(own) < 2:
        return ""
    first, last = own[0].start_s, max(segment.end_s for segment in own)
    found = course(own, speaker, analysis.duration_s, analysis.labels, np.linspace(first, last, _POINTS))
    assert found is not None  # it has utterances with probabilities
    highest = found.means.max(axis=0)
    shown = [int(n) for n in np.argsort(-highest)[:_MOST_LINES] if highest[n] >= _LEAST_SHARE or len(highest) < 3]
    left, right, top, bottom = 46, 516, 14, 138

    def x(time_s: float) -> float:
        return left + (right - left) * time_s / max(analysis.duration_s, 1e-9)

    def y(share: float) -> float:
        return bottom - (bottom - top) * min(max(share, 0.0), 1.0)

    grid = "".join(
        f'<path class="grid" d="M{left} {y(tick):.1f}H{right}"/><text x="{left - 6}" y="{y(tick) + 4:.1f}" '
        f'text-anchor="end">{100 * tick:.0f}</text>'
        for tick in (0, 0.5, 1)
    )
    bands, lines = [], []
    for number in shown:
        label = analysis.labels[number]
        kind = f"s{styles[label]}"
        upper = [f"{x(t):.1f} {y(m + h):.1f}" for t, m, h in _points(found, number)]
        lower = [f"{x(t):.1f} {y(m - h):.1f}" for t, m, h in _points(found, number)]
        middle = [f"{x(t):.1f} {y(m):.1f}" for t, m, _ in _points(found, number)]
        bands.append(f'<path class="band {kind}" d="M{"L".join([*upper, *reversed(lower)])}Z"/>')
        lines.append(f'<path class="line {kind}" d="M{"L".join(middle)}"><title>{html_text(label)}</title></path>')
    ends = _apart([(y(float(found.means[-1, number])), number) for number in shown], 20.0, top, bottom)
    names = "".join(
        f'<path class="line s{styles[analysis.labels[n]]}" d="M{right + 6} {at:.1f}h18"/>'
        f'<text class="name" x="{right + 28}" y="{at + 4:.1f}">{html_text(analysis.labels[n][:16])}</text>'
        for at, n in ends
    )
    marks = "".join(
        f'<path class="turn" d="M{x(point.time_ms / 1000):.1f} {top}V{bottom}"><title>{html_text(point.before)} to '
        f"{html_text(point.after)}</title></path>"
        for point in analysis.summary.turning_points
        if point.speaker == speaker
    )
    step = _round_step(analysis.duration_s / 5)
    times = "".join(
        f'<text x="{x(number * step):.1f}" y="{bottom + 18}" text-anchor="{"start" if number == 0 else "middle"}">'
        f"{clock(number * step)}</text>"
        for number in range(int(analysis.duration_s / step) + 1)
    )
    said = ", ".join(
        f"{analysis.labels[n]} from {100 * found.means[0, n]:.0f} to {100 * found.means[-1, n]:.0f} %" for n in shown
    )
    return (
        f'<svg class="course" viewBox="0 0 640 162" role="img" data-left="{left}" data-right="{right}" '
        f'aria-label="{html_text(f"Course of {speaker or UNKNOWN_SPEAKER}: {said}")}">{grid}'
        f"{''.join([*bands, marks, *lines])}"
        f"{names}{times}</svg>"
    )


def _points(found: Course, number: int) -> list[tuple[float, float, float]]:
    columns = found.times_s, found.means[:, number], found.half_widths[:, number]
    return [(float(t), float(m), float(h)) for t, m, h in zip(*columns, strict=True)]


def _apart(places: Sequence[tuple[float, int]], gap: float, top: float, bottom: float) -> list[tuple[float, int]]:
    """Return places that are at least ``gap`` apart, in order, moved as little as a pass down and one up allow."""
    moved: list[tuple[float, int]] = []
    for at, number in sorted(places):
        moved.append((max(at, moved[-1][0] + gap if moved else top), number))
    limit = bottom
    for place in reversed(range(len(moved))):
        at = min(moved[place][0], limit)
        moved[place] = (at, moved[place][1])
        limit = at - gap
    return moved


def _extent(segment: "Segment", duration_s: float) -> tuple[float, float]:
    scale = WIDTH / max(duration_s, 1e-9)
    return segment.start_s * scale, max((segment.end_s - segment.start_s) * scale - 0.6, 0.4)


def _wave(peaks: Peaks) -> str:
    values = peaks.fewer(_BARS)
    step, middle = WIDTH / len(values), WAVE_HEIGHT / 2
    halves = [max(0.6, float(value) / 255 * (middle - 3)) for value in values]
    return "".join(f"M{(at + 0.5) * step:.1f} {middle - half:.1f}v{2 * half:.1f}" for at, half in enumerate(halves))


def _described(analysis: "Analysis", speakers: Sequence[str]) -> str:
    talk = analysis.summary.speakers
    return "; ".join(f"{speaker or UNKNOWN_SPEAKER}, {talk[speaker].utterances} utterances" for speaker in speakers)


def _round_step(rough: float) -> float:
    """Return the next step of time that is easy to read."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400)
    return float(next((step for step in steps if step >= rough), max(rough, 1)))
