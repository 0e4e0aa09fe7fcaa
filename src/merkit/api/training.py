"""Training and scoring in one call: the two rooms that must not know each other meet here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from merkit.evaluation.scores import score_run
from merkit.experiments.grid import PlannedVariant, train_grid
from merkit.experiments.recipe import Recipe
from merkit.experiments.run import train_recipe


def train_and_score(recipe: Recipe, data: Path, run: Path, **options: Any) -> dict[str, Any]:
    """Train every fold and seed of a recipe, score the stored predictions, and return the scores.

    ``options`` are those of `merkit.experiments.run.train_recipe`.

    Raises:
        MerkitError: As `train_recipe` and `score_run`.
    """
    train_recipe(recipe, data, run, **options)
    return score_run(run, data)


def train_and_score_grid(variants: Sequence[PlannedVariant], data: Path, folder: Path, **options: Any) -> list[Path]:
    """Train every variant of a grid, score each, and return the folders of their runs.

    ``options`` are those of `merkit.experiments.grid.train_grid`.

    Raises:
        MerkitError: As `train_grid` and `score_run`.
    """
    runs = train_grid(variants, data, folder, **options)
    for run in runs:
        score_run(run, data)
    return runs
