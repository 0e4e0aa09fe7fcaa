"""From utterances to batches: items, and the order in which they are drawn."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from merkit.core.arrays import Array
from merkit.core.batch import Batch
from merkit.core.errors import ConfigError
from merkit.core.model import Level
from merkit.core.protocol import Target
from merkit.core.types import Turn
from merkit.data.collate import NO_LABEL, Example, collate
from merkit.data.features.sources import FeatureSource
from merkit.data.views import Views

SegmentTier = Callable[[str], Array | None]
"""From an utterance's id to the times ``[segments, 2]`` of its segments in seconds, ``None`` where it has none."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How many seconds of audio a batch may have, padding included, and what each item contributes."""

    seconds: float
    utterances: Sequence[int]
    """Number of utterances with audio, by item."""
    longest_s: Sequence[float]
    """Longest utterance, by item."""

    def cost_s(self, batch: Sequence[int]) -> float:
        """Return the seconds of a batch: number of utterances with audio times the longest."""
        return sum(self.utterances[item] for item in batch) * max(self.longest_s[item] for item in batch)


@dataclass(frozen=True)
class Dataset:
    """Items (utterances or conversations) with their labels, if any, ready to be drawn in batches.

    ``items`` has one turn per item at utterance level, all turns of a conversation at conversation level. Utterances
    without an entry in ``labels`` are context and not learned from.
    """

    items: Sequence[Sequence[Turn]]
    sources: Mapping[str, FeatureSource]
    level: Level
    labels: Mapping[str, Target] | None = None
    label_count: int | None = None
    """Number of labels of a multi-label protocol; ``None``: an utterance has one class."""
    teacher: Mapping[str, Array] | None = None
    """A teacher's probabilities ``[classes]`` by utterance id; context has none."""
    teacher_weight: float = 1.0
    """Of the distillation loss beside the model's own terms."""
    with_texts: bool = False
    segments: Mapping[str, SegmentTier] = field(default_factory=dict)
    """By tier."""
    views: Views | None = None
    """Views for contrastive training; an utterance without any is its own view."""
    draw: int = 0
    """Seed of the choice of views; the training loop changes it every epoch."""

    def __len__(self) -> int:
        return len(self.items)

    def turns(self) -> Iterator[Turn]:
        """Yield the turns of all items."""
        return chain.from_iterable(self.items)

    def lengths(self) -> list[int]:
        """Return the lengths that batches are sorted by: turns of a conversation, else that of the longest modality."""
        if self.level == "conversation":
            return [len(item) for item in self.items]
        return [max((source.length(item[0]) for source in self.sources.values()), default=1) for item in self.items]

    def classes(self) -> list[int]:
        """Return each utterance's class number, -100 where there is none; only at utterance level.

        Raises:
            ConfigError: Items are conversations, which have many classes each.
        """
        if self.level == "conversation":
            raise ConfigError("training.balanced is for models of utterances; this one reads conversations")
        labels = self.labels or {}
        numbers = [labels.get(item[0].utterance.id, NO_LABEL) for item in self.items]
        return [number for number in numbers if isinstance(number, int)]

    def bound(self, seconds: float) -> Bound:
        """Return the bound for batches of so many seconds of audio.

        Raises:
            ConfigError: There is no audio encoder, or it does not read recordings.
        """
        source = self.sources.get("audio")
        if source is None or source.encoder.published_features is not None:
            found = "there is none" if source is None else "this one reads published features"
            raise ConfigError(
                f"training.batch_seconds needs an audio encoder that reads recordings, but {found}: use batch_size"
            )
        durations_s = [[source.encoder.duration_s(turn) for turn in item] for item in self.items]
        return Bound(seconds, [sum(s > 0 for s in item) for item in durations_s], [max(item) for item in durations_s])

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the items with these indices as one batch."""
        examples = [[self._example(turn) for turn in self.items[index]] for index in indices]
        blanks = {modality: source.encoder.blank() for modality, source in self.sources.items()}
        batch = collate(examples, self.level, self.labels is not None, blanks, self.label_count)
        if self.views is not None:
            views = [[self._view(turn) for turn in self.items[index]] for index in indices]
            batch = replace(batch, view=collate(views, self.level, False, blanks))
        if self.teacher is not None:
            batch = replace(batch, teacher=_teacher_probabilities(self.teacher, batch))
        if not self.with_texts:
            return batch
        texts = tuple(turn.utterance.text for index in indices for turn in self.items[index])
        return replace(batch, texts=texts)

    def arrays(self, modality: str, *, compared: bool = True) -> Iterator[Array]:
        """Yield the arrays of one modality, where there are labels only those of labelled utterances.

        Without ``compared`` they are as extracted, for an encoder with ``normalize_by_speaker`` too.
        """
        source = self.sources[modality]
        read = source.get if compared else source.extracted
        for turn in self.turns():
            if self.labels is None or turn.utterance.id in self.labels:
                array = read(turn)
                if array is not None:
                    yield array

    def _view(self, turn: Turn) -> Example:
        if self.views is None or turn.utterance.id not in self.views.turns:
            return self._example(turn)
        return self.views.example(turn, self.draw)

    def _example(self, turn: Turn) -> Example:
        return Example(
            id=turn.utterance.id,
            speaker=turn.utterance.speaker,
            arrays={modality: source.get(turn) for modality, source in self.sources.items()},
            label=None if self.labels is None else self.labels.get(turn.utterance.id),
            segments={tier: times(turn.utterance.id) for tier, times in self.segments.items()},
        )


def _teacher_probabilities(teacher: Mapping[str, Array], batch: Batch) -> Float[Tensor, "*batch classes"]:
    """Return a teacher's probabilities for a batch; zeros for utterances without any."""
    nothing = np.zeros_like(next(iter(teacher.values())))
    probabilities = torch.zeros(*batch.mask.shape, len(nothing))
    probabilities[batch.mask] = torch.from_numpy(np.stack([teacher.get(name, nothing) for name in batch.ids]))
    return probabilities


def items_of(turns: Iterable[Turn], level: Level, wanted: Collection[str]) -> list[list[Turn]]:
    """Return the items of these turns that have ``wanted`` utterances, in the order of the turns.

    At conversation level these are whole conversations, so that a conversation that is cut by a split keeps its
    context; only ``wanted`` utterances may carry labels.
    """
    chosen = set(wanted)
    if level == "utterance":
        return [[turn] for turn in turns if turn.utterance.id in chosen]
    conversations: dict[str, list[Turn]] = {}
    for turn in turns:
        conversations.setdefault(turn.utterance.conversation, []).append(turn)
    return [item for item in conversations.values() if any(turn.utterance.id in chosen for turn in item)]


def bucketed_batches(
    lengths: Sequence[float], batch_size: int, seed: int, bound: Bound | None = None, *, bucket: int = 50
) -> list[list[int]]:
    """Return shuffled batches of items of similar length, the same for the same seed.

    Items are shuffled, cut into buckets of ``bucket`` batches, sorted by length within a bucket and cut into batches,
    whose order is shuffled again. Every item is drawn once. With a ``bound`` a batch ends where the next item would
    exceed it (an item that does so alone is a batch of its own), so that the number of batches depends on the seed;
    with a ``bucket`` of 1 as well, items are cut in shuffled order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths))
    if bucket == 1 and bound is not None:
        return list(_cut(order.tolist(), batch_size, bound))
    size = batch_size * bucket
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        items = sorted(order[start : start + size].tolist(), key=lambda index: lengths[index])
        batches += _cut(items, batch_size, bound)
    return [batches[index] for index in generator.permutation(len(batches))]


def ordered_batches(lengths: Sequence[int], batch_size: int, bound: Bound | None = None) -> list[list[int]]:
    """Return batches of items sorted by length, for evaluation, where order does not matter."""
    return list(_cut(sorted(range(len(lengths)), key=lambda index: lengths[index]), batch_size, bound))


def _cut(items: Iterable[int], batch_size: int, bound: Bound | None) -> Iterator[list[int]]:
    batch: list[int] = []
    for item in items:
        if len(batch) == batch_size or (batch and bound is not None and bound.cost_s([*batch, item]) > bound.seconds):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def load_batches(dataset: Dataset, plan: Sequence[Sequence[int]], workers: int = 0) -> Iterator[Batch]:
    """Yield the batches of a plan in order; ``workers`` processes load ahead, which changes no batch."""
    loader: torch.utils.data.DataLoader[Batch] = torch.utils.data.DataLoader(
        plan,  # type: ignore[arg-type]  # a sequence is enough
        batch_size=None,
        collate_fn=dataset.batch,
        num_workers=workers,
    )
    yield from loader
