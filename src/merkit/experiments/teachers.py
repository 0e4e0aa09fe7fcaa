"""A run's teachers: models whose answers another one learns beside the labels.

They lie below ``<run>/teacher/fold-<f>/seed-<s>/part-<p>-of-<k>/``: the training part is cut by conversation, and each
part is answered for by models that have learned from the other parts alone. Those of a cross-fitted feature
extractor's part lie below its ``cross-fit/teacher/``, in the same way.
"""

from itertools import chain
from typing import Any

import numpy as np

from merkit.core.encoder import Array, as_float32
from merkit.core.errors import ConfigError
from merkit.core.model import FittedModel
from merkit.core.progress import ProgressCallback
from merkit.core.protocol import Protocol
from merkit.data.corpus.manifest import Manifest
from merkit.experiments.cell import Cell
from merkit.experiments.recipe import Recipe, Teacher
from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import build_encoders, build_model
from merkit.training.optimisation import build_optimizer, groups_of, layers_of

FOLDER = "teacher"


def check_student(recipe: Recipe, manifest: Manifest, protocol: Protocol) -> None:
    """Refuse, before its teachers are trained, a student that no teacher reaches or that could not be trained.

    One with a feature extractor can be built only when that is there.

    Raises:
        MerkitError: The model learns without gradients, does not go with its encoders, or has other learning rates.
    """
    if recipe.extractors:
        return
    encoders = build_encoders(recipe.encoders, manifest.root, None)
    model = build_model(recipe.model, recipe.config, encoders, len(protocol.labels))
    if isinstance(model, FittedModel):
        raise ConfigError(f"teacher: '{recipe.model.name}' learns without gradients, so that no teacher reaches it")
    build_optimizer(groups_of(model, recipe.training.learning_rates), recipe.training, layers_of(model))  # its checks


def teacher_answers(cell: Cell, progress: ProgressCallback | None) -> dict[str, Array]:
    """Return the mean of its teachers' probabilities ``[classes]`` for each utterance of a cell's training part."""
    assert cell.recipe.teacher is not None
    seconds = cell.recipe.teacher.recipe.training.batch_seconds
    members, count = set(cell.members), len(next(iter(cell.teachers.values())))
    answers: dict[str, Array] = {}
    for checkpoint in dict.fromkeys(chain.from_iterable(cell.teachers.values())):
        held = {name for name, paths in cell.teachers.items() if checkpoint in paths}
        wanted = {id_ for id_ in cell.fold.train if cell.manifest.by_id[id_].conversation in held}
        teacher = Recognizer.load(checkpoint, cell.manifest.root)
        for answer in teacher.predict(
            cell.manifest,
            members=members,
            wanted=wanted,
            features=cell.features,
            batch_seconds=seconds,
            progress=progress,
        ):
            share = np.array([answer.probabilities[label] for label in teacher.labels]) / count
            answers[answer.id] = as_float32(answers.get(answer.id, 0.0) + share)
    return {id_: answers[id_] for id_ in cell.fold.train}


def describe_teacher(teacher: Teacher, manifest: Manifest) -> dict[str, Any]:
    """Return what a checkpoint tells of the teachers that it learned from."""
    encoders = build_encoders(teacher.recipe.encoders, manifest.root, None)
    return {
        "model": teacher.recipe.model.name,
        "encoders": {modality: dict(encoder.describe()) for modality, encoder in encoders.items()},
        **teacher.config.model_dump(exclude={"recipe"}),
    }
