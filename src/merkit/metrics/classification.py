"""Metrics for one class per utterance, all of them functions of the confusion matrix.

Goal: how often a classifier is right, over utterances and over classes.
Conventions: class numbers run from 0; rows of a confusion matrix are true classes, columns predicted ones. Every value
lies in [0, 1]; tables print it times 100. "Support" of a class is its number of true utterances.
Absent classes: a class without support has no recall and is left out of `mean_recall`; it has no weight in
`weighted_f1`; in `macro_f1` it counts (as 0) only where it was predicted by mistake.
In print `accuracy` is this field's "WA" and `mean_recall` its "UA" or "UAR"; papers swap the two, so the code never
uses those names.

Metrics take any number of confusion matrices at once, ``[..., classes, classes]``, on which resampling relies.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float64]
Matrices = npt.NDArray[np.integer] | npt.NDArray[np.floating]


def confusion(labels: IntArray, predictions: IntArray, classes: int) -> npt.NDArray[np.int64]:
    """Count utterances by true class (row) and predicted class (column): ``[classes, classes]``.

    Raises:
        ValueError: No utterance, unequal lengths, or a class number outside 0 to ``classes - 1``.
    """
    one_group = np.zeros(np.shape(labels), dtype=np.int64)
    counts: npt.NDArray[np.int64] = grouped_confusion(labels, predictions, one_group, 1, classes)[0]
    return counts


def grouped_confusion(
    labels: IntArray, predictions: IntArray, groups: IntArray, count: int, classes: int
) -> npt.NDArray[np.int64]:
    """Count utterances as `confusion` does, for each group 0 to ``count - 1``: ``[count, classes, classes]``.

    The matrices of all groups add up to that of the whole set, which makes resampling of groups a weighted sum.

    Raises:
        ValueError: As `confusion`; or not one group per utterance, or a group out of range.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} found, two lists of one length expected"
        )
    if labels.size == 0:
        raise ValueError("no utterance found, at least one expected: an empty set has no score")
    for name, values in (("label", labels), ("prediction", predictions)):
        outside = values[(values < 0) | (values >= classes)]
        if outside.size:
            raise ValueError(f"{name} {outside[0]} found, class numbers 0 to {classes - 1} expected")
    if groups.shape != labels.shape or groups.min() < 0 or groups.max() >= count:
        raise ValueError(f"one group from 0 to {count - 1} expected for each of {labels.size} utterances")
    cell = (groups.astype(np.int64) * classes + labels) * classes + predictions
    cells = np.bincount(cell, minlength=count * classes * classes)
    return cells.reshape(count, classes, classes).astype(np.int64)


def accuracy(matrices: Matrices) -> FloatArray:
    """Return the share of utterances on the diagonal ("WA"); NaN for a matrix without utterances.

    >>> float(accuracy(np.array([[3, 0], [1, 0]])))
    0.75
    """
    return ratio(_diagonal(matrices).sum(-1), matrices.sum((-1, -2)), empty=np.nan)


def mean_recall(matrices: Matrices) -> FloatArray:
    """Return the unweighted mean of recall over classes with support ("UA", "UAR"); NaN without utterances.

    >>> float(mean_recall(np.array([[3, 0], [1, 0]])))
    0.5
    """
    support = matrices.sum(-1)
    recall = ratio(_diagonal(matrices), support, empty=0.0)
    return ratio(recall.sum(-1), (support > 0).sum(-1), empty=np.nan)


def f1_by_class(matrices: Matrices, absent: float = 0.0) -> FloatArray:
    """Return F1 by class, ``[..., classes]``: 2 TP / (support + predicted); ``absent`` where a class has neither."""
    return ratio(2.0 * _diagonal(matrices), matrices.sum(-1) + matrices.sum(-2), empty=absent)


def weighted_f1(matrices: Matrices) -> FloatArray:
    """Return the mean of F1 by class, weighted by support; NaN without utterances."""
    support = matrices.sum(-1)
    return ratio((f1_by_class(matrices) * support).sum(-1), support.sum(-1), empty=np.nan)


def macro_f1(matrices: Matrices) -> FloatArray:
    """Return the unweighted mean of F1 over classes that have support or were predicted; NaN without utterances.

    The same classes as in scikit-learn's ``f1_score(average="macro")`` when it is given no list of labels.
    """
    occurs = (matrices.sum(-1) + matrices.sum(-2)) > 0
    return ratio(f1_by_class(matrices).sum(-1), occurs.sum(-1), empty=np.nan)


def class_scores(matrices: Matrices, absent: float = 0.0) -> dict[str, FloatArray]:
    """Return ``precision``, ``recall`` and ``f1`` by class, each ``[..., classes]``.

    Recall is NaN without support, precision without predictions; F1 is ``absent`` without both.
    """
    right = _diagonal(matrices)
    return {
        "precision": ratio(right, matrices.sum(-2), empty=np.nan),
        "recall": ratio(right, matrices.sum(-1), empty=np.nan),
        "f1": f1_by_class(matrices, absent),
    }


METRICS: Mapping[str, Callable[[Matrices], FloatArray]] = {
    "accuracy": accuracy,
    "mean_recall": mean_recall,
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
}
"""Metric by name, from confusion matrices ``[..., classes, classes]`` to ``[...]``."""


def _diagonal(matrices: Matrices) -> FloatArray:
    values: FloatArray = np.diagonal(matrices, axis1=-2, axis2=-1).astype(np.float64)
    return values


def ratio(above: npt.ArrayLike, below: npt.ArrayLike, empty: float) -> FloatArray:
    """Return quotients, ``empty`` where the lower number is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    quotients: FloatArray = np.full(np.broadcast_shapes(above.shape, below.shape), empty)
    np.divide(above, below, out=quotients, where=below > 0)
    return quotients


def known_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """Return the mean of the values that are not NaN, and NaN where all are."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(axis), known.sum(axis), empty=np.nan)
