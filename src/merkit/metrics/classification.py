"""Metrics for one class per utterance, all of them functions of the confusion matrix.

Goal: how often a classifier is right, over utterances and over classes.
Conventions: class numbers run from 0; rows of a confusion matrix are true classes, columns predicted ones. Every value
lies in [0, 1]; tables print it times 100. "Support" of a class is its number of true utterances.
Absent classes: a class without support has no recall and is left out of `mean_recall`; it has no weight in
`weighted_f1`; in `macro_f1` it counts (as 0) only where it was predicted by mistake.
In print `accuracy` is this field's "WA" and `mean_recall` its "UA" or "UAR"; papers swap the two, so the code never
uses those names.

Each metric has two forms: `accuracy(labels, predictions)` and the like for one set of predictions, and the functions
in `FROM_CONFUSION` for any number of confusion matrices at once, `[..., classes, classes]`, on which resampling relies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float64]
Matrices = npt.NDArray[np.integer] | npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 of one class; ``recall`` is NaN without support, ``precision`` without predictions."""

    support: int
    precision: float
    recall: float
    f1: float


def confusion(labels: IntArray, predictions: IntArray, classes: int) -> npt.NDArray[np.int64]:
    """Count utterances by true class (row) and predicted class (column): ``[classes, classes]``.

    Raises:
        ValueError: No utterance, unequal lengths, or a class number outside 0 to ``classes - 1``.
    """
    labels, predictions = _checked(labels, predictions)
    for name, values in (("label", labels), ("prediction", predictions)):
        outside = values[(values < 0) | (values >= classes)]
        if outside.size:
            raise ValueError(f"{name} {outside[0]} found, class numbers 0 to {classes - 1} expected")
    cells = np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def grouped_confusion(
    labels: IntArray, predictions: IntArray, groups: IntArray, count: int, classes: int
) -> npt.NDArray[np.int64]:
    """Count utterances as `confusion` does, for each group 0 to ``count - 1``: ``[count, classes, classes]``.

    The matrices of all groups add up to that of the whole set, which makes resampling of groups a weighted sum.

    Raises:
        ValueError: As `confusion`; or not one group per utterance, or a group out of range.
    """
    confusion(labels, predictions, classes)
    if groups.shape != labels.shape or groups.min() < 0 or groups.max() >= count:
        raise ValueError(f"one group from 0 to {count - 1} expected for each of {labels.size} utterances")
    cell = (groups.astype(np.int64) * classes + labels) * classes + predictions
    cells = np.bincount(cell, minlength=count * classes * classes)
    return cells.reshape(count, classes, classes).astype(np.int64)


def accuracy_of(matrices: Matrices) -> FloatArray:
    """Return the share of utterances on the diagonal ("WA"); NaN for a matrix without utterances."""
    return _ratio(_diagonal(matrices).sum(-1), matrices.sum((-1, -2)), empty=np.nan)


def mean_recall_of(matrices: Matrices) -> FloatArray:
    """Return the unweighted mean of recall over classes with support ("UA", "UAR"); NaN without utterances."""
    support = matrices.sum(-1)
    recall = _ratio(_diagonal(matrices), support, empty=0.0)
    return _ratio(recall.sum(-1), (support > 0).sum(-1), empty=np.nan)


def f1_of(matrices: Matrices) -> FloatArray:
    """Return F1 by class, ``[..., classes]``: 2 TP / (support + predicted); 0 where a class occurs in neither."""
    return _ratio(2.0 * _diagonal(matrices), matrices.sum(-1) + matrices.sum(-2), empty=0.0)


def weighted_f1_of(matrices: Matrices) -> FloatArray:
    """Return the mean of F1 by class, weighted by support; NaN without utterances."""
    support = matrices.sum(-1)
    return _ratio((f1_of(matrices) * support).sum(-1), support.sum(-1), empty=np.nan)


def macro_f1_of(matrices: Matrices) -> FloatArray:
    """Return the unweighted mean of F1 over classes that have support or were predicted; NaN without utterances.

    The same classes as in scikit-learn's ``f1_score(average="macro")`` when it is given no list of labels.
    """
    occurs = (matrices.sum(-1) + matrices.sum(-2)) > 0
    return _ratio(f1_of(matrices).sum(-1), occurs.sum(-1), empty=np.nan)


def accuracy(labels: IntArray, predictions: IntArray) -> float:
    """Return the share of utterances whose class was predicted ("WA").

    >>> accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.75

    Raises:
        ValueError: No utterance, or unequal lengths.
    """
    labels, predictions = _checked(labels, predictions)
    return float((labels == predictions).mean())


def mean_recall(labels: IntArray, predictions: IntArray, classes: int) -> float:
    """Return recall averaged over the classes that have support ("UA", "UAR").

    >>> mean_recall(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), classes=2)
    0.5

    Raises:
        ValueError: As `confusion`.
    """
    return float(mean_recall_of(confusion(labels, predictions, classes)))


def weighted_f1(labels: IntArray, predictions: IntArray, classes: int) -> float:
    """Return F1 by class averaged with the classes' supports as weights (scikit-learn's ``average="weighted"``).

    Raises:
        ValueError: As `confusion`.
    """
    return float(weighted_f1_of(confusion(labels, predictions, classes)))


def macro_f1(labels: IntArray, predictions: IntArray, classes: int) -> float:
    """Return F1 by class averaged over the classes that have support or were predicted.

    Raises:
        ValueError: As `confusion`.
    """
    return float(macro_f1_of(confusion(labels, predictions, classes)))


def per_class(labels: IntArray, predictions: IntArray, classes: int) -> list[ClassScore]:
    """Return precision, recall and F1 of every class, in order of class number.

    Raises:
        ValueError: As `confusion`.
    """
    return per_class_of(confusion(labels, predictions, classes))


def per_class_of(matrix: Matrices) -> list[ClassScore]:
    """Return precision, recall and F1 of every class of one confusion matrix."""
    support = matrix.sum(-1)
    precision = _ratio(_diagonal(matrix), matrix.sum(-2), empty=np.nan)
    recall = _ratio(_diagonal(matrix), support, empty=np.nan)
    rows = zip(support, precision, recall, f1_of(matrix), strict=True)
    return [ClassScore(int(n), float(p), float(r), float(f)) for n, p, r, f in rows]


FROM_CONFUSION: Mapping[str, Callable[[Matrices], FloatArray]] = {
    "accuracy": accuracy_of,
    "mean_recall": mean_recall_of,
    "weighted_f1": weighted_f1_of,
    "macro_f1": macro_f1_of,
}
"""Metric by name, from confusion matrices ``[..., classes, classes]`` to ``[...]``."""

METRICS: Mapping[str, Callable[[IntArray, IntArray, int], float]] = {
    "accuracy": lambda labels, predictions, classes: accuracy(labels, predictions),
    "mean_recall": mean_recall,
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
}
"""Metric by name, from labels, predictions and the number of classes."""


def _checked(labels: IntArray, predictions: IntArray) -> tuple[IntArray, IntArray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} found, two lists of one length expected"
        )
    if labels.size == 0:
        raise ValueError("no utterance found, at least one expected: an empty set has no score")
    return labels, predictions


def _diagonal(matrices: Matrices) -> FloatArray:
    values: FloatArray = np.diagonal(matrices, axis1=-2, axis2=-1).astype(np.float64)
    return values


def _ratio(above: npt.ArrayLike, below: npt.ArrayLike, empty: float) -> FloatArray:
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    quotients: FloatArray = np.full(np.broadcast_shapes(above.shape, below.shape), empty)
    np.divide(above, below, out=quotients, where=below > 0)
    return quotients
