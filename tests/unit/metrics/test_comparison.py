"""Golden values: exact p-values by hand, Holm's adjustment by hand."""

import doctest
import itertools
import tracemalloc

import numpy as np
import pytest

from merkit.metrics import comparison, intervals
from merkit.metrics.classification import accuracy, grouped_confusion
from merkit.metrics.comparison import holm, paired_permutation_of, verdict

LABELS = np.ones(6, dtype=int)
RIGHT, WRONG = np.ones(6, dtype=int), np.zeros(6, dtype=int)


def p_value(first, second, clusters, labels=LABELS, classes=2, **settings):
    numbers = np.unique(np.asarray(clusters), return_inverse=True)[1]
    matrices = [grouped_confusion(labels, p, numbers, numbers.max() + 1, classes) for p in (first, second)]
    return paired_permutation_of(accuracy, *matrices, **settings)


def test_with_every_cluster_won_p_is_two_of_all_swaps():
    # 6 clusters: of 64 swaps only none and all give a difference as large
    assert p_value(RIGHT, WRONG, list("abcdef")) == pytest.approx(2 / 64)


def test_swaps_move_whole_clusters():
    # 2 clusters: every one of the 4 swaps but the mixed two is as large
    assert p_value(RIGHT, WRONG, list("aaabbb")) == pytest.approx(2 / 4)


def test_equal_predictions_are_not_distinguishable():
    assert p_value(RIGHT, RIGHT, list("abcdef")) == 1.0


def test_drawn_swaps_never_give_zero():
    found = p_value(RIGHT, WRONG, list("abcdef"), permutations=20)

    assert 1 / 21 <= found <= 1


def test_drawn_swaps_come_near_to_all_swaps():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    first = np.where(generator.random(60) < 0.7, labels, 1 - labels)
    second = np.where(generator.random(60) < 0.55, labels, 1 - labels)
    matrices = [grouped_confusion(labels, p, np.arange(60) % 12, 12, 2) for p in (first, second)]

    every = paired_permutation_of(accuracy, *matrices, permutations=4096)
    drawn = paired_permutation_of(accuracy, *matrices, permutations=4000)

    assert drawn == pytest.approx(every, abs=0.03)  # 4 standard errors of 4,000 draws


def test_swapping_matrices_gives_the_very_p_of_swapping_predictions():
    clusters = 8
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 300)
    first = np.where(generator.random(300) < 0.62, labels, 0)
    second = np.where(generator.random(300) < 0.55, labels, 0)
    numbers = np.arange(300) % clusters
    observed, as_large = (labels == first).mean() - (labels == second).mean(), 0
    for swaps in itertools.product([False, True], repeat=clusters):
        swap = np.array(swaps)[numbers]
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        as_large += abs((labels == one).mean() - (labels == other).mean()) >= abs(observed) - 1e-12

    found = p_value(first, second, numbers, labels, 3)

    assert found == pytest.approx(as_large / 2**clusters)
    assert 0 < found < 1


def test_under_no_difference_small_p_values_are_rare():
    generator = np.random.default_rng(2)
    found = []
    for _ in range(200):
        labels = generator.integers(0, 2, 40)
        first, second = (np.where(generator.random(40) < 0.6, labels, 1 - labels) for _ in range(2))
        matrices = [grouped_confusion(labels, p, np.arange(40) % 20, 20, 2) for p in (first, second)]
        found.append(paired_permutation_of(accuracy, *matrices, permutations=200))

    assert np.mean(np.array(found) <= 0.05) <= 0.10


def test_holm_is_as_by_hand():
    # sorted .01 .03 .04 -> .03 .06 .04 -> running maximum .03 .06 .06
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.2])


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [
        (0.1, 0.01, "Better"),
        (-0.1, 0.01, "Worse"),
        (0.1, 0.05, "Not distinguishable"),
        (0.0, 0.01, "Not distinguishable"),
    ],
)
def test_the_verdict_is_in_words(difference, p, words):
    assert verdict(difference, p) == words


def test_counts_of_different_shapes_cannot_be_compared():
    with pytest.raises(ValueError, match="equal shapes"):
        paired_permutation_of(accuracy, np.ones((3, 2, 2)), np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="at least one cluster"):
        paired_permutation_of(accuracy, np.ones((0, 2, 2)), np.ones((0, 2, 2)))


@pytest.mark.parametrize("permutations", [4000, 5000])  # drawn, and all 4096
def test_swaps_in_small_blocks_give_the_p_of_swaps_in_large_ones(monkeypatch, permutations):
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 9, (2, 12, 2, 2))
    p = paired_permutation_of(accuracy, first, second, permutations=permutations)

    monkeypatch.setattr(intervals, "_AT_ONCE", 100)

    assert paired_permutation_of(accuracy, first, second, permutations=permutations) == p


def test_memory_does_not_grow_with_clusters_times_swaps():
    first = np.ones((100_000, 2, 2), dtype=np.int8)
    tracemalloc.start()

    paired_permutation_of(accuracy, first, first, permutations=200)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # two blocks of 64 MiB; 200 swaps of all clusters have 160 MB as numbers, drawn from as many


def test_the_examples_in_the_docstrings_run():
    found = doctest.testmod(comparison)

    assert found.attempted >= 2
    assert found.failed == 0
