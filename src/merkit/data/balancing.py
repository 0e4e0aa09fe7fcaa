"""Batches that hold every class about equally often, of items of similar length.

An epoch has as many batches as without balancing. Items of rare classes are drawn several times in it, those of
frequent ones perhaps not at all; all items of a class are drawn equally often in the mean over epochs.
"""

from collections.abc import Sequence

import numpy as np

from merkit.core.errors import ConfigError
from merkit.data.collate import NO_LABEL


def balanced_batches(
    lengths: Sequence[int], classes: Sequence[int], batch_size: int, seed: int, *, bucket: int = 50
) -> list[list[int]]:
    """Return shuffled batches of items of similar length, all classes alike in each, the same for the same seed.

    In a batch the numbers of two classes differ by one at most, no item is there twice, and a class of fewer items than
    its share gives all it has (the batch is then smaller). Which classes have one more is drawn for every ``bucket``
    batches.

    Args:
        lengths: By item; what is padded together should be alike in it.
        classes: By item its class number; -100, no label: never drawn.
        batch_size: Items of a batch.
        seed: Decides all draws.
        bucket: How many batches are made of items that are sorted by length together.

    Raises:
        ConfigError: A batch is too small for one item of each class, or no item has a label.
    """
    rng = np.random.default_rng(seed)
    members: dict[int, list[int]] = {}
    for index, number in enumerate(classes):
        if number != NO_LABEL:
            members.setdefault(number, []).append(index)
    if not members:
        raise ConfigError("training.balanced needs labels, and no item of the training part has one")
    if batch_size < len(members):
        raise ConfigError(
            f"training.balanced = true needs room for every class in a batch: training.batch_size is {batch_size}, "
            f"the training part has {len(members)} classes"
        )
    waiting: dict[int, list[int]] = {number: [] for number in members}
    total = -(-len(lengths) // batch_size)
    batches: list[list[int]] = []
    while len(batches) < total:
        size = min(bucket, total - len(batches))
        more = set(rng.permutation(list(members))[: batch_size % len(members)].tolist())
        part: list[list[int]] = [[] for _ in range(size)]
        for number, all_of_it in members.items():
            share = min(batch_size // len(members) + (number in more), len(all_of_it))
            drawn = _draw(waiting[number], all_of_it, min(share * size, len(all_of_it)), rng)
            slices = len(drawn) // share
            drawn = sorted(drawn[: slices * share], key=lambda index: lengths[index])
            for place, batch in enumerate(part):  # where a class has too few, neighbouring batches share a slice
                first = place * slices // size * share
                batch += drawn[first : first + share]
        batches += part
    return [batches[index] for index in rng.permutation(len(batches))]


def _draw(waiting: list[int], members: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """Take ``count`` different members off those that wait for their turn; when they run out, a new round begins."""
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
