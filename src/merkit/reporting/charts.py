"""Small SVG charts without scripts; classes of the style sheet set their colours.

Positions are percentages of the chart's width where a chart stretches with its column (`track`, `axis`), and user units
where its proportions are fixed (`curves`, `reliability`). Every chart has its values as text for screen readers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merkit.core.characters import html_text

_DIAMOND = '<path class="printed" d="M0-6 6 0 0 6-6 0Z"/>'


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values that maps onto 0 to 100 % of a chart."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """Return the position of a value in percent, clipped to the chart."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values inside the range, ``most`` at most."""
        step = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_around(values: Sequence[float]) -> Scale:
    """Return a range with round ends that holds all values and a margin; the margin never crosses 0."""
    low, high = min(values), max(values)
    margin = max((high - low) * 0.06, abs(high) * (0.1 if low == high else 1e-4), 1e-6)
    step = _round_step((high - low + 2 * margin) / 5)
    bottom = low - margin if low <= 0 else max(low - margin, 0.0)
    return Scale(math.floor(bottom / step) * step, math.ceil((high + margin) / step) * step)


def track(
    scale: Scale, value: float, interval: Sequence[float], label: str, kind: str = "", printed: Sequence[float] = ()
) -> str:
    """Return one row of a dot-and-whisker chart; ``printed`` values are diamonds, ``kind`` is a class for the style."""
    low, high = (scale.position(end) for end in interval)
    grid = "".join(_line(scale.position(tick), 0, scale.position(tick), 26, "grid") for tick in scale.ticks())
    diamonds = "".join(f'<svg x="{scale.position(p):.2f}%" y="13" overflow="visible">{_DIAMOND}</svg>' for p in printed)
    return (
        f'<svg class="track {kind}" width="100%" height="26" role="img" aria-label="{html_text(label)}">{grid}'
        f"{_line(low, 13, high, 13, 'whisker')}{_line(low, 9, low, 17, 'whisker')}{_line(high, 9, high, 17, 'whisker')}"
        f'<circle class="dot" cx="{scale.position(value):.2f}%" cy="13" r="5"/>{diamonds}</svg>'
    )


def axis(scale: Scale, factor: float = 100) -> str:
    """Return the numbers below a dot-and-whisker chart; a value is printed times ``factor``."""
    labels = "".join(
        f'<text x="{x:.2f}%" y="12" text-anchor="{_text_anchor(x)}">{factor * tick:g}</text>'
        for x, tick in ((scale.position(tick), round(tick, 9)) for tick in scale.ticks())
    )
    return f'<svg class="axis" width="100%" height="16" aria-hidden="true">{labels}</svg>'


@dataclass(frozen=True, slots=True)
class Curve:
    """One line over epochs, from epoch 1 (``None``: no value), and the epoch to mark (``None``: none)."""

    name: str
    values: Sequence[float | None]
    chosen: int | None = None
    kind: str = ""
    """A class of the style sheet: its colour among several lines."""


def curves(lines: Sequence[Curve], title: str, factor: float = 1.0) -> str:
    """Return lines over epochs in one chart, with the selected epochs marked; a value is printed times ``factor``.

    Every line must have at least one value.
    """
    left, right, top, bottom = 42, 392, 12, 148
    scale = scale_around([value for line in lines for value in line.values if value is not None])
    last = max(len(line.values) for line in lines)
    across = Scale(1, max(last, 2))

    def x(epoch: float) -> float:
        return left + (right - left) * across.position(epoch) / 100

    def y(value: float) -> float:
        return bottom - (bottom - top) * scale.position(value) / 100

    shapes = []
    for tick in scale.ticks(5):
        shapes.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        value = f"{factor * round(tick, 9):g}"
        shapes.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{value}</text>')
    for tick in across.ticks(8):
        if abs(tick - round(tick)) < 1e-9:  # a whole epoch
            shapes.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:.0f}</text>')
    shapes.append(f'<text class="name" x="{right}" y="{bottom + 30}" text-anchor="end">epoch</text>')
    for line in lines:
        points = [f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in _known(line)]
        drawn = " ".join(points if len(points) > 1 else points * 2)  # a line to where it starts is a dot
        kind = f"curve {line.kind}".strip()
        shapes.append(f'<polyline class="{kind}" points="{drawn}"><title>{html_text(line.name)}</title></polyline>')
    for line in lines:
        marked = dict(_known(line)).get(line.chosen or 0)
        if line.chosen is not None and marked is not None:
            centre = f'cx="{x(line.chosen):.1f}" cy="{y(marked):.1f}"'
            shapes.append(
                f'<circle class="chosen" {centre} r="4"><title>{html_text(line.name)}: selected</title></circle>'
            )
    last_of = [(line.name, *_known(line)[-1]) for line in lines[:6]]
    ends = ", ".join(f"{name}: {factor * value:.3g} at epoch {epoch}" for name, epoch, value in last_of)
    crowd = " crowd" if len(lines) > 8 and not any(line.kind for line in lines) else ""
    label = html_text(f"{title} over {last} epochs. {ends}")
    return f'<svg class="chart{crowd}" viewBox="0 0 400 182" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def legend(lines: Sequence[Curve]) -> str:
    """Return the names of lines, each beside a sample of its line."""
    return "".join(
        f'<span class="entry"><svg class="sample" width="22" height="10" aria-hidden="true">'
        f'<line class="curve {line.kind}" x1="2" y1="5" x2="20" y2="5"/></svg>{html_text(line.name)}</span>'
        for line in lines
    )


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """Return accuracy by confidence as bars with the diagonal, and below it the number of utterances of each bin."""
    left, right, top, bottom, foot = 42, 392, 12, 232, 282

    def x(value: float) -> float:
        return left + (right - left) * value

    def y(value: float) -> float:
        return bottom - (bottom - top) * value

    total = sum(row["count"] for row in bins)
    most = max(row["count"] for row in bins)
    shapes = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        shapes.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        shapes.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{100 * tick:g}</text>')
        anchor = "end" if tick == 1 else "middle"
        shapes.append(f'<text x="{x(tick):.1f}" y="{foot + 16}" text-anchor="{anchor}">{100 * tick:g}</text>')
    descriptions = []
    for row in bins:
        if not row["count"]:
            continue
        start, width = x(row["low"]) + 1, x(row["high"]) - x(row["low"]) - 2
        height = 30 * row["count"] / most
        description = (
            f"confidence {100 * row['low']:.0f} to {100 * row['high']:.0f}: {100 * row['accuracy']:.0f} % correct of"
            f" {row['count']:.0f}"
        )
        descriptions.append(description)
        title = f"<title>{html_text(description)}</title>"
        share, mean = y(row["accuracy"]), y(row["confidence"])
        across = f'x="{start:.1f}" width="{width:.1f}"'
        shapes.append(f'<rect class="bar" {across} y="{share:.1f}" height="{bottom - share:.1f}">{title}</rect>')
        shapes.append(f'<line class="mean" x1="{start:.1f}" x2="{start + width:.1f}" y1="{mean:.1f}" y2="{mean:.1f}"/>')
        shapes.append(f'<rect class="count" {across} y="{foot - height:.1f}" height="{height:.1f}">{title}</rect>')
    shapes.append(f'<line class="diagonal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    shapes.append(f'<line class="base" x1="{left}" x2="{right}" y1="{foot}" y2="{foot}"/>')
    shapes.append(f'<text class="name" x="{left + 6}" y="{top + 14}">accuracy</text>')
    shapes.append(f'<text class="name" x="{left + 6}" y="{bottom + 18}">utterances ({total:,.0f})</text>')
    shapes.append(f'<text class="name" x="{right}" y="{foot + 30}" text-anchor="end">confidence</text>')
    label = html_text("Reliability. " + "; ".join(descriptions))
    return f'<svg class="chart" viewBox="0 0 400 316" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def _known(line: Curve) -> list[tuple[int, float]]:
    return [(epoch, value) for epoch, value in enumerate(line.values, start=1) if value is not None]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}%" y1="{y1}" x2="{x2:.2f}%" y2="{y2}"/>'


def _text_anchor(percent: float) -> str:
    return "start" if percent < 4 else "end" if percent > 96 else "middle"


def _round_step(rough: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
