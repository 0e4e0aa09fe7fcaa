"""Metrics for any number of labels per utterance, all of them functions of counts by label.

Goal: how well each label is told from its absence, over labels and over all decisions.
Conventions: labels and predictions are 0 or 1, ``[utterances, labels]``. Counts of a label are, in this order, true
negatives, false positives, false negatives and true positives: ``[..., labels, 4]``. Every value lies in [0, 1]; tables
print it times 100. "Support" of a label is the number of utterances that have it.
Absent labels: precision without a prediction, recall without support and F1 without both count as 0 in the macro
metrics, which average over all labels, as scikit-learn does with ``zero_division=0``. A label that only a draw of
clusters lacks has no score in that draw: `score_drawn`.

A threshold decides each label on its own: it is predicted where its probability is that high.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.metrics.classification import METRICS, FloatArray, IntArray, Matrices, known_mean, ratio

DEFAULT_THRESHOLD = 0.5
"""Of a label that no validation utterance has."""


def multi_hot(targets: Iterable[Any], labels: int) -> npt.NDArray[np.int64]:
    """Return numbers of labels, a collection for each utterance, as ``[utterances, labels]`` of 0 and 1."""
    rows = [np.isin(np.arange(labels), list(numbers)) for numbers in targets]
    return np.array(rows, dtype=np.int64).reshape(len(rows), labels)


def label_counts(labels: IntArray, predictions: IntArray) -> npt.NDArray[np.int64]:
    """Count utterances by label, ``[labels, 4]``.

    Raises:
        ValueError: No utterance, unequal shapes, or a value other than 0 and 1.
    """
    counts: npt.NDArray[np.int64] = grouped_label_counts(labels, predictions, np.zeros(len(labels), dtype=np.int64), 1)[
        0
    ]
    return counts


def grouped_label_counts(
    labels: IntArray, predictions: IntArray, groups: IntArray, count: int
) -> npt.NDArray[np.int64]:
    """Count utterances as `label_counts` does, for each group 0 to ``count - 1``: ``[count, labels, 4]``.

    Raises:
        ValueError: As `label_counts`; or not one group per utterance, or a group out of range.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 2:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} found, two of [utterances, labels] expected"
        )
    if labels.size == 0:
        raise ValueError("no utterance found, at least one expected: an empty set has no score")
    for name, values in (("label", labels), ("prediction", predictions)):
        outside = values[(values != 0) & (values != 1)]
        if outside.size:
            raise ValueError(f"{name} {outside[0]} found, 0 or 1 expected")
    if groups.shape != labels.shape[:1] or groups.min() < 0 or groups.max() >= count:
        raise ValueError(f"one group from 0 to {count - 1} expected for each of {len(labels)} utterances")
    number = labels.shape[1]
    cell = (groups.astype(np.int64)[:, None] * number + np.arange(number)) * 4 + 2 * labels + predictions
    cells = np.bincount(cell.ravel(), minlength=count * number * 4)
    return cells.reshape(count, number, 4).astype(np.int64)


def label_scores(counts: Matrices, absent: float = 0.0) -> dict[str, FloatArray]:
    """Return ``precision``, ``recall`` and ``f1`` by label, each ``[..., labels]``.

    Recall is NaN without support, precision without predictions; F1 is ``absent`` without both.
    """
    _, wrong, missed, right = _columns(counts)
    return {
        "precision": ratio(right, right + wrong, empty=np.nan),
        "recall": ratio(right, right + missed, empty=np.nan),
        "f1": ratio(2.0 * right, 2.0 * right + wrong + missed, empty=absent),
    }


def macro_f1(counts: Matrices, whole: Matrices | None = None) -> FloatArray:
    """Return the unweighted mean of F1 over all labels; ``whole`` as in `score_drawn`."""
    return _mean_over_labels(counts, whole, "f1")


def micro_f1(counts: Matrices, whole: Matrices | None = None) -> FloatArray:
    """Return F1 of all decisions together: 2 TP / (2 TP + FP + FN), summed over labels; 0 without any of them.

    ``whole`` is that of `score_drawn`.

    >>> round(float(micro_f1(np.array([[5, 1, 0, 2], [6, 0, 2, 0]]))), 3)
    0.571
    """
    together = np.asarray(counts).sum(axis=-2, keepdims=True)
    return _mean_over_labels(together, None if whole is None else np.asarray(whole).sum(axis=-2, keepdims=True), "f1")


def macro_precision(counts: Matrices, whole: Matrices | None = None) -> FloatArray:
    """Return the unweighted mean of precision over all labels; ``whole`` as in `score_drawn`."""
    return _mean_over_labels(counts, whole, "precision")


def macro_recall(counts: Matrices, whole: Matrices | None = None) -> FloatArray:
    """Return the unweighted mean of recall over all labels; ``whole`` as in `score_drawn`."""
    return _mean_over_labels(counts, whole, "recall")


def best_thresholds(labels: IntArray, probabilities: npt.NDArray[np.floating]) -> FloatArray:
    """Return for each label the threshold with the highest F1 on these utterances, ``[labels]``.

    It lies midway between two neighbouring probabilities; of equally good thresholds it is the highest.

    Args:
        labels: 0 or 1, ``[utterances, labels]``.
        probabilities: ``[utterances, labels]``.
    """
    thresholds = np.full(labels.shape[1], DEFAULT_THRESHOLD)
    for number in range(labels.shape[1]):
        truth, values = labels[:, number], probabilities[:, number].astype(np.float64)
        if not truth.any():
            continue
        order = np.argsort(-values, kind="stable")
        truth, values = truth[order], values[order]
        right = np.cumsum(truth)
        predicted = np.arange(1, len(values) + 1)
        f1 = 2.0 * right / (predicted + right[-1])
        ends = np.append(values[:-1] > values[1:], True)  # equal probabilities are predicted together
        best = int(np.flatnonzero(ends)[f1[ends].argmax()])
        below = values[best + 1] if best + 1 < len(values) else 0.0
        thresholds[number] = (values[best] + below) / 2
    return thresholds


MULTI_LABEL_METRICS: Mapping[str, Callable[..., FloatArray]] = {
    "macro_f1": macro_f1,
    "micro_f1": micro_f1,
    "macro_precision": macro_precision,
    "macro_recall": macro_recall,
}
"""Metric by name, from counts ``[..., labels, 4]`` to ``[...]``."""

KNOWN = tuple(dict.fromkeys([*METRICS, *MULTI_LABEL_METRICS]))
"""The names of all metrics, of one label per utterance and of several."""


def metrics_of(*, multi_label: bool) -> Mapping[str, Callable[[Matrices], FloatArray]]:
    """Return the metrics of a protocol by name."""
    return MULTI_LABEL_METRICS if multi_label else METRICS


def score_drawn(metric: Callable[..., FloatArray], drawn: Matrices, whole: Matrices) -> FloatArray:
    """Return a metric of counts ``drawn`` with replacement from the clusters that add up to the counts ``whole``.

    A label whose score is undefined in the draw alone is left out of the draw's mean, which is NaN without any label.
    Metrics of one class per utterance leave absent classes out of any counts.
    """
    return metric(drawn, whole) if metric in MULTI_LABEL_METRICS.values() else metric(drawn)


def _columns(counts: Matrices) -> tuple[FloatArray, ...]:
    return tuple(np.asarray(counts, dtype=np.float64)[..., column] for column in range(4))


def _mean_over_labels(counts: Matrices, whole: Matrices | None, name: str) -> FloatArray:
    values = label_scores(counts, absent=np.nan)[name]
    never = np.isnan(values if whole is None else label_scores(whole, absent=np.nan)[name])
    return known_mean(np.where(never, 0.0, values))
