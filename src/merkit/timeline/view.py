"""How an analysis is shown: what the parts of a page and of a notebook's output have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merkit.timeline.labels import label_styles
from merkit.timeline.peaks import Peaks

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis

UNKNOWN_SPEAKER = "speaker unknown"
LANES = 12
"""Speakers beyond the first so many share the last lane."""


@dataclass(frozen=True)
class View:
    """An analysis, and what all of its parts show in the same way."""

    analysis: "Analysis"
    peaks: Peaks | None
    """``None``: it has no sound."""
    speakers: tuple[str, ...]
    """In the order of their first utterances."""
    labels: tuple[str, ...]
    """See `labels_of`."""
    sources: tuple[str, ...]
    """Names of the models that were joined; empty: one model."""
    styles: Mapping[str, int]
    """Of each label; see `label_styles`."""
    truth: tuple[str, ...] = ()
    """The true label of each utterance, where they are known; empty: they are not."""


def view_of(analysis: "Analysis", peaks: Peaks | None, truth: Sequence[str] = ()) -> View:
    """Return how an analysis is shown."""
    segments = analysis.segments
    labels = labels_of([analysis])
    return View(
        analysis,
        peaks,
        tuple(dict.fromkeys(segment.speaker for segment in segments)),
        labels,
        tuple(dict.fromkeys(name for segment in segments for name in segment.sources)),
        label_styles(labels),
        tuple(truth),
    )


def labels_of(analyses: Sequence["Analysis"]) -> tuple[str, ...]:
    """Return the labels of some analyses, and behind them others that only a source or a corrected utterance has."""
    segments = [segment for analysis in analyses for segment in analysis.segments]
    alone = [each for segment in segments for each in segment.sources.values()]
    labels = [label for analysis in analyses for label in analysis.labels]
    labels += [label for each in alone for label in each.probabilities]
    predictions = [*(segment.prediction for segment in segments if segment.prediction is not None), *alone]
    given = [label for each in predictions for label in (*(each.labels or ()), each.label)]
    return tuple(dict.fromkeys([*labels, *(label for label in given if label is not None)]))


def clock(seconds: float, tenths: bool = False) -> str:
    """Return ``1:02`` or ``1:02:03``, with tenths of seconds on request.

    >>> clock(62.0), clock(3723.46, tenths=True)
    ('1:02', '1:02:03.5')
    """
    units = round(10 * seconds) if tenths else 10 * int(seconds)
    whole, tenth = divmod(units, 10)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{text}.{tenth}" if tenths else text
