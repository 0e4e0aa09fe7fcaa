"""The seam of a training-split transform: augmentation, a teacher's probabilities, features from cross-fitted models.

A new one is a file in ``merkit.experiments.transforms`` and a line in its ``registry``. Validation and test splits are
never transformed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch

from merkit.core.encoder import Encoder
from merkit.core.lookup import PlugInSpec
from merkit.core.progress import ProgressCallback, Share
from merkit.core.settings import Settings
from merkit.data.dataset import Dataset
from merkit.experiments.cell import Cell
from merkit.experiments.recipe import CheckOther, Recipe

TrainCell = Callable[[Cell, Share], None]
"""Trains another cell unless it is complete; the share is for progress reports."""


@dataclass(frozen=True)
class Resources:
    """What a transform may use while it is applied."""

    encoders: Mapping[str, Encoder]
    """The model's, by modality."""
    device: torch.device
    progress: ProgressCallback | None


class Transform(ABC):
    """One change to the training split of one cell.

    The cell runner calls ``prepare``, then ``identity``, and, unless the cell is complete, ``apply`` and ``describe``.
    """

    name: ClassVar[str]
    """Its key in the resume hash and the provenance, and the name of its recipe table, if it has one."""
    summary: ClassVar[str]
    """One sentence for the documentation."""
    table: ClassVar[type[Settings] | None] = None
    """Class of the recipe table."""

    @classmethod
    def check_table(cls, table: Any, recipe: Recipe, check_other: CheckOther, mistakes: list[str]) -> Settings | None:
        """Check the table (``None``: there is none) against the recipe without transforms; appends to the mistakes."""
        return None

    @classmethod
    @abstractmethod
    def of(cls, cell: Cell) -> Self | None:
        """Return the transform for a cell; ``None``: its recipe does not ask for it."""

    def check(self) -> None:
        """Refuse a recipe that cannot work, before anything is trained; called for the first cell of a run.

        Raises:
            MerkitError: What is wrong with the recipe.
        """
        return

    def plug_ins(self) -> Sequence[PlugInSpec]:
        """Return the ``SPEC`` of each plug-in that the transform uses, whose code is part of the cell's key."""
        return ()

    def prepare(self, train: TrainCell) -> None:
        """Train the models that the transform needs."""
        return

    @abstractmethod
    def identity(self) -> Any:
        """Return all that the transformed data depends on besides recipe, inputs and split, as JSON values."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return what the provenance and the model card say, as JSON values."""

    @abstractmethod
    def apply(self, dataset: Dataset, resources: Resources) -> Dataset:
        """Return the transformed dataset; extract or generate what is missing on disk first."""
