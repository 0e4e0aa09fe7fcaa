"""Figures of the built-in voice model on one corpus that it was not trained on.

Recalls are means over labels, with equal weight, of the share of a label's clips that are recognised. Where references
are drawn at random, a figure is that of all draws together. Intervals (95 %) are bootstrapped over speakers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from sklearn.metrics import confusion_matrix

from merkit.io.decision_rule import DecisionRule
from merkit.metrics.calibration import brier, expected_calibration_error
from merkit.metrics.intervals import percentile_interval, resampled_sums
from weights.head import Floats, Head, Ints, centre
from weights.vectors import DAMAGE, LOUDNESS, UNLABELLED, Clips, Vectors

DRAWS = 20
"""Random references of each speaker."""
CALL_CLIPS, CALL_NEUTRAL = 20, 0.8
"""Clips of a call-like reference, drawn with replacement, and the share of neutral ones."""
COVERAGE = (1.0, 0.75, 0.5, 0.25)
ALARM = "angry"

References = Callable[[Ints], Sequence[Ints]]
"""From a speaker's clips to references of that speaker, each the numbers of some clips."""


@dataclass(frozen=True)
class Scored:
    """Calibrated logits of clips, of each as often as it was compared with a reference."""

    clips: Ints
    """Numbers of clips."""
    logits: Floats
    """``[rows, labels]``"""
    arousal: Floats
    """``[rows]``"""


@dataclass(frozen=True)
class Measured:
    """A corpus, its vectors (``None``: of the clips as they are, else by kind of damage), and the model."""

    clips: Clips
    vectors: Mapping[str | None, Vectors]
    head: Head
    temperature: float
    arousal_temperature: float

    def score(self, references: References, damage: str | None = None) -> Scored:
        """Compare each labelled clip with each of its speaker's references."""
        pairs = []
        for speaker in np.unique(self.clips.speakers):
            own = np.flatnonzero(self.clips.speakers == speaker)
            pairs += [(own[self.clips.labels[own] != UNLABELLED], reference) for reference in references(own)]
        return self._score(pairs, damage)

    def score_by_label(self) -> Scored:
        """Compare each labelled clip with the speaker's clips of the same label: a mood that lasts."""
        pairs = []
        for speaker in np.unique(self.clips.speakers):
            for label in self.clips.labels_present:
                own = np.flatnonzero((self.clips.speakers == speaker) & (self.clips.labels == label))
                pairs += [(own, own)] if len(own) else []
        return self._score(pairs)

    def score_alone(self) -> Scored:
        """Compare each labelled clip with itself alone, the only clip of its speaker."""
        return self._score([(np.array([clip]), np.array([clip])) for clip in np.flatnonzero(self.clips.labels >= 0)])

    def _score(self, pairs: Sequence[tuple[Ints, Ints]], damage: str | None = None) -> Scored:
        vectors = self.vectors[damage]
        centred = np.concatenate(
            [centre(vectors[clips], vectors[reference], self.head.training_mean) for clips, reference in pairs]
        )
        return Scored(
            np.concatenate([clips for clips, _ in pairs]),
            self.head.logits(centred) / self.temperature,
            self.head.arousal(centred) / self.arousal_temperature,
        )


def figures_of(
    measured: Measured, labels: Sequence[str], sides: Floats, rule: DecisionRule, seed: int
) -> dict[str, Any]:
    """Return all figures of a corpus as JSON values.

    Args:
        measured: The corpus and the model.
        labels: Of the model.
        sides: By label: 1 high arousal, 0 low, NaN neither.
        rule: What the model shows by default.
        seed: Of the random references.
    """
    clips = measured.clips
    shown = [labels.index(label) for label in rule.shown(labels)]
    shares = {"all": clips.labels_present, "shown": shown}
    generator = np.random.default_rng(seed)
    neutral = labels.index("neutral")

    def call_like(own: Ints) -> list[Ints]:
        is_neutral = clips.labels[own] == neutral
        count = round(CALL_NEUTRAL * CALL_CLIPS)
        others = own[~is_neutral & (clips.labels[own] != UNLABELLED)]
        return [
            np.concatenate([generator.choice(own[is_neutral], count), generator.choice(others, CALL_CLIPS - count)])
            for _ in range(DRAWS)
        ]

    whole = measured.score(lambda own: [own])
    call = measured.score(call_like)
    compared = {
        "all of the speaker's clips": whole,
        "5 clips of the speaker": measured.score(lambda own: [generator.choice(own, 5, False) for _ in range(DRAWS)]),
        "20 clips, 80 % neutral": call,
        **{f"all, {kind.replace('_', ' ')}": measured.score(lambda own: [own], kind) for kind in (*DAMAGE, *LOUDNESS)},
        "the same label alone": measured.score_by_label(),
        "none": measured.score_alone(),
    }
    recalls = {
        name: {which: mean_recall(clips, scored, classes) for which, classes in shares.items()}
        for name, scored in compared.items()
    }
    arousal = {
        name: {which: arousal_recall(clips, scored, sides, classes) for which, classes in shares.items()}
        for name, scored in compared.items()
    }
    return {
        "clips": len(clips.labels),
        "labelled": int((clips.labels != UNLABELLED).sum()),
        "speakers": len(np.unique(clips.speakers)),
        "labels": [labels[label] for label in clips.labels_present],
        "recall": recalls,
        "arousal": arousal,
        "calibration": {which: calibration(clips, whole, classes) for which, classes in shares.items()},
        "coverage": {which: coverage(clips, whole, classes) for which, classes in shares.items()},
        "arousal_calibration": arousal_calibration(clips, whole, sides),
        "call": {
            name: call_figures(clips, call, shown, prior, neutral, shown.index(labels.index(ALARM)), rule.unsure_below)
            for name, prior in (("even prior", None), ("default prior", rule.priors(labels)))
        },
    }


def mean_recall(clips: Clips, scored: Scored, classes: Sequence[int]) -> dict[str, Any]:
    """Return the mean recall over some labels, of which the best is predicted, without a prior."""
    rows = np.isin(clips.labels[scored.clips], classes)
    predicted = np.asarray(classes)[scored.logits[rows][:, list(classes)].argmax(axis=1)]
    return _recall(clips, scored.clips[rows], clips.labels[scored.clips[rows]], predicted, classes)


def arousal_recall(clips: Clips, scored: Scored, sides: Floats, classes: Sequence[int]) -> dict[str, Any]:
    """Return the mean recall of high and low arousal, of those of the labels that have a side."""
    side = sides[clips.labels[scored.clips]]
    rows = ~np.isnan(side) & np.isin(clips.labels[scored.clips], classes)
    predicted = (scored.arousal[rows] > 0).astype(np.int64)
    return _recall(clips, scored.clips[rows], side[rows].astype(np.int64), predicted, (0, 1))


def _recall(clips: Clips, numbers: Ints, truth: Ints, predicted: Ints, labels: Sequence[int]) -> dict[str, Any]:
    speakers = clips.speakers[numbers]
    tables = np.stack(
        [
            confusion_matrix(truth[speakers == name], predicted[speakers == name], labels=list(labels))
            for name in np.unique(speakers)
        ]
    )
    (drawn,) = resampled_sums(tables)
    sizes = drawn.sum(axis=2)
    hits = np.diagonal(drawn, axis1=1, axis2=2)
    values = np.where(sizes > 0, hits / np.maximum(sizes, 1), np.nan)
    total = tables.sum(axis=0)
    by_label = np.diagonal(total) / total.sum(axis=1)
    return {
        "mean_recall": float(by_label.mean()),
        "interval": list(percentile_interval(np.nanmean(values, axis=1))),
        "by_label": by_label.tolist(),
    }


def probabilities(
    clips: Clips, scored: Scored, classes: Sequence[int], prior: npt.ArrayLike = 1.0
) -> tuple[Ints, Floats]:
    """Return the places of the true labels among ``classes``, and probabilities ``[rows, classes]`` with a prior."""
    rows = np.isin(clips.labels[scored.clips], classes)
    truth = np.searchsorted(np.asarray(classes), clips.labels[scored.clips[rows]])
    return truth, softmax(scored.logits[rows][:, list(classes)] + np.log(prior), axis=1)


def calibration(clips: Clips, scored: Scored, classes: Sequence[int]) -> dict[str, float]:
    """Return calibration error, Brier score and mean confidence of probabilities without a prior."""
    return _calibration(*probabilities(clips, scored, classes))


def arousal_calibration(clips: Clips, scored: Scored, sides: Floats) -> dict[str, float]:
    """Return the same of the probability of high arousal."""
    side = sides[clips.labels[scored.clips]]
    known = ~np.isnan(side)
    high = expit(scored.arousal[known])
    return _calibration(side[known].astype(np.int64), np.stack([1 - high, high], axis=1))


def _calibration(truth: Ints, rows: Floats) -> dict[str, float]:
    return {
        "calibration_error": expected_calibration_error(truth, rows),
        "brier": brier(truth, rows),
        "mean_confidence": float(rows.max(axis=1).mean()),
    }


def coverage(clips: Clips, scored: Scored, classes: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return accuracy and mean recall of the most confident shares of the clips; a label may be missing among them."""
    truth, rows = probabilities(clips, scored, classes)
    order = np.argsort(-rows.max(axis=1), kind="stable")
    found = {}
    for share in COVERAGE:
        kept = order[: round(share * len(order))]
        correct = rows[kept].argmax(axis=1) == truth[kept]
        recalls = [float(correct[truth[kept] == label].mean()) for label in np.unique(truth[kept])]
        found[f"{100 * share:.0f} %"] = {
            "accuracy": float(correct.mean()),
            "mean_recall": float(np.mean(recalls)),
            "labels": len(recalls),
        }
    return found


def call_figures(
    clips: Clips,
    scored: Scored,
    classes: Sequence[int],
    prior: Mapping[str, float] | None,
    neutral: int,
    alarm: int,
    unsure_below: float,
) -> dict[str, float | None]:
    """Return figures of calls of which 80 % are neutral: clips are weighted so, the other labels evenly.

    ``alarm`` is the place of a label among ``classes`` whose probability of 0.5 or more is an alarm. ``None``: no clip
    has a label, or an alarm.
    """
    truth, rows = probabilities(clips, scored, classes, 1.0 if prior is None else list(prior.values()))
    shares = np.full(len(classes), (1 - CALL_NEUTRAL) / (len(classes) - 1))
    shares[list(classes).index(neutral)] = CALL_NEUTRAL
    weights = shares[truth] / np.bincount(truth, minlength=len(classes))[truth]
    correct, sure = rows.argmax(axis=1) == truth, rows.max(axis=1) >= unsure_below
    raised, right = rows[:, alarm] >= 0.5, truth == alarm
    return {
        "accuracy": float(weights @ correct),
        "share_with_label": float(weights @ sure),
        "accuracy_with_label": float(weights @ (sure & correct) / (weights @ sure)) if sure.any() else None,
        "alarm_recall": float(weights @ (raised & right) / (weights @ right)),
        "alarm_precision": float(weights @ (raised & right) / (weights @ raised)) if raised.any() else None,
    }
