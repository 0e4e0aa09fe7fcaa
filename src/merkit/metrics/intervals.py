"""Confidence intervals by resampling whole clusters (conversations or speakers).

Goal: how far a score would vary with other conversations from the same source. Utterances of one conversation are
correlated, so resampling single utterances gives intervals that are too narrow. Whole clusters are drawn with
replacement instead, as many as there are (Field and Welsh, "Bootstrapping clustered data", 2007), and the interval is
taken from the quantiles of the resampled scores (percentile method; Efron and Tibshirani 1993, chapter 13). It does not
cover the variation of training, which the standard deviation over seeds shows.
"""

import numpy as np
import numpy.typing as npt


def draw_weights(count: int, draws: int = 1000, seed: int = 0) -> npt.NDArray[np.int64]:
    """Draw ``count`` clusters with replacement, ``draws`` times, and return how often each was drawn.

    Returns:
        Counts ``[draws, count]``; each row sums to ``count``. A score that follows from confusion matrices is resampled
        by weighting the clusters' matrices with a row.
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=draws).astype(np.int64)


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
