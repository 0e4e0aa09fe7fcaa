"""Confidence intervals by resampling whole clusters (conversations or speakers).

Goal: how far a score would vary with other conversations from the same source. Utterances of one conversation are
correlated, so resampling single utterances gives intervals that are too narrow. Whole clusters are drawn with
replacement instead, as many as there are (Field and Welsh, "Bootstrapping clustered data", 2007), and the interval is
taken from the quantiles of the resampled scores (percentile method; Efron and Tibshirani 1993, chapter 13). It does not
cover the variation of training, which the standard deviation over seeds shows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_AT_ONCE = 1 << 23
"""Numbers worked on at once, 64 MiB: memory does not grow with clusters times draws."""


def resampled_sums(*counts: npt.NDArray[Any], draws: int = 1000, seed: int = 0) -> tuple[npt.NDArray[np.float64], ...]:
    """Draw clusters with replacement, as many as there are, and add up their counts.

    Args:
        counts: Each ``[clusters, ...]``, of the same clusters.
        draws: How often a set of clusters is drawn.
        seed: Of the draws, which depend on it and on the number of clusters alone.

    Returns:
        For each of ``counts`` the sums ``[draws, ...]``, exact.
    """
    clusters = len(counts[0])
    generator, shares = np.random.default_rng(seed), np.full(clusters, 1.0 / clusters)
    sums = tuple(np.empty((draws, *of.shape[1:])) for of in counts)
    size = block_size(clusters)
    for start in range(0, draws, size):
        weights = generator.multinomial(clusters, shares, size=min(size, draws - start))
        for into, of in zip(sums, counts, strict=True):
            into[start : start + size] = weighted_sums(weights, of)
    return sums


def weighted_sums(weights: npt.NDArray[Any], counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the sums ``[draws, ...]`` of counts ``[clusters, ...]`` with weights ``[draws, clusters]``.

    All are whole numbers, so that floating point, which is faster, gives exact sums in any order.
    """
    rows = counts.reshape(len(counts), -1)
    sums, size = np.zeros((len(weights), rows.shape[1])), block_size(max(len(weights), rows.shape[1]))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        sums += weights[:, block].astype(np.float64) @ rows[block].astype(np.float64)
    return sums.reshape(len(weights), *counts.shape[1:])


def block_size(width: int) -> int:
    """Return how many rows of ``width`` numbers are worked on at once."""
    return max(1, _AT_ONCE // width)


def percentile_interval(values: npt.NDArray[np.floating], level: float = 0.95) -> tuple[float, float]:
    """Return the interval that holds the middle ``level`` of the values; NaN is left out.

    Raises:
        ValueError: No value that is a number, or a level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} found, a share between 0 and 1 expected")
    known = values[~np.isnan(values)]
    if not known.size:
        raise ValueError("no value found, at least one expected")
    low, high = np.quantile(known, [(1.0 - level) / 2, (1.0 + level) / 2])
    return float(low), float(high)
