"""Test scores of a run with every subset of its modalities, predicted from its checkpoints.

A removed modality is absent in every utterance, context included: the batch's masks mark it as missing, as they
mark modalities that a corpus lacks.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import pyarrow as pa

from merkit.core.arrays import Array
from merkit.core.lookup import load
from merkit.core.model import ModelSpec
from merkit.core.progress import ProgressCallback
from merkit.core.types import MODALITIES, Turn
from merkit.data.dataset import Dataset
from merkit.data.features.sources import FeatureSource
from merkit.evaluation.conditions import Condition, LoadedCell, compare_conditions, predict_once
from merkit.evaluation.stored import Run

FILE = "predictions-subsets"
"""In a cell's folder; its column ``given`` holds the modalities that were present, such as ``text+audio``."""


class AbsentSource(FeatureSource):
    """A modality that no utterance has."""

    def extracted(self, turn: Turn) -> Array | None:
        """Return ``None``: absent."""
        return None

    def length(self, turn: Turn) -> int:
        """Return 0."""
        return 0


def subsets_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the subsets that are neither empty nor all, largest first."""
    return [subset for size in range(len(modalities) - 1, 0, -1) for subset in combinations(modalities, size)]


def modalities_of(run: Run) -> tuple[str, ...]:
    """Return the modalities that a run's model reads: those of its encoders, and text if it reads words."""
    spec: ModelSpec = load("models", run.model)
    reads = {*run.recipe.get("encoders", {}), *(("text",) if "texts" in spec.inputs else ())}
    return tuple(name for name in MODALITIES if name in reads)


def training_note(run: Run) -> str:
    """Return a note on whether training used modality dropout."""
    rate = run.recipe.get("config", {}).get("modality_dropout")
    if rate is None:
        return "the model has no modality dropout"
    return f"trained with modality dropout {rate:g}" if rate else "trained without modality dropout"


def subset_conditions(
    run: Run, features: Path | None = None, progress: ProgressCallback | None = None
) -> list[Condition]:
    """Predict every cell's test split with each subset of the modalities, unless that is stored, and score them.

    Arguments and errors are those of `predict_once`.

    Returns:
        All modalities first, then the subsets; nothing for a run with one modality.
    """
    modalities = modalities_of(run)
    changes = {"+".join(subset): partial(_with_only, subset=subset) for subset in subsets_of(modalities)}
    if not changes:
        return []

    def predict(loaded: LoadedCell) -> pa.Table:
        return loaded.test_predictions(changes, "given")

    predict_once(run, FILE, predict, description="subsets of modalities", features=features, progress=progress)
    return compare_conditions(run, "+".join(modalities), FILE, "given")


def _with_only(dataset: Dataset, subset: Sequence[str]) -> Dataset:
    """Return the dataset without the other modalities."""
    absent = {name: AbsentSource(of.encoder, None) for name, of in dataset.sources.items() if name not in subset}
    items = dataset.items
    if dataset.with_texts and "text" not in subset:
        items = [[replace(turn, utterance=replace(turn.utterance, text=None)) for turn in item] for item in items]
    return replace(dataset, items=items, sources={**dataset.sources, **absent})
