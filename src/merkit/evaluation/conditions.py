"""Test scores of a finished run under other conditions: predict once from its checkpoints, keep, score.

Subsets of modalities, other columns of texts and linear probes share these steps. Predictions are kept without labels
in the cell's folder, under a key of the cell's inputs, its settings and the hash of its weights; true labels are joined
here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from merkit.core.errors import MerkitError
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest
from merkit.data.dataset import Dataset, items_of
from merkit.data.features.sources import open_sources
from merkit.data.files import file_hash
from merkit.evaluation.scores import Counts, Difference, Scores, difference, scores_of
from merkit.evaluation.stored import Run, StoredCell, join
from merkit.inference.recognizer import Recognizer
from merkit.io.cell_record import damaged_parts
from merkit.io.predictions import predictions_table, read_stamped_table, write_stamped_table
from merkit.io.provenance import train_command


@dataclass(frozen=True, slots=True)
class Condition:
    """Test scores of a run under one condition."""

    name: str
    """Modalities that are present, such as ``text+audio``, or the column of texts that is read."""
    scores: Scores
    drops: Mapping[str, Difference]
    """By metric, how much lower the score is than in the condition of training; empty for that condition itself."""
    missing: int | None = None
    """Test utterances without a text in the column; ``None`` where texts are not the condition."""


@dataclass(frozen=True)
class LoadedCell:
    """A cell's checkpoint and the inputs to predict from."""

    cell: StoredCell
    recognizer: Recognizer
    manifest: Manifest
    members: Sequence[str]
    """Ids of the utterances of the protocol, in the manifest's order."""
    features: Path
    progress: ProgressCallback | None

    def dataset(self, wanted: Collection[str]) -> Dataset:
        """Return the unlabelled items that hold the wanted utterances, with all modalities."""
        recognizer = self.recognizer
        turns = list(self.manifest.turns(self.members, *recognizer.reach))
        level, with_texts = recognizer.spec.level, "texts" in recognizer.spec.inputs
        items = items_of(turns, level, wanted)
        # an encoder that compares speakers reads all that they say
        read = turns if recognizer.compares_speakers else [turn for item in items for turn in item]
        sources = open_sources(recognizer.encoders, read, self.features, self.progress)
        return Dataset(items, sources, level, with_texts=with_texts, segments=recognizer.segments(turns))

    def test_predictions(self, changes: Mapping[str, Callable[[Dataset], Dataset]], column: str) -> pa.Table:
        """Return predictions of the test split from each changed dataset; ``column`` holds the name of the change."""
        wanted = set(self.cell.splits["test"].ids)
        dataset = self.dataset(wanted)
        tables = []
        for name, change in changes.items():
            predictions = self.recognizer.predict_dataset(change(dataset))
            kept = [prediction for prediction in predictions if prediction.id in wanted]
            recognizer = self.recognizer
            table = predictions_table(kept, recognizer.labels, None, recognizer.multi_label, **{column: name})
            tables.append(table)
        return pa.concat_tables(tables)


def predict_once(
    run: Run,
    file: str,
    predict: Callable[[LoadedCell], pa.Table],
    *,
    description: str,
    settings: str = "",
    features: Path | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Predict with every cell's checkpoint and store the predictions in its folder, unless they are stored already.

    Args:
        run: A finished run; its manifest holds the inputs.
        file: Name of the file of predictions, which its hash and ``.parquet`` follow.
        predict: Makes a cell's predictions, without labels.
        description: What is predicted, for ``progress``.
        settings: What else decides the predictions: where it differs they are made anew.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        progress: Called with the number of finished cells.

    Raises:
        MerkitError: A checkpoint or an input cannot be read.
    """
    manifest = run.manifest
    members = [utterance.id for utterance in run.protocol.members(manifest.utterances)]
    store = manifest.root / "features" if features is None else features
    for number, cell in enumerate(run.cells):
        if damaged := damaged_parts(cell.folder, cell.facts, with_checkpoint=True):
            names = ", ".join(damaged)
            raise MerkitError(f"'{cell.folder}': {names} damaged or missing. Repair with: {train_command(run.path)}")
        weights = file_hash(cell.folder / "checkpoint" / "model.safetensors")
        key = " ".join(filter(None, [cell.facts["key"], weights, settings]))
        stored = read_stamped_table(cell.folder, file)
        if stored is None or (stored.schema.metadata or {}).get(b"key", b"").decode() != key:
            recognizer = Recognizer.load(cell.folder / "checkpoint", manifest.root)
            table = predict(LoadedCell(cell, recognizer, manifest, members, store, progress))
            write_stamped_table(cell.folder, file, table, {"key": key})
        if progress is not None:
            progress(f"{run.path.name}: {description}", number + 1, len(run.cells))


def stored_counts(run: Run, file: str, column: str) -> dict[str, Counts]:
    """Return confusion counts like ``run.counts`` of stored predictions, by the values of a column.

    Raises:
        MerkitError: The predictions of a value do not cover exactly the test split.
    """
    tables = [_stored(cell, file) for cell in run.cells]
    counts = {}
    for value in tables[0].column(column).unique().to_pylist():
        joined = []
        for cell, table in zip(run.cells, tables, strict=True):
            test, rows = cell.splits["test"], table.filter(pc.field(column) == value)
            where = f"{cell.folder / file}-….parquet ({value})"
            joined.append(join(rows, run.protocol, test.targets, test.ids, where))
        counts[value] = run.count(joined)
    return counts


def compare_conditions(run: Run, trained: str, file: str, column: str) -> list[Condition]:
    """Return the scores of the run as trained, under the name ``trained``, and those of every stored condition.

    Raises:
        MerkitError: Stored predictions do not cover exactly the test split.
    """
    conditions = [Condition(trained, scores_of(run, run.counts), {})]
    for name, counts in stored_counts(run, file, column).items():
        drops = {
            metric: difference(run.metrics[metric], run.counts, counts, run.protocol.pooled)
            for metric in run.protocol.metrics
        }
        conditions.append(Condition(name, scores_of(run, counts), drops))
    return conditions


def _stored(cell: StoredCell, file: str) -> pa.Table:
    table = read_stamped_table(cell.folder, file)
    if table is None:
        raise MerkitError(f"'{cell.folder / file}-….parquet' was damaged while it was in use. Repeat the command")
    return table
