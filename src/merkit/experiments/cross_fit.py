"""Cross-fitting: models of one recipe, each trained on all parts of a cell's training split but one.

A model knows the utterances that it has learned from better than any others. So what another model learns from, vectors
of training utterances or a teacher's probabilities, comes from models that have not learned from that conversation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from merkit.core.errors import ConfigError
from merkit.core.progress import Share
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.experiments.cell import Cell
from merkit.experiments.recipe import Recipe
from merkit.experiments.transform import TrainCell
from merkit.training.seeding import derived_seed


@dataclass(frozen=True)
class Part:
    """Some conversations of a training split, and the cells whose models learn from all others."""

    conversations: frozenset[str]
    cells: tuple[Cell, ...]
    """One for each seed."""

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """Return the checkpoints of the cells."""
        return tuple(cell.folder / "checkpoint" for cell in self.cells)

    def identity(self) -> tuple[list[str], list[str]]:
        """Return the conversations and hashes of the models' weights (their output differs between machines)."""
        return sorted(self.conversations), [checkpoint_hash(path) for path in self.checkpoints]


def cross_fit(cell: Cell, recipe: Recipe, folder: Path, count: int, ensemble: int, key: str) -> list[Part]:
    """Return the parts of a cell's training split.

    Args:
        cell: The cell that learns from the models' output.
        recipe: The models' recipe.
        folder: Where they lie, as ``fold-<f>/seed-<s>/part-<p>-of-<k>``.
        count: Number of parts.
        ensemble: 0: one model for each part, with the cell's own seed. k >= 1: models with the seeds 0 to k - 1.
        key: The recipe key of ``count``, for errors.

    Raises:
        ConfigError: The training split has fewer conversations, or the seeds of an ensemble other validation splits.
    """
    seeds = ensemble_seeds(cell, ensemble)
    conversation = {id_: cell.manifest.by_id[id_].conversation for id_ in cell.fold.train}
    parts = []
    cut = cut_by_conversation(list(dict.fromkeys(conversation.values())), count, seeds[0], key)
    for number, held in enumerate(cut):
        others = {id_: label for id_, label in cell.fold.train.items() if conversation[id_] not in held}
        cells = tuple(
            replace(
                cell,
                folder=folder / f"fold-{cell.fold.name}/seed-{seed}/part-{number}-of-{count}",
                run=folder,
                recipe=recipe,
                fold=replace(cell.fold, train=others, test=()),
                seed=seed,
                extractors={},
                legacy_best_on_test=False,
            )
            for seed in seeds
        )
        parts.append(Part(held, cells))
    return parts


def train_parts(parts: Sequence[Part], train: TrainCell, what: str) -> None:
    """Train the models of all parts; ``what`` names them in progress reports."""
    cells = [cell for part in parts for cell in part.cells]
    for number, cell in enumerate(cells):
        train(cell, Share(what, number, len(cells)))


def ensemble_seeds(cell: Cell, ensemble: int) -> tuple[int, ...]:
    """Return the seeds of the models that serve a cell: of an ensemble 0 to ``ensemble - 1``, else the cell's own.

    Raises:
        ConfigError: The folds of the ensemble's seeds differ from the cell's.
    """
    if not ensemble:
        return (cell.seed,)
    first, *others = map(cell.folds, range(max(ensemble, 1 + cell.seed)))
    for folds in others:
        for fold, other in zip(first, folds, strict=True):
            if (fold.name, set(fold.train), fold.test) != (other.name, set(other.train), other.test):
                raise ConfigError(
                    "ensemble: this protocol draws another validation split for every seed, and models of other seeds "
                    "have learned from it; leave ensemble out, or choose a protocol with a fixed validation split"
                )
    return tuple(range(ensemble))


def cut_by_conversation(conversations: Sequence[str], parts: int, seed: int, key: str) -> list[frozenset[str]]:
    """Return the conversations in random parts whose sizes differ by one at most; ``key`` is a recipe's, for errors.

    Raises:
        ConfigError: There are fewer conversations than parts.
    """
    if len(conversations) < parts:
        raise ConfigError(f"{key} = {parts}: the training split has only {len(conversations)} conversations")
    order = np.random.default_rng(derived_seed(seed, "cross-fit")).permutation(len(conversations))
    return [frozenset(conversations[index] for index in order[part::parts]) for part in range(parts)]
