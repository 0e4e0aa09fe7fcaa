"""Is one system better than another? Paired permutation test over clusters, Holm's correction, a verdict in words.

Goal: the probability of a difference at least as large as the observed one if the two systems were exchangeable within
each conversation. Both must have predicted the same utterances. The predictions of whole clusters (conversations or
speakers) are swapped, because utterances of one conversation are not independent.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.metrics.intervals import block_size, weighted_sums

Array = npt.NDArray[Any]
NOT_DISTINGUISHABLE = "Not distinguishable"
_CHUNK = 500  # swaps worked on at once, or fewer: memory of some 100 MB for 10 folds, 5 seeds and 8 classes


def paired_permutation_of(
    statistic: Callable[[Array], Array], first: Array, second: Array, permutations: int = 10_000, seed: int = 0
) -> float:
    """Return the two-sided p-value of ``statistic(first) - statistic(second)`` under swaps of whole clusters.

    Where all swaps are no more than ``permutations``, each is tried and p is exact; otherwise swaps are drawn and p is
    (1 + as large) / (1 + drawn), never 0 (Phipson and Smyth 2010).

    Args:
        statistic: Maps sums over clusters ``[swaps, ...]`` to values ``[swaps]``.
        first: Counts of one system by cluster ``[clusters, ...]``, such as confusion matrices of every seed and fold.
        second: Those of the other system.
        permutations: How many swaps are tried at most.
        seed: Of the draws.

    Raises:
        ValueError: No cluster, or unequal shapes.
    """
    if first.shape != second.shape or not len(first):
        raise ValueError(
            f"counts {first.shape} and {second.shape} found, equal shapes with at least one cluster expected"
        )
    clusters = len(first)
    exact = clusters < 31 and 2**clusters <= permutations
    total = 2**clusters if exact else permutations
    gaps = second - first
    ones, others = first.sum(axis=0, dtype=np.float64), second.sum(axis=0, dtype=np.float64)
    observed = abs(float((statistic(ones[None]) - statistic(others[None]))[0]))
    generator = np.random.default_rng(seed)
    as_large = 0
    chunk = min(_CHUNK, block_size(clusters))
    for start in range(0, total, chunk):
        stop = min(start + chunk, total)
        if exact:
            swaps: Array = (np.arange(start, stop)[:, None] >> np.arange(clusters)) & 1
        else:
            swaps = generator.random((stop - start, clusters)) < 0.5
        moved = weighted_sums(swaps, gaps)
        differences = statistic(ones + moved) - statistic(others - moved)
        # 1e-12: swaps that give the very same counts may differ in the last digit.
        as_large += int((np.abs(differences) >= observed - 1e-12).sum())
    return as_large / total if exact else (1 + as_large) / (1 + total)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the family-wise error rate stays below the level (Holm 1979).

    The k-th smallest of n is multiplied by n - k + 1; the results never decrease along that order and stop at 1.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]

    Raises:
        ValueError: A value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values between 0 and 1 expected: {list(p_values)} found")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def verdict(difference: float, p_value: float, level: float = 0.05) -> str:
    """Return the verdict on a difference of a metric (higher is better) with its adjusted p-value.

    >>> verdict(1.2, 0.3)
    'Not distinguishable'
    """
    if p_value >= level or difference == 0:
        return NOT_DISTINGUISHABLE
    return "Better" if difference > 0 else "Worse"
