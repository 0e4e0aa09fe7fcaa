"""What is left of a run when modalities are missing: every subset of them on the test part, from its checkpoints.

A modality that is taken away is absent in every utterance, context included: the batch's masks say so, and what the
model has learned of absence answers. Predictions lie beside those of training, unlabelled; they are made once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from merkit.core.encoder import Array
from merkit.core.lookup import load
from merkit.core.model import ModelSpec
from merkit.core.types import MODALITIES, Turn
from merkit.data.dataset import Dataset, items_of
from merkit.data.files import file_hash
from merkit.data.manifest import Manifest
from merkit.data.sources import FeatureSource, Progress, open_sources
from merkit.experiments.score import Counts, FloatArray, mean_over_seeds, resampled
from merkit.experiments.stored import Cell, Joined, Run, join
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import predictions_table, write_table
from merkit.metrics.classification import FROM_CONFUSION
from merkit.metrics.intervals import percentile_interval

FILE = "predictions-subsets.parquet"
"""In a cell's folder: column ``given`` holds the modalities that were left, such as ``text+audio``."""


@dataclass(frozen=True, slots=True)
class Drop:
    """How much of a metric is lost against all modalities, and its 95 % interval over clusters."""

    mean: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SubsetRow:
    """The test figures of a run with some of its modalities."""

    modalities: tuple[str, ...]
    figures: Mapping[str, Mapping[str, Any]]
    """By metric ``mean``, ``sd`` (over seeds) and ``interval``, as in ``scores.json``."""
    drops: Mapping[str, Drop]
    """By metric; empty with all modalities."""


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
    run: Run, manifest: Manifest, features: Path | None = None, progress: Progress | None = None
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
    members = [utterance.id for utterance in run.protocol.members(manifest.utterances)]
    store = manifest.root / "features" if features is None else features
    for number, cell in enumerate(run.cells if subsets else ()):
        folder = _folder(run, cell)
        key = _key(cell, folder)
        if _key_of(folder / FILE) != key:
            recognizer = Recognizer.load(folder / "checkpoint", manifest.root)
            wanted = set(cell.parts["test"].ids)
            dataset = _dataset(recognizer, manifest, members, wanted, store, progress)
            tables = []
            for subset in subsets:
                found = recognizer.predict_dataset(_with_only(dataset, subset))
                predictions = [prediction for prediction in found if prediction.id in wanted]
                tables.append(predictions_table(predictions, recognizer.labels, given="+".join(subset)))
            write_table(folder / FILE, pa.concat_tables(tables), {"key": key})
        if progress is not None:
            progress(f"{run.path.name}: subsets of modalities", number + 1, len(run.cells))


def subset_rows(run: Run) -> list[SubsetRow]:
    """Score all modalities and every subset of them; nothing for a run with one modality.

    Raises:
        MerkitError: Predictions are missing or do not cover exactly the test part.
    """
    modalities = modalities_of(run)
    subsets = subsets_of(modalities)
    if not subsets:
        return []
    whole_draws = _draws(run, run.counts)
    whole = _figures(run, run.counts, whole_draws)
    rows = [SubsetRow(modalities, whole, {})]
    tables = [pq.read_table(_folder(run, cell) / FILE) for cell in run.cells]
    for subset in subsets:
        parts = [_join(run, cell, table, subset) for cell, table in zip(run.cells, tables, strict=True)]
        counts = run.count(parts)
        draws = _draws(run, counts)
        figures = _figures(run, counts, draws)
        drops = {
            name: Drop(whole[name]["mean"] - figure["mean"], percentile_interval(whole_draws[name] - draws[name]))
            for name, figure in figures.items()
        }
        rows.append(SubsetRow(subset, figures, drops))
    return rows


def _draws(run: Run, counts: Counts) -> dict[str, FloatArray]:
    """Return each metric's figure in every draw of the clusters, of counts like ``run.counts``."""
    return {name: resampled(FROM_CONFUSION[name], counts, run.protocol.pooled) for name in run.protocol.metrics}


def _figures(run: Run, counts: Counts, draws: Mapping[str, FloatArray]) -> dict[str, dict[str, Any]]:
    """Return mean, deviation over seeds and interval by metric, of counts like ``run.counts`` and their draws."""
    total = counts.sum(axis=0)
    figures = {}
    for name in run.protocol.metrics:
        mean = mean_over_seeds(FROM_CONFUSION[name], run.protocol.pooled)
        by_seed = np.array([float(mean(total[seed : seed + 1])) for seed in range(len(total))])
        figures[name] = {
            "mean": float(by_seed.mean()),
            "sd": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else 0.0,
            "interval": percentile_interval(draws[name]),
        }
    return figures


def _join(run: Run, cell: Cell, table: pa.Table, subset: Sequence[str]) -> Joined:
    """Put the true classes of the test part beside the predictions made with a subset."""
    given = "+".join(subset)
    test = cell.parts["test"]
    answers = dict(zip(test.ids, test.labels.tolist(), strict=True))
    rows = table.filter(pyarrow.compute.equal(table.column("given"), given))
    return join(rows, run.protocol.labels, answers, test.ids, f"{_folder(run, cell) / FILE} ({given})")


def _dataset(
    recognizer: Recognizer,
    manifest: Manifest,
    members: Sequence[str],
    wanted: set[str],
    features: Path,
    progress: Progress | None,
) -> Dataset:
    """Return the unlabelled items that hold the wanted utterances, with all modalities."""
    turns = list(manifest.turns(members, *recognizer.reach))
    sources = open_sources(recognizer.encoders, turns, features, progress)
    level, with_texts = recognizer.spec.level, "texts" in recognizer.spec.inputs
    items = items_of(manifest, level, members, wanted, *recognizer.reach)
    return Dataset(items, sources, level, with_texts=with_texts)


def _with_only(dataset: Dataset, subset: Sequence[str]) -> Dataset:
    """Return the dataset as if no utterance had any other modality."""
    sources = {name: source if name in subset else AbsentSource(source) for name, source in dataset.sources.items()}
    items = dataset.items
    if dataset.with_texts and "text" not in subset:
        items = [[replace(turn, utterance=replace(turn.utterance, text=None)) for turn in item] for item in items]
    return replace(dataset, items=items, sources=sources)


def _folder(run: Run, cell: Cell) -> Path:
    return run.path / f"fold-{cell.fold}" / f"seed-{cell.seed}"


def _key(cell: Cell, folder: Path) -> str:
    """Return what decides the predictions: the cell's inputs and settings, and its very weights."""
    return f"{cell.facts['key']} {file_hash(folder / 'checkpoint' / 'model.safetensors')}"


def _key_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(b"key", b"").decode()
