"""The checkpoints of a finished run, asked again: answers made once, kept beside the run's own, and scored like them.

Answers are kept without labels, under a key of the cell's inputs and settings and its very weights. True classes are
put beside them here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest
from merkit.data.dataset import Dataset, items_of
from merkit.data.features.sources import open_sources
from merkit.data.files import file_hash
from merkit.evaluation.scores import Counts, FloatArray, mean_over_seeds, resampled
from merkit.evaluation.stored import LabelledPredictions, Run, StoredCell, join
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import write_table
from merkit.metrics.classification import FROM_CONFUSION
from merkit.metrics.intervals import percentile_interval

Figures = Mapping[str, Mapping[str, Any]]
"""By metric ``mean``, ``std`` (over seeds) and ``interval``, as in ``scores.json``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one figure lies above another, and the 95 % interval of that over clusters."""

    mean: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Replay:
    """A cell's checkpoint beside the data that it is asked about."""

    cell: StoredCell
    recognizer: Recognizer
    manifest: Manifest
    members: Sequence[str]
    """Ids of the utterances that take part in the protocol, in the manifest's order."""
    features: Path
    progress: ProgressCallback | None

    def dataset(self, wanted: Collection[str]) -> Dataset:
        """Return the unlabelled items that hold the wanted utterances, with all modalities."""
        recognizer = self.recognizer
        turns = list(self.manifest.turns(self.members, *recognizer.reach))
        sources = open_sources(recognizer.encoders, turns, self.features, self.progress)
        level, with_texts = recognizer.spec.level, "texts" in recognizer.spec.inputs
        items = items_of(self.manifest, level, self.members, wanted, *recognizer.reach)
        return Dataset(items, sources, level, with_texts=with_texts, segments=recognizer.segments(turns))


def replay(
    run: Run,
    manifest: Manifest,
    file: str,
    answer: Callable[[Replay], pa.Table],
    *,
    told: str,
    settings: str = "",
    features: Path | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Have every cell answered and keep the answers in its folder, unless they are there already.

    Args:
        run: A finished run of the manifest.
        manifest: Where its inputs are.
        file: Name of the file of answers.
        answer: Makes a cell's answers, without labels.
        told: What is made, for ``progress``.
        settings: What else decides the answers: others are made anew.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        progress: Told how many cells are done.

    Raises:
        MerkitError: A checkpoint or an input cannot be read.
    """
    members = [utterance.id for utterance in run.protocol.members(manifest.utterances)]
    store = manifest.root / "features" if features is None else features
    for number, cell in enumerate(run.cells):
        folder = folder_of(run, cell)
        key = " ".join(filter(None, [_key(cell, folder), settings]))
        if _key_of(folder / file) != key:
            recognizer = Recognizer.load(folder / "checkpoint", manifest.root)
            table = answer(Replay(cell, recognizer, manifest, members, store, progress))
            write_table(folder / file, table, {"key": key})
        if progress is not None:
            progress(f"{run.path.name}: {told}", number + 1, len(run.cells))


def replayed(run: Run, file: str) -> list[pa.Table]:
    """Return the answers of every cell, in the order of ``run.cells``."""
    return [pq.read_table(folder_of(run, cell) / file) for cell in run.cells]


def join_replayed(
    run: Run, tables: Sequence[pa.Table], file: str, column: str, value: str
) -> list[LabelledPredictions]:
    """Put true classes beside those answers of every cell's test part that have a value in a column.

    Raises:
        MerkitError: The answers do not cover exactly the test part.
    """
    parts = []
    for cell, table in zip(run.cells, tables, strict=True):
        test = cell.splits["test"]
        answers = dict(zip(test.ids, test.labels.tolist(), strict=True))
        rows = table.filter(pyarrow.compute.equal(table.column(column), value))
        where = f"{folder_of(run, cell) / file} ({value})"
        parts.append(join(rows, run.protocol.labels, answers, test.ids, where))
    return parts


def draw(run: Run, counts: Counts) -> dict[str, FloatArray]:
    """Return each metric's figure in every draw of the clusters, of counts like ``run.counts``."""
    return {name: resampled(FROM_CONFUSION[name], counts, run.protocol.pooled) for name in run.protocol.metrics}


def figures_of(run: Run, counts: Counts, draws: Mapping[str, FloatArray]) -> Figures:
    """Return mean, deviation over seeds and interval by metric, of counts like ``run.counts`` and their draws."""
    total = counts.sum(axis=0)
    figures = {}
    for name in run.protocol.metrics:
        mean = mean_over_seeds(FROM_CONFUSION[name], run.protocol.pooled)
        by_seed = np.array([float(mean(total[seed : seed + 1])) for seed in range(len(total))])
        figures[name] = {
            "mean": float(by_seed.mean()),
            "std": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else 0.0,
            "interval": percentile_interval(draws[name]),
        }
    return figures


def folder_of(run: Run, cell: StoredCell) -> Path:
    """Return where a cell's files lie."""
    return run.path / f"fold-{cell.fold}" / f"seed-{cell.seed}"


def _key(cell: StoredCell, folder: Path) -> str:
    """Return what decides the answers: the cell's inputs and settings, and its very weights."""
    return f"{cell.facts['key']} {file_hash(folder / 'checkpoint' / 'model.safetensors')}"


def _key_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(b"key", b"").decode()
