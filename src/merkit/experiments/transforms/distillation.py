"""Distillation: a teacher's class probabilities, learned beside the labels (``[teacher]``).

The teachers lie below ``<run>/teacher/fold-<f>/seed-<s>/part-<p>-of-<k>/``: the training split is cut by conversation,
and the probabilities of each part come from teachers that have learned from the other parts alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, PrivateAttr

from merkit.core.encoder import Array, as_float32
from merkit.core.errors import ConfigError
from merkit.core.lookup import PlugInSpec
from merkit.core.settings import Settings
from merkit.data.dataset import Dataset
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.cell import Cell
from merkit.experiments.cross_fit import cross_fit, train_parts
from merkit.experiments.recipe import CheckOther, Recipe
from merkit.experiments.transform import Resources, TrainCell, Transform
from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import build_encoders, build_model
from merkit.training.optimisation import build_optimizer, groups_of, layers_of

FOLDER = "teacher"


class TeacherConfig(Settings):
    """``[teacher]``: a model whose probabilities for the training split are learned beside the labels.

    Distillation is Hinton et al.'s (2015, arXiv 1503.02531), at temperature 1; cross-fitting the teacher is ours.
    """

    recipe: str | dict[str, Any]
    """Of the teacher, a file or its content."""
    cross_fit: Annotated[int, Field(ge=2)] = 5
    """Number of parts that the training split is cut into."""
    ensemble: Annotated[int, Field(ge=0)] = 0
    """0: every seed has a teacher of its own. k >= 1: teachers with the seeds 0 to k - 1, whose probabilities are
    averaged, for all seeds."""
    weight: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    """Of the distillation loss beside the model's own terms."""
    _checked: Recipe = PrivateAttr()
    """The recipe once it is checked."""


class Distillation(Transform):
    """Adds the mean probabilities of the teachers that have not learned from a conversation."""

    name = "teacher"
    summary = "Distillation: the model whose probabilities are learned beside the labels."
    table = TeacherConfig

    @classmethod
    def check_table(
        cls, table: TeacherConfig | None, recipe: Recipe, check_other: CheckOther, mistakes: list[str]
    ) -> TeacherConfig | None:
        """Check the teacher's recipe: same protocol, same options, no teacher or feature extractor of its own."""
        if table is None:
            return None
        assert isinstance(table.recipe, dict)  # files are read before anything is checked
        if "teacher" in table.recipe:
            mistakes.append("teacher.recipe: has a teacher of its own; leave one of them out")
            return None
        teacher = check_other(table.recipe, "teacher.recipe", mistakes)
        if teacher is None:
            return None
        if any(isinstance(config, ExtractorConfig) for _, config in teacher.encoders.values()):
            mistakes.append(
                "teacher.recipe: has a trained model for an encoder, which may know the held-out conversations"
            )
        checked = table.model_copy(update={"recipe": teacher.without_seeds()})
        checked._checked = teacher
        return checked

    @classmethod
    def of(cls, cell: Cell) -> Self | None:
        settings = cell.recipe.transforms.get(cls.name)
        return cls(cell, settings) if isinstance(settings, TeacherConfig) else None

    def __init__(self, cell: Cell, settings: TeacherConfig) -> None:
        self.cell = cell
        self.settings = settings
        self.recipe = settings._checked
        self.parts = cross_fit(
            cell, self.recipe, cell.run / FOLDER, settings.cross_fit, settings.ensemble, "teacher.cross_fit"
        )

    def check(self) -> None:
        """Refuse a student that learns without gradients, does not fit its encoders, or has other learning rates.

        One with a feature extractor can be built only when that is trained.

        Raises:
            MerkitError: It is such a student.
        """
        recipe = self.cell.recipe
        if recipe.model.is_fitted:
            raise ConfigError(f"teacher: '{recipe.model.name}' learns without gradients; leave the teacher out")
        if recipe.extractors:
            return
        encoders = build_encoders(recipe.encoders, self.cell.manifest.root, None)
        model = build_model(recipe.model, recipe.config, encoders, len(self.cell.protocol.labels))
        build_optimizer(groups_of(model, recipe.training.learning_rates), recipe.training, layers_of(model))  # checks

    def plug_ins(self) -> Sequence[PlugInSpec]:
        return self.recipe.plug_ins()

    def prepare(self, train: TrainCell) -> None:
        train_parts(self.parts, train, "teacher")

    def identity(self) -> Any:
        return [part.identity() for part in self.parts]

    def describe(self) -> Mapping[str, Any]:
        encoders = build_encoders(self.recipe.encoders, self.cell.manifest.root, None)
        return {
            "teacher": self.recipe.model.name,
            "encoders": {modality: dict(encoder.describe()) for modality, encoder in encoders.items()},
            **self.settings.model_dump(exclude={"recipe"}),
        }

    def apply(self, dataset: Dataset, resources: Resources) -> Dataset:
        return replace(dataset, teacher=self._probabilities(resources), teacher_weight=self.settings.weight)

    def _probabilities(self, resources: Resources) -> dict[str, Array]:
        """Return the mean of the teachers' probabilities ``[classes]`` for each utterance of the training split."""
        cell = self.cell
        means: dict[str, Array] = {}
        for part in self.parts:
            wanted = {id_ for id_ in cell.fold.train if cell.manifest.by_id[id_].conversation in part.conversations}
            for checkpoint in part.checkpoints:
                teacher = Recognizer.load(checkpoint, cell.manifest.root)
                teacher.languages = None  # its training split may lack a language of this one
                for prediction in teacher.predict_turns(
                    list(cell.manifest.turns(cell.members, *teacher.reach)),
                    wanted=wanted,
                    features=cell.features,
                    batch_seconds=self.recipe.training.batch_seconds,
                    progress=resources.progress,
                ):
                    probabilities = np.array([prediction.probabilities[label] for label in teacher.labels])
                    share = probabilities / len(part.checkpoints)
                    means[prediction.id] = as_float32(means.get(prediction.id, 0.0) + share)
        return {id_: means[id_] for id_ in cell.fold.train}
