"""What is left of a run when modalities are missing: every subset of them on the test part, from its checkpoints.

A modality that is taken away is absent in every utterance, context included: the batch's masks say so, and what the
model has learned of absence answers. Predictions lie beside those of training, unlabelled; they are made once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import pyarrow as pa

from merkit.core.encoder import Array
from merkit.core.lookup import load
from merkit.core.model import ModelSpec
from merkit.core.progress import ProgressCallback
from merkit.core.types import MODALITIES, Turn
from merkit.data.corpus.manifest import Manifest
from merkit.data.dataset import Dataset
from merkit.data.features.sources import FeatureSource
from merkit.evaluation.replay import Difference, Figures, Replay, draw, figures_of, join_replayed, replay, replayed
from merkit.evaluation.stored import Run
from merkit.io.predictions import predictions_table
from merkit.metrics.intervals import percentile_interval

FILE = "predictions-subsets.parquet"
"""In a cell's folder: column ``given`` holds the modalities that were left, such as ``text+audio``."""


@dataclass(frozen=True, slots=True)
class SubsetRow:
    """The test figures of a run with some of its modalities."""

    modalities: tuple[str, ...]
    figures: Figures
    drops: Mapping[str, Difference]
    """By metric, how much is lost against all modalities; empty with all of them."""

    @property
    def given(self) -> str:
        """Return what the run was given, in words."""
        return " + ".join(self.modalities)


class AbsentSource(FeatureSource):
    """A modality that no utterance has."""

    def __init__(self, source: FeatureSource) -> None:
        super().__init__(source.encoder, None)

    def get(self, turn: Turn) -> Array | None:
        """Return ``None``: absent."""
        return None

    def length(self, turn: Turn) -> int:
        """Return 0."""
        return 0


def subsets_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the subsets that are neither empty nor all, largest first."""
    return [subset for size in range(len(modalities) - 1, 0, -1) for subset in combinations(modalities, size)]


def modalities_of(run: Run) -> tuple[str, ...]:
    """Return the modalities that a run's answers rest on: those of its encoders, and the text if it reads words."""
    spec: ModelSpec = load("models", run.model)
    reads = {*run.recipe.get("encoders", {}), *(("text",) if "texts" in spec.inputs else ())}
    return tuple(name for name in MODALITIES if name in reads)


def training_note(run: Run) -> str:
    """Return whether training ever took a modality away, in words that stand below every table of subsets."""
    rate = run.recipe.get("config", {}).get("modality_dropout")
    if rate is None:
        return "the model has no modality dropout"
    return f"trained with modality dropout {rate:g}" if rate else "trained without modality dropout"


def predict_subsets(
    run: Run, manifest: Manifest, features: Path | None = None, progress: ProgressCallback | None = None
) -> None:
    """Predict the test part of every cell with each subset of the modalities, unless that is there already.

    Args:
        run: A finished run of the manifest.
        manifest: Where its inputs are.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        progress: Told how many cells are done.

    Raises:
        MerkitError: A checkpoint or an input cannot be read.
    """
    subsets = subsets_of(modalities_of(run))
    if not subsets:
        return

    def answer(asked: Replay) -> pa.Table:
        wanted = set(asked.cell.splits["test"].ids)
        recognizer, dataset = asked.recognizer, asked.dataset(wanted)
        tables = []
        for subset in subsets:
            found = recognizer.predict_dataset(_with_only(dataset, subset))
            predictions = [prediction for prediction in found if prediction.id in wanted]
            tables.append(predictions_table(predictions, recognizer.labels, given="+".join(subset)))
        return pa.concat_tables(tables)

    replay(run, manifest, FILE, answer, told="subsets of modalities", features=features, progress=progress)


def subset_rows(run: Run) -> list[SubsetRow]:
    """Score all modalities and every subset of them; nothing for a run with one modality.

    Raises:
        MerkitError: Predictions are missing or do not cover exactly the test part.
    """
    modalities = modalities_of(run)
    subsets = subsets_of(modalities)
    if not subsets:
        return []
    whole_draws = draw(run, run.counts)
    whole = figures_of(run, run.counts, whole_draws)
    rows = [SubsetRow(modalities, whole, {})]
    tables = replayed(run, FILE)
    for subset in subsets:
        counts = run.count(join_replayed(run, tables, FILE, "given", "+".join(subset)))
        draws = draw(run, counts)
        figures = figures_of(run, counts, draws)
        drops = {
            name: Difference(whole[name]["mean"] - figure["mean"], percentile_interval(whole_draws[name] - draws[name]))
            for name, figure in figures.items()
        }
        rows.append(SubsetRow(subset, figures, drops))
    return rows


def _with_only(dataset: Dataset, subset: Sequence[str]) -> Dataset:
    """Return the dataset as if no utterance had any other modality."""
    sources = {name: source if name in subset else AbsentSource(source) for name, source in dataset.sources.items()}
    items = dataset.items
    if dataset.with_texts and "text" not in subset:
        items = [[replace(turn, utterance=replace(turn.utterance, text=None)) for turn in item] for item in items]
    return replace(dataset, items=items, sources=sources)
