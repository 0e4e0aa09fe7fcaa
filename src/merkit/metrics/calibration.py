"""Metrics of calibration: does a classifier's confidence match its accuracy?

Conventions: ``probabilities [utterances, classes]`` are non-negative and sum to 1 in each row; ``labels`` are class
numbers.
Confidence is the largest probability of a row, the prediction its class (the first of equal ones).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from merkit.metrics.classification import IntArray

Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Utterances whose confidence lies in (``low``, ``high``]; means are NaN in an empty bin."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean confidence."""
    accuracy: float
    """Share of correct predictions."""


def reliability_bins(labels: IntArray, probabilities: Probabilities, bins: int = 15) -> list[ReliabilityBin]:
    """Return the mean confidence and the accuracy of utterances in bins of confidence of equal width over (0, 1].

    Raises:
        ValueError: No utterance, rows that are no distributions, or labels out of range.
    """
    confidence, correct = _confidence(labels, probabilities)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    shown = np.maximum(counts, 1)
    means = np.where(counts > 0, np.bincount(index, confidence, bins) / shown, np.nan)
    rates = np.where(counts > 0, np.bincount(index, correct, bins) / shown, np.nan)
    return [
        ReliabilityBin(float(edges[i]), float(edges[i + 1]), int(counts[i]), float(means[i]), float(rates[i]))
        for i in range(bins)
    ]


def expected_calibration_error(labels: IntArray, probabilities: Probabilities, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal width, weighted by their counts.

    In [0, 1], lower is better. Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3, with its
    15 bins. It depends on the number of bins, so values compare only with those of the same number.

    Raises:
        ValueError: As `reliability_bins`.
    """
    filled = [b for b in reliability_bins(labels, probabilities, bins) if b.count]
    total = sum(b.count for b in filled)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in filled) / total


def brier(labels: IntArray, probabilities: Probabilities) -> float:
    """Return the mean over utterances of the squared distance between probabilities and the one-hot truth.

    In [0, 2], lower is better: summed over classes, as in Brier (1950), so two classes give twice the value that is
    often quoted for binary problems.

    Raises:
        ValueError: As `reliability_bins`.
    """
    labels, probabilities = _checked(labels, probabilities)
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def risk_coverage_area(labels: IntArray, probabilities: Probabilities) -> float:
    """Return the area under the risk-coverage curve: the error rate of the k most confident, averaged over all k.

    In [0, 1], lower is better; for a classifier that may abstain (Geifman and El-Yaniv, 2017). Utterances of equal
    confidence have no order: each counts with the error rate of all of them.

    Raises:
        ValueError: As `reliability_bins`.
    """
    confidence, correct = _confidence(labels, probabilities)
    _, index, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    rates = np.bincount(index, 1.0 - correct) / counts
    errors = np.repeat(rates, counts)
    return float((np.cumsum(errors) / np.arange(1, errors.size + 1)).mean())


def _confidence(
    labels: IntArray, probabilities: Probabilities
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    labels, probabilities = _checked(labels, probabilities)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == labels).astype(np.float64)


def _checked(labels: IntArray, probabilities: Probabilities) -> tuple[IntArray, npt.NDArray[np.float64]]:
    labels, rows = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if labels.ndim != 1 or rows.ndim != 2 or len(labels) != len(rows):
        raise ValueError(f"labels {labels.shape} and probabilities {rows.shape} found, [n] and [n, classes] expected")
    if labels.size == 0:
        raise ValueError("no utterance found, at least one expected: an empty set has no score")
    # 1e-3: rows rounded to three digits or stored in half precision still count as distributions.
    wrong = np.flatnonzero(~((np.abs(rows.sum(axis=1) - 1.0) < 1e-3) & (rows >= 0).all(axis=1)))
    if wrong.size:
        raise ValueError(f"row {wrong[0]} of the probabilities is no distribution: {rows[wrong[0]]}")
    if labels.min() < 0 or labels.max() >= rows.shape[1]:
        raise ValueError(
            f"labels {labels.min()} to {labels.max()} found, class numbers 0 to {rows.shape[1] - 1} expected"
        )
    return labels, rows
