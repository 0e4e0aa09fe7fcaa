"""Runs: train a recipe, and read what it left behind."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.api.training import train_and_score
from merkit.core.arguments import checked_arguments
from merkit.core.errors import ConfigError, MerkitError
from merkit.evaluation.scores import score
from merkit.evaluation.stored import LabelledPredictions, open_run
from merkit.evaluation.stored import Run as StoredRun
from merkit.experiments.recipe_reader import read_recipe
from merkit.experiments.shipped import find_file
from merkit.io.predictions import LABEL_SEPARATOR, PROBABILITY
from merkit.timeline.tabular import Tabular


@dataclass(frozen=True)
class StoredPredictions(Tabular):
    """Predictions of a split beside the true labels, for every fold and seed of a run."""

    run: str
    split: str
    table: tuple[Mapping[str, Any], ...]

    @property
    def title(self) -> str:
        return f"{self.run}: {len(self.table)} predictions of the {self.split} split"

    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.table]

    def __len__(self) -> int:
        return len(self.table)


class Run(Tabular):
    """A finished run, as `train` or ``merkit train`` wrote it. Its rows are its test scores.

    Args:
        folder: The run's folder.
        data: Where its corpus is now, if it was moved since training.
    """

    @checked_arguments
    def __init__(self, folder: str | Path, data: str | Path | None = None) -> None:
        self.folder = Path(folder)
        self._data = None if data is None else Path(data)

    def __repr__(self) -> str:
        return f"Run('{self.folder}')"

    @property
    def title(self) -> str:
        return f"{self.folder.name}: test scores"

    @property
    def scores(self) -> dict[str, Any]:
        """The scores, computed from the stored predictions, as in ``scores.json``; shares, not percentages.

        Raises:
            MerkitError: The run is incomplete, or its corpus was moved.
        """
        return score(self._run)

    @property
    def _run(self) -> StoredRun:
        return open_run(self.folder, self._data)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"metric": name, "mean": row["mean"], "std": row["std"], "low": low, "high": high}
            for name, row in self.scores["test"].items()
            for low, high in [row["interval"]]
        ]

    def to_dict(self) -> dict[str, Any]:
        return self.scores

    @checked_arguments
    def predictions(self, split: str = "test") -> StoredPredictions:
        """Return the stored predictions of a split (``train`` where it was stored, ``valid`` or ``test``).

        Raises:
            MerkitError: The run is incomplete, its corpus was moved, or it stored no such split.
        """
        run = self._run
        known = [name for name in ("train", "valid", "test") if all(name in cell.splits for cell in run.cells)]
        if split not in known:
            raise ConfigError(f"{self.folder}: no predictions of a split '{split}', it stored {', '.join(known)}")
        labels, rows = run.protocol.labels, []
        for cell in run.cells:
            stored = cell.splits[split]
            for number, name in enumerate(stored.ids):
                probabilities = stored.probabilities[number].tolist()
                rows.append(
                    {
                        "fold": cell.fold,
                        "seed": cell.seed,
                        "id": name,
                        **_labels_of(stored, number, labels),
                        "confidence": max(probabilities),
                        **{PROBABILITY + label: value for label, value in zip(labels, probabilities, strict=True)},
                    }
                )
        return StoredPredictions(self.folder.name, split, tuple(rows))

    @checked_arguments
    def checkpoint(self, fold: int | str = 0, seed: int = 0) -> Path:
        """Return the checkpoint of a fold, by its number or name, and a seed.

        Raises:
            MerkitError: There is none.
        """
        return self._file(fold, seed, "checkpoint")

    @checked_arguments
    def history(self, fold: int | str = 0, seed: int = 0) -> list[dict[str, Any]]:
        """Return one row per epoch: losses, learning rates, validation scores, and what the model reports.

        Raises:
            MerkitError: There is none, as for a model that is fitted in one go.
        """
        lines = self._file(fold, seed, "history.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def _file(self, fold: int | str, seed: int, name: str) -> Path:
        folds = self._run.folds
        if isinstance(fold, int) and not 0 <= fold < len(folds):
            raise ConfigError(f"{self.folder}: no fold number {fold}, it has {len(folds)}: {', '.join(folds)}")
        path = self.folder / f"fold-{folds[fold] if isinstance(fold, int) else fold}" / f"seed-{seed}" / name
        if not path.exists():
            raise MerkitError(f"No {name} of fold {fold} and seed {seed} in '{self.folder}': '{path}' is missing")
        return path


@checked_arguments
def train(
    recipe: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Train every fold and seed of a recipe, score the predictions of the test split, and return the run.

    Finished folds and seeds of the same run are kept, and a stopped one is resumed.

    Args:
        recipe: A recipe's file, or the name of one that comes with merkit, such as ``concat/parley``.
        data: Folder of the prepared corpus.
        out: The run's folder; ``None``: ``runs/MODEL-RECIPE``.
        overrides: Recipe keys and their values, such as ``{"training.epochs": 3}``.
        options: Those of `merkit.experiments.run.train_recipe`, such as ``features`` or ``progress``.

    Raises:
        MerkitError: Recipe, corpus or folder cannot be used; all mistakes of the recipe are listed.
    """
    path = find_file("recipes", recipe)
    checked = read_recipe(path, _assignments(overrides or {}))
    folder = Path("runs") / f"{checked.model.name}-{path.stem}" if out is None else Path(out)
    train_and_score(checked, Path(data), folder, **options)
    return Run(folder, data)


def _labels_of(stored: LabelledPredictions, number: int, labels: Sequence[str]) -> dict[str, str]:
    """Return the columns of an utterance's true and predicted label, or of several with semicolons between them."""
    true, predicted = stored.labels[number], stored.predictions[number]
    if true.ndim:
        columns = {"true_labels": true, "labels": predicted}
        return {
            name: LABEL_SEPARATOR.join(label for label, has in zip(labels, row, strict=True) if has)
            for name, row in columns.items()
        }
    return {"true_label": labels[true], "label": labels[predicted]}


def _assignments(overrides: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return overrides as ``table.key=VALUE``, as the command line gives them."""
    assignments: list[str] = []
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            assignments += _assignments(value, f"{prefix}{key}.")
        else:
            assignments.append(f"{prefix}{key}={json.dumps(value, ensure_ascii=False, default=_plain)}")
    return assignments


def _plain(value: Any) -> Any:
    """Return a path, or a number of NumPy, as a value of JSON."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise ConfigError(f"overrides: a value is of type {type(value).__name__}, expected one that TOML has")
