"""The batches of every epoch: drawn anew for each from a seed of its own, and counted in advance for the schedule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from merkit.data.balancing import balanced_batches
from merkit.data.dataset import Bound, Dataset, bucketed_batches
from merkit.training.config import TrainingConfig
from merkit.training.seeding import derived_seed


@dataclass(frozen=True)
class Plan:
    """Which items make which batches; the same for the same seed and epoch in every process."""

    lengths: Sequence[int]
    """By item: the length that items are sorted by."""
    classes: Sequence[int] | None
    """By item: the class that batches are balanced by; ``None``: they are not."""
    bound: Bound | None
    config: TrainingConfig
    seed: int
    processes: int = 1

    @classmethod
    def of(cls, dataset: Dataset, config: TrainingConfig, seed: int, processes: int = 1) -> "Plan":
        """Return the plan for a training split.

        Raises:
            ConfigError: ``batch_seconds`` is set and no encoder knows the duration of audio, or items of
                ``balanced`` batches are conversations.
        """
        classes = dataset.classes() if config.balanced else None
        bound = None if config.batch_seconds is None else dataset.bound(config.batch_seconds)
        return cls(dataset.lengths(), classes, bound, config, seed, processes)

    def batches(self, epoch: int) -> list[list[int]]:
        """Return an epoch's batches of all processes together; unless balanced, every item is in one of them."""
        seed = derived_seed(self.seed, "order", epoch)
        if self.classes is not None:
            return balanced_batches(self.lengths, self.classes, self.config.batch_size, seed, bucket=self.config.bucket)
        return bucketed_batches(self.lengths, self.config.batch_size, seed, self.bound, bucket=self.config.bucket)

    def steps(self) -> int:
        """Return the optimiser's steps in all epochs together: what the schedule stretches over."""
        epochs = self.config.epochs
        if self.bound is None:  # as many batches in every epoch
            return epochs * self._steps(math.ceil(len(self.lengths) / self.config.batch_size))
        return sum(self._steps(len(self.batches(epoch))) for epoch in range(1, epochs + 1))

    def share(self, epoch: int, process: int) -> list[list[int]]:
        """Return a process' batches: as many as every other's, the last ones repeated from the beginning if need be."""
        batches = self.batches(epoch)
        count = math.ceil(len(batches) / self.processes)
        return [batches[(number * self.processes + process) % len(batches)] for number in range(count)]

    def _steps(self, batches: int) -> int:
        return math.ceil(math.ceil(batches / self.processes) / self.config.accumulation)
