"""Intervals by resampling whole clusters (conversations or speakers).

Goal: say how far a figure would move with other conversations from the same source. Utterances of one conversation are
alike, so resampling single utterances gives intervals that are too narrow; whole clusters are drawn with replacement
instead, as many as there are (Field and Welsh, "Bootstrapping clustered data", 2007), and the interval is cut from the
quantiles of the figures (the percentile method; Efron and Tibshirani 1993, chapter 13). It does not cover training
anew: that is what the deviation over seeds is for.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Statistic = Callable[[npt.NDArray[np.int64]], float]
"""From places of utterances (repeated as often as drawn) to a figure."""


def number_clusters(clusters: Sequence[str]) -> tuple[npt.NDArray[np.int64], int]:
    """Return the number of each utterance's cluster, from 0 in order of name, and how many clusters there are.

    Raises:
        ValueError: No utterance.
    """
    if not len(clusters):
        raise ValueError("no utterance found, at least one expected: an empty set has no interval")
    names, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    return numbers.astype(np.int64), len(names)


def draw_weights(count: int, draws: int = 1000, seed: int = 0) -> npt.NDArray[np.int64]:
    """Draw ``count`` clusters with replacement, ``draws`` times: how often each was drawn, ``[draws, count]``."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=draws).astype(np.int64)


def percentile_interval(figures: npt.NDArray[np.floating], level: float = 0.95) -> tuple[float, float]:
    """Return the interval that holds the middle ``level`` of the figures; those that are NaN are left out.

    Raises:
        ValueError: No figure that is a number, or a level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} found, a share between 0 and 1 expected")
    known = figures[~np.isnan(figures)]
    if not known.size:
        raise ValueError("no figure found, at least one expected")
    low, high = np.quantile(known, [(1.0 - level) / 2, (1.0 + level) / 2])
    return float(low), float(high)


def cluster_bootstrap(
    statistic: Statistic, clusters: Sequence[str], draws: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of any statistic of a set of utterances by drawing its clusters anew.

    ``clusters`` names the cluster of each utterance. Figures that follow from a confusion matrix need no call per draw:
    weigh the clusters' matrices with `draw_weights` instead, which draws the same clusters for the same seed.

    Raises:
        ValueError: No utterance, or a level outside (0, 1).
    """
    numbers, count = number_clusters(clusters)
    weights = draw_weights(count, draws, seed)
    places = np.arange(len(numbers))
    figures = np.array([statistic(np.repeat(places, row[numbers])) for row in weights])
    return percentile_interval(figures, level)
