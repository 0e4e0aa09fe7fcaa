"""Metrics for dimensions of emotion (valence, arousal, dominance), in the units of the labels."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def ccc(labels: Floats, predictions: Floats) -> float:
    """Return Lin's concordance correlation coefficient: 2 cov / (var + var + (difference of means)^2).

    In [-1, 1], higher is better; 1 only for equal values, not for merely proportional ones. Variances and covariance
    divide by n (Lin 1989). Concatenate recordings before calling it: a mean over recordings is another value.

    Raises:
        ValueError: Fewer than two values, unequal lengths, values that are not finite, or both lists one and the same
            constant, where it is undefined.
    """
    labels, predictions = _checked(labels, predictions)
    if labels.size < 2 or (np.ptp(np.concatenate([labels, predictions])) == 0):
        raise ValueError("concordance is undefined: at least two values that differ expected")
    gaps = labels.mean() - predictions.mean()
    covariance = ((labels - labels.mean()) * (predictions - predictions.mean())).mean()
    return float(2 * covariance / (labels.var() + predictions.var() + gaps**2))


def mae(labels: Floats, predictions: Floats) -> float:
    """Return the mean absolute error, in the units of the labels; lower is better.

    Raises:
        ValueError: No value, unequal lengths, or values that are not finite.
    """
    labels, predictions = _checked(labels, predictions)
    return float(np.abs(labels - predictions).mean())


def _checked(labels: Floats, predictions: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    first, second = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"labels {first.shape} and predictions {second.shape} found, two lists of one length expected")
    if first.size == 0:
        raise ValueError("no value found, at least one expected: an empty set has no score")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("values that are not finite found in labels or predictions")
    return first, second
