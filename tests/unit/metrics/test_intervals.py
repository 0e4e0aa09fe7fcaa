import tracemalloc

import numpy as np
import pytest

from merkit.metrics import intervals
from merkit.metrics.classification import accuracy, confusion, grouped_confusion
from merkit.metrics.intervals import percentile_interval, resampled_sums


def answers(n=600, clusters=40, seed=0):
    generator = np.random.default_rng(seed)
    names = np.array([f"dialog{i:02d}" for i in generator.integers(0, clusters, n)])
    labels = generator.integers(0, 3, n)
    return labels, np.where(generator.random(n) < 0.6, labels, 0), names


def draw_weights(count, draws=1000, seed=0):
    """Return how often each cluster is drawn, ``[draws, count]``: the sums of unit vectors."""
    (rows,) = resampled_sums(np.eye(count, dtype=int), draws=draws, seed=seed)
    return rows.astype(int)


def resampled(statistic, clusters, draws=1000, seed=0):
    """Return the interval of any statistic of a set of utterances, resampled one draw after the other."""
    names, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    every = np.arange(len(numbers))
    rows = draw_weights(len(names), draws, seed)
    return percentile_interval(np.array([statistic(np.repeat(every, row[numbers])) for row in rows]))


def test_weighing_matrices_of_clusters_gives_the_very_interval_of_resampling_utterances():
    labels, predictions, names = answers()
    numbers, count = np.unique(names, return_inverse=True)[1], len(set(names))

    slow = resampled(lambda i: accuracy(confusion(labels[i], predictions[i], 3)), names, draws=200, seed=3)
    matrices = grouped_confusion(labels, predictions, numbers, count, 3)
    fast = percentile_interval(accuracy(*resampled_sums(matrices, draws=200, seed=3)))

    assert fast == pytest.approx(slow)


def test_the_interval_of_a_mean_has_the_width_of_theory():
    # 400 values of standard deviation 1: the mean's standard error is 0.05, the interval 2 * 1.96 * 0.05 = 0.196
    values = np.random.default_rng(0).standard_normal(400)

    low, high = resampled(lambda i: float(values[i].mean()), [str(i) for i in range(400)], draws=2000)

    assert high - low == pytest.approx(0.196, rel=0.1)
    assert low < values.mean() < high


def test_alike_utterances_of_one_cluster_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).standard_normal(40), 10)
    by_cluster = [str(i // 10) for i in range(400)]
    alone = [str(i) for i in range(400)]

    low, high = resampled(lambda i: float(values[i].mean()), by_cluster)
    narrow_low, narrow_high = resampled(lambda i: float(values[i].mean()), alone)

    assert high - low > 2 * (narrow_high - narrow_low)


def test_the_same_seed_draws_the_same_clusters_and_another_one_others():
    assert (draw_weights(9, 5, seed=1) == draw_weights(9, 5, seed=1)).all()
    assert (draw_weights(9, 5, seed=1) != draw_weights(9, 5, seed=2)).any()


@pytest.mark.parametrize("at_once", [1, 100, 1 << 20])
def test_drawing_in_blocks_gives_the_sums_of_drawing_all_at_once(monkeypatch, at_once):
    monkeypatch.setattr(intervals, "_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    counts, others = generator.integers(-9, 9, (40, 3, 2), dtype=np.int8), generator.integers(0, 2, 40).astype(bool)
    weights = np.random.default_rng(7).multinomial(40, np.full(40, 1 / 40), size=30)  # numpy's, in one go

    sums, of_others = resampled_sums(counts, others, draws=30, seed=7)

    assert (sums == np.tensordot(weights, counts.astype(int), axes=1)).all()
    assert (of_others == weights @ others).all()


def test_memory_does_not_grow_with_clusters_times_draws():
    counts = np.ones((20_000, 2, 2), dtype=np.int8)
    tracemalloc.start()

    resampled_sums(counts, draws=1000)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # two blocks of 64 MiB; all weights together have 160 MB


def test_each_draw_takes_as_many_clusters_as_there_are():
    assert (draw_weights(9, 50).sum(axis=1) == 9).all()


def test_a_single_cluster_says_nothing_about_spread():
    assert resampled(lambda i: float(len(i)), ["a"] * 5, draws=10) == (5.0, 5.0)


def test_values_that_are_no_numbers_are_left_out():
    assert percentile_interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no value"):
        percentile_interval(np.array([np.nan]))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile_interval(np.array([1.0]), level)
