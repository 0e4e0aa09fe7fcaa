"""Is one system better than another? Paired permutation over clusters, Holm's correction, and a verdict in words.

Goal: the probability of a difference at least as large as the one found if it did not matter which of the two systems
had spoken in each conversation. Both systems must have answered the same utterances. Whole clusters (conversations or
speakers) are swapped, because utterances of one conversation are not independent.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.metrics.intervals import number_clusters

Array = npt.NDArray[Any]
NOT_DISTINGUISHABLE = "Not distinguishable"
_CHUNK = 500  # swaps worked on at once: bounds memory at some 100 MB for 10 folds, 5 seeds and 8 classes


def paired_permutation(
    statistic: Callable[[Array], float],
    first: Array,
    second: Array,
    clusters: Sequence[str],
    permutations: int = 10_000,
    seed: int = 0,
) -> float:
    """Return the two-sided p-value of ``statistic(first) - statistic(second)`` under swaps of whole clusters.

    ``first`` and ``second`` hold the two systems' predictions, one row per utterance. With 13 clusters or fewer every
    swap is tried and p is exact; with more, swaps are drawn and p is (1 + as large) / (1 + drawn), never 0 (Phipson and
    Smyth 2010).

    Raises:
        ValueError: No utterance, or unequal lengths.
    """
    if first.shape != second.shape or len(first) != len(clusters):
        raise ValueError(
            f"{len(first)} and {len(second)} predictions and {len(clusters)} clusters found, equal expected"
        )
    numbers, count = number_clusters(clusters)
    shape = (-1,) + (1,) * (first.ndim - 1)
    differences = []
    for swaps in _swaps(count, permutations, seed):
        for swap in swaps[:, numbers]:
            swapped = swap.reshape(shape)
            one, other = np.where(swapped, second, first), np.where(swapped, first, second)
            differences.append(statistic(one) - statistic(other))
    return _p_value(np.array(differences), statistic(first) - statistic(second), count, permutations)


def paired_permutation_of(
    statistic: Callable[[Array], Array], first: Array, second: Array, permutations: int = 10_000, seed: int = 0
) -> float:
    """Return the p-value as `paired_permutation` does, for a statistic of sums over clusters.

    ``first`` and ``second`` are ``[clusters, ...]`` (confusion matrices, say, of every seed and fold) and ``statistic``
    maps sums ``[swaps, ...]`` to figures ``[swaps]``. Many times faster, since swapping clusters is a matrix product.

    Raises:
        ValueError: No cluster, or unequal shapes.
    """
    if first.shape != second.shape or not len(first):
        raise ValueError(
            f"counts {first.shape} and {second.shape} found, equal shapes with at least one cluster expected"
        )
    gaps = (second - first).reshape(len(first), -1).astype(np.float64)
    ones, others = first.sum(axis=0, dtype=np.float64), second.sum(axis=0, dtype=np.float64)
    differences = []
    for swaps in _swaps(len(first), permutations, seed):
        moved = (swaps.astype(np.float64) @ gaps).reshape(-1, *first.shape[1:])
        differences.append(statistic(ones + moved) - statistic(others - moved))
    observed = float((statistic(ones[None]) - statistic(others[None]))[0])
    return _p_value(np.concatenate(differences), observed, len(first), permutations)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number so that any false alarm stays below the level (Holm 1979).

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
    """Say what a difference (of a figure where more is better) and its adjusted p-value allow to be said.

    >>> verdict(1.2, 0.3)
    'Not distinguishable'
    """
    if p_value >= level or difference == 0:
        return NOT_DISTINGUISHABLE
    return "Better" if difference > 0 else "Worse"


def _swaps(count: int, permutations: int, seed: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield rows of swapped clusters ``[some, count]``: all of them where they are no more than asked for."""
    exact = _exact(count, permutations)
    total = 2**count if exact else permutations
    generator = np.random.default_rng(seed)
    for start in range(0, total, _CHUNK):
        stop = min(start + _CHUNK, total)
        if exact:
            yield (np.arange(start, stop)[:, None] >> np.arange(count) & 1).astype(bool)
        else:
            yield generator.random((stop - start, count)) < 0.5


def _exact(count: int, permutations: int) -> bool:
    return count < 31 and 2**count <= permutations


def _p_value(differences: npt.NDArray[np.float64], observed: float, count: int, permutations: int) -> float:
    # 1e-12: swaps that give the very same counts may differ in the last digit.
    large = int((np.abs(differences) >= abs(observed) - 1e-12).sum())
    if _exact(count, permutations):
        return large / len(differences)
    return (1 + large) / (1 + len(differences))
