"""Batches with about the same number of items of every class, of similar length.

An epoch has as many batches as without balancing. Items of rare classes are drawn several times in an epoch, some items
of frequent classes not at all; over epochs all items of a class are drawn equally often.
"""

from collections.abc import Sequence

import numpy as np

from merkit.core.errors import ConfigError
from merkit.data.collate import NO_LABEL


def balanced_batches(
    lengths: Sequence[int], classes: Sequence[int], batch_size: int, seed: int, *, bucket: int = 50
) -> list[list[int]]:
    """Return shuffled batches of items of similar length, with balanced classes, the same for the same seed.

    In a batch the counts of two classes differ by one at most, no item occurs twice, and a class of fewer items than
    its share contributes all of them (the batch is then smaller). Which classes have one item more is drawn for every
    ``bucket`` batches.

    Args:
        lengths: By item; items of similar length are padded together.
        classes: By item; items without a label (-100) are not drawn.
        batch_size: Items per batch.
        seed: Of all draws.
        bucket: How many batches are cut from items that are sorted by length together.

    Raises:
        ConfigError: A batch is too small for one item of each class, or no item has a label.
    """
    rng = np.random.default_rng(seed)
    members: dict[int, list[int]] = {}
    for index, number in enumerate(classes):
        if number != NO_LABEL:
            members.setdefault(number, []).append(index)
    if not members:
        raise ConfigError("training.balanced needs labels, and no item of the training split has one")
    if batch_size < len(members):
        raise ConfigError(
            f"training.balanced = true needs room for every class in a batch: training.batch_size is {batch_size}, "
            f"the training split has {len(members)} classes"
        )
    waiting: dict[int, list[int]] = {number: [] for number in members}
    total = -(-len(lengths) // batch_size)
    batches: list[list[int]] = []
    while len(batches) < total:
        size = min(bucket, total - len(batches))
        more = set(rng.permutation(list(members))[: batch_size % len(members)].tolist())
        drawn_batches: list[list[int]] = [[] for _ in range(size)]
        for number, items in members.items():
            share = min(batch_size // len(members) + (number in more), len(items))
            drawn = _draw(waiting[number], items, min(share * size, len(items)), rng)
            slices = len(drawn) // share
            drawn = sorted(drawn[: slices * share], key=lambda index: lengths[index])
            for index, batch in enumerate(drawn_batches):  # neighbours share a slice where a class has too few items
                first = index * slices // size * share
                batch += drawn[first : first + share]
        batches += drawn_batches
    return [batches[index] for index in rng.permutation(len(batches))]


def _draw(waiting: list[int], members: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """Take ``count`` different members from those not yet drawn; when there are too few, begin a new round."""
    taken = waiting[:count]
    del waiting[:count]
    if len(taken) < count:
        shuffled = rng.permutation(members).tolist()
        again = set(taken)
        waiting += [member for member in shuffled if member not in again] + [m for m in shuffled if m in again]
        missing = count - len(taken)
        taken += waiting[:missing]
        del waiting[:missing]
    return taken
