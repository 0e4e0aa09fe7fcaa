"""Class-balanced batches, against the counts that they must have."""

from collections import Counter

import numpy as np
import pytest

from merkit.core.errors import ConfigError
from merkit.data.balancing import balanced_batches
from merkit.data.collate import NO_LABEL


def skewed(items: int = 400, seed: int = 0) -> tuple[list[int], list[int]]:
    """Return lengths and class numbers, the classes with shares of about 0.60, 0.25, 0.10 and 0.05."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 1000, items).tolist(), rng.choice(4, items, p=[0.6, 0.25, 0.1, 0.05]).tolist()


@pytest.mark.parametrize(("batch_size", "bucket"), [(4, 50), (8, 50), (18, 9), (32, 7)])
def test_every_batch_holds_every_class_about_equally_often_and_nothing_twice(batch_size: int, bucket: int) -> None:
    lengths, classes = skewed()

    plan = balanced_batches(lengths, classes, batch_size, 1, bucket=bucket)

    assert len(plan) == -(-400 // batch_size)
    for batch in plan:
        counts = Counter(classes[index] for index in batch)
        assert set(counts) == {0, 1, 2, 3}
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len(batch) == len(set(batch)) == batch_size


def test_nothing_is_twice_in_a_batch_where_a_new_round_of_a_class_begins() -> None:
    # 9 batches with 4 of the rare class take 36 of its 40, so that 4 wait; 9 with 5 then need 45
    classes = [0] * 300 + [1] * 40

    for seed in range(10):
        for batch in balanced_batches(list(range(340)), classes, 9, seed, bucket=9):
            assert len(batch) == len(set(batch)) == 9


def test_the_plan_is_that_of_its_seed() -> None:
    lengths, classes = skewed()

    first, again, other = (balanced_batches(lengths, classes, 8, seed) for seed in (1, 1, 2))

    assert first == again != other


def test_items_of_a_class_are_drawn_equally_often_over_epochs() -> None:
    lengths, classes = skewed()

    counts = Counter(
        index for epoch in range(40) for batch in balanced_batches(lengths, classes, 8, epoch) for index in batch
    )

    for number in range(4):
        drawn = np.array([counts[index] for index, found in enumerate(classes) if found == number])
        # 40 epochs of 50 batches with 2 of each class: 4,000 draws of each class, in the mean
        assert drawn.sum() == 4000
        assert drawn.std() < 0.2 * drawn.mean() + 2
        assert drawn.min() > 0


def test_rare_items_come_again_as_often_as_each_other_within_an_epoch() -> None:
    classes = [0] * 92 + [1] * 8

    plan = balanced_batches(list(range(100)), classes, 10, 0)

    # 10 batches with 5 of 8 rare items: one slice of five, sorted by length, the other three wait for another epoch
    counts = Counter(index for batch in plan for index in batch if classes[index] == 1)
    assert sorted(counts.values()) == [10] * 5
    plan = balanced_batches(list(range(100)), classes, 8, 0)  # 13 batches with 4: two slices of four
    counts = Counter(index for batch in plan for index in batch if classes[index] == 1)
    assert sorted(counts.values()) == [6] * 4 + [7] * 4


def test_a_class_smaller_than_its_share_gives_all_it_has_once() -> None:
    classes = [0] * 40 + [1] * 3

    plan = balanced_batches([1] * 43, classes, 16, 0)

    assert len(plan) == 3
    for batch in plan:
        assert Counter(classes[index] for index in batch) == {0: 8, 1: 3}
        assert {40, 41, 42} <= set(batch)


def test_batches_hold_items_of_similar_length() -> None:
    rng = np.random.default_rng(0)
    lengths, classes = rng.integers(1, 1000, 400).tolist(), rng.choice(4, 400).tolist()

    spreads = [
        max(lengths[i] for i in batch) - min(lengths[i] for i in batch)
        for batch in balanced_batches(lengths, classes, 8, 0)
    ]

    assert np.mean(spreads) < 130  # random batches of 8 from 1..1000 spread over 778 on average (7/9 of the range)


def test_what_has_no_label_is_never_drawn() -> None:
    classes = [0, 1, NO_LABEL] * 20

    plan = balanced_batches([1] * 60, classes, 6, 0)

    assert len(plan) == 10
    assert all(classes[index] != NO_LABEL for batch in plan for index in batch)


def test_batches_too_small_for_all_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size is 3, the training split has 4 classes"):
        balanced_batches([1] * 8, [0, 1, 2, 3] * 2, 3, 0)
    with pytest.raises(ConfigError, match="no item of the training split has one"):
        balanced_batches([1] * 8, [NO_LABEL] * 8, 3, 0)
