"""Who talked how long, with which labels, and where a speaker's emotion turned: computed from the utterances alone.

Times are milliseconds. An utterance counts for the whole of its time; where a speaker's own utterances overlap (windows
of a long one), talk time counts once. Sound without speech is no talk.

A speaker's course is the mean of the probabilities of the utterances around a moment, weighted by their duration and by
a Gaussian of their distance in time. The label of an utterance is a draw from its distribution, so the share p of a
label has the variance p(1 - p) / n, where n is the effective number of utterances, (sum of weights)^2 / (sum of their
squares); the 95 % interval is 1.96 of its roots wide on either side. The difference of two shares p and q has the
variance (p + q - (p - q)^2) / n. A turning point is where one label leads every other one with 90 % (the difference is
1.28 roots of its variance) after another label did.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from merkit.timeline.reasons import CHANNELS_CANCEL, NO_SPEECH

if TYPE_CHECKING:
    from merkit.timeline.analysis import Segment

_STRICT = ConfigDict(extra="forbid")
_Z = 1.96
_LEADS_Z = 1.2816
_LEAST_SPREAD_S, _SPREAD = 15.0, 1 / 12
"""Standard deviation of the Gaussian: this share of the recording, and not less than so many seconds."""
_WINDOW_S, _MOST_WINDOWS = 30.0, 24
"""Shares over time are those of windows of this length, or longer where there would be more."""
_MOST_MOMENTS = 240
"""Of a speaker's course that are looked at for turning points; bounds time and memory of long recordings."""
_SILENT = frozenset({NO_SPEECH, CHANNELS_CANCEL})

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Talk:
    """Talk time and labels of a speaker, or of all together."""

    __pydantic_config__ = _STRICT
    utterances: int
    talk_ms: int
    overlap_ms: int
    """Of the talk time, what others talked in too."""
    labels_ms: Mapping[str, int]
    """Duration of the utterances of each label that occurs, longest first; one of several labels counts for each."""
    unsure_ms: int
    """Of utterances that have probabilities and no label."""
    unlabelled_ms: int
    """Of utterances without either."""


@dataclass(frozen=True)
class Window:
    """The labels of one part of the recording; an utterance counts with what lies inside."""

    __pydantic_config__ = _STRICT
    start_ms: int
    end_ms: int
    labels_ms: Mapping[str, int]
    unsure_ms: int
    unlabelled_ms: int


@dataclass(frozen=True)
class TurningPoint:
    """Where the label that leads a speaker's course changed; see the module."""

    __pydantic_config__ = _STRICT
    time_ms: int
    speaker: str
    before: str
    after: str


@dataclass(frozen=True)
class Summary:
    """What a reader of the timeline wants first."""

    __pydantic_config__ = _STRICT
    recording: Talk
    speakers: Mapping[str, Talk]
    windows: Sequence[Window]
    turning_points: Sequence[TurningPoint]


@dataclass(frozen=True)
class Course:
    """A speaker's mean probabilities ``[times, labels]`` at ``times_s``, with half the width of their interval."""

    times_s: Floats
    means: Floats
    half_widths: Floats
    counts: Floats
    """Effective number of utterances ``[times]``."""


def summarize(segments: Sequence["Segment"], duration_s: float, labels: Sequence[str]) -> Summary:
    """Return the summary of a recording's utterances; ``labels`` are those that they have probabilities of."""
    talking = [segment for segment in segments if segment.reason not in _SILENT]
    speakers = list(dict.fromkeys(segment.speaker for segment in segments))
    spans = {who: _union((s.start_s, s.end_s) for s in talking if s.speaker == who) for who in speakers}
    shared = _shared(spans.values())
    everyone = _union(span for of_one in spans.values() for span in of_one)
    return Summary(
        _talk(segments, everyone, shared),
        {who: _talk([s for s in segments if s.speaker == who], spans[who], shared) for who in speakers},
        _windows(segments, duration_s),
        sorted(
            (point for who in speakers for point in turning_points(segments, who, duration_s, labels)),
            key=lambda point: point.time_ms,
        ),
    )


def course(
    segments: Sequence["Segment"], speaker: str, duration_s: float, labels: Sequence[str], times_s: Floats
) -> Course | None:
    """Return a speaker's course at some times; ``None``: the speaker has no utterance with probabilities."""
    own = [s for s in segments if s.speaker == speaker and s.prediction is not None and s.prediction.probabilities]
    if not own:
        return None
    probabilities = np.array([[s.prediction.probabilities.get(label, 0.0) for label in labels] for s in own])  # type: ignore[union-attr]
    middles = np.array([(s.start_s + s.end_s) / 2 for s in own])
    lengths = np.array([max(s.end_s - s.start_s, 1e-3) for s in own])
    spread = max(_LEAST_SPREAD_S, duration_s * _SPREAD)
    distances = (times_s[:, None] - middles) / spread
    nearest = np.square(distances).min(axis=1, keepdims=True)  # far from all, only the nearest counts
    weights = lengths * np.exp((nearest - np.square(distances)) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    means = weights @ probabilities
    counts = 1 / np.square(weights).sum(axis=1)
    half_widths = _Z * np.sqrt(np.clip(means * (1 - means), 0, None) / counts[:, None])
    return Course(times_s, means, half_widths, counts)


def turning_points(
    segments: Sequence["Segment"], speaker: str, duration_s: float, labels: Sequence[str]
) -> list[TurningPoint]:
    """Return where a speaker's course turned, in order; the time is that of the utterance where the new label leads."""
    known = [s for s in segments if s.speaker == speaker and s.prediction is not None and s.prediction.probabilities]
    own = sorted(known, key=lambda s: s.start_s)
    asked = [own[int(at)] for at in np.linspace(0, len(own) - 1, min(len(own), _MOST_MOMENTS))]
    found = course(own, speaker, duration_s, labels, np.array([(s.start_s + s.end_s) / 2 for s in asked]))
    if found is None or len(labels) < 2:
        return []
    points: list[TurningPoint] = []
    last, since = None, 0
    for number, (means, count) in enumerate(zip(found.means, found.counts, strict=True)):
        leading = int(np.argmax(means))
        others = np.delete(means, leading)
        lead = means[leading] - others
        if np.any(lead <= _LEADS_Z * np.sqrt(np.clip(means[leading] + others - lead**2, 0, None) / count)):
            continue
        if last is not None and leading != last:
            leaders = np.argmax(found.means[since : number + 1], axis=1)
            turn = since + 1 + int(np.flatnonzero(leaders[1:] == leading)[0])
            points.append(TurningPoint(_ms(asked[turn].start_s), speaker, labels[last], labels[leading]))
        last, since = leading, number
    return points


def _talk(segments: Sequence["Segment"], spans: Sequence[tuple[float, float]], shared: "_Spans") -> Talk:
    labels, unsure, unlabelled = _durations(segments, 0.0, math.inf)
    return Talk(len(segments), _total(spans), _total(_common(spans, shared)), labels, unsure, unlabelled)


def _windows(segments: Sequence["Segment"], duration_s: float) -> list[Window]:
    count = int(min(max(duration_s // _WINDOW_S, 1), _MOST_WINDOWS))
    edges = [duration_s * number / count for number in range(count + 1)]
    return [
        Window(_ms(start_s), _ms(end_s), *_durations(segments, start_s, end_s)) for start_s, end_s in pairwise(edges)
    ]


def _durations(segments: Iterable["Segment"], start_s: float, end_s: float) -> tuple[dict[str, int], int, int]:
    """Return milliseconds by label, without a label but with probabilities, and without either."""
    by_label: dict[str, float] = {}
    unsure = unlabelled = 0.0
    for segment in segments:
        length = min(segment.end_s, end_s) - max(segment.start_s, start_s)
        if length <= 0:
            continue
        for label in segment.labels:
            by_label[label] = by_label.get(label, 0.0) + length
        if segment.labels:
            continue
        if segment.prediction is not None and segment.prediction.is_unsure:
            unsure += length
        else:
            unlabelled += length
    ordered = sorted(by_label.items(), key=lambda item: -item[1])
    return {label: _ms(length) for label, length in ordered}, _ms(unsure), _ms(unlabelled)


_Spans = list[tuple[float, float]]


def _union(spans: Iterable[tuple[float, float]]) -> _Spans:
    joined: _Spans = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _shared(of_each: Iterable[Sequence[tuple[float, float]]]) -> _Spans:
    """Return where two or more talk; the spans of each do not overlap."""
    changes = sorted(
        (time, change) for spans in of_each for span in spans for time, change in ((span[0], 1), (span[1], -1))
    )
    shared: _Spans = []
    talking, since = 0, 0.0
    for time, change in changes:
        if talking >= 2 and time > since:
            shared.append((since, time))
        talking, since = talking + change, time
    return _union(shared)


def _common(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> _Spans:
    """Return where both have spans; those of each are in order and do not overlap."""
    common, a, b = [], 0, 0
    while a < len(one) and b < len(other):
        start, end = max(one[a][0], other[b][0]), min(one[a][1], other[b][1])
        if start < end:
            common.append((start, end))
        if one[a][1] < other[b][1]:
            a += 1
        else:
            b += 1
    return common


def _total(spans: Iterable[tuple[float, float]]) -> int:
    return _ms(math.fsum(end - start for start, end in spans))


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
