"""Finished runs: the stored predictions of every fold and seed, joined with the true labels by utterance id.

Every score starts here. A missing, repeated or unknown id is an error that names it; a score is never computed from
fewer utterances than the protocol tests.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merkit.core import lookup
from merkit.core.errors import ManifestError, MerkitError
from merkit.core.phrases import listed
from merkit.core.protocol import Fold, Protocol, ProtocolSpec, Target
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.corpus.tables import SUFFIXES
from merkit.data.toml import parse_toml
from merkit.evaluation.task import Task, task_of
from merkit.evaluation.true_labels import true_labels
from merkit.io.cell_record import BY_EPOCH, HISTORY, PREDICTIONS, RECORD, damaged_parts, read_record
from merkit.io.predictions import PROBABILITY
from merkit.io.provenance import (
    PROVENANCE,
    RECIPE,
    check_recipe_file,
    check_run_format,
    read_provenance,
    train_command,
)
from merkit.metrics.classification import confusion, grouped_confusion
from merkit.metrics.multi_label import grouped_label_counts, label_counts, metrics_of, multi_hot

_SHOWN = 5  # ids named in an error


@dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """Predictions and true labels of one split of one cell, ordered by utterance id.

    ``labels`` and ``predictions`` are class numbers ``[utterances]``; of a multi-label protocol 1 for each label that
    an utterance has, else 0: ``[utterances, classes]``.
    """

    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    """``[utterances, classes]``"""

    @property
    def targets(self) -> dict[str, Target]:
        """The true class number, or numbers, of each utterance."""
        rows: Sequence[Any] = self.labels.tolist()
        if self.labels.ndim == 2:
            rows = [tuple(number for number, has in enumerate(row) if has) for row in rows]
        return dict(zip(self.ids, rows, strict=True))


@dataclass(frozen=True, eq=False)
class StoredCell:
    """Result of one fold and one seed."""

    folder: Path
    fold: str
    seed: int
    facts: Mapping[str, Any]
    """``cell.json``"""
    splits: Mapping[str, LabelledPredictions]
    """``valid``, ``test`` and, where stored, ``train``."""
    by_epoch: Mapping[int, LabelledPredictions]
    """Test predictions of every epoch, where the run kept them."""
    history: Sequence[Mapping[str, Any]]
    """Rows of ``history.jsonl``, one an epoch; empty for a model that is fitted in one go."""

    @property
    def selection(self) -> str:
        """The rule that selected the reported epoch; ``none`` for a model that is fitted without epochs."""
        return str(self.facts["selection"]) if self.facts["epochs_run"] else "none"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: the results of all seeds and folds, seeds first, folds within."""

    path: Path
    model: str
    protocol_name: str
    protocol: Protocol
    recipe: Mapping[str, Any]
    provenance: Mapping[str, Any]
    manifest: Manifest
    """The data that it was trained on."""
    seeds: tuple[int, ...]
    folds: tuple[str, ...]
    cells: tuple[StoredCell, ...]

    @property
    def selection(self) -> str:
        """The rule that selected the reported epoch; ``none`` for a model that is fitted without epochs."""
        return self.cells[0].selection

    @cached_property
    def task(self) -> Task:
        """What the run was asked to predict."""
        spec: ProtocolSpec = lookup.load("protocols", self.recipe["protocol"])
        options = spec.options.model_validate(self.recipe.get("options", {}))
        path = Path(self.provenance["data"]["path"])
        own = path.stem if path.suffix.lower() in SUFFIXES else path.name
        corpus = own if self.manifest.info.name == "table" else self.manifest.info.name
        return task_of(self.protocol_name, self.protocol, options, self.manifest, corpus)

    @cached_property
    def cluster_of(self) -> dict[str, str]:
        """Conversation or speaker of an utterance, by id: what the protocol resamples."""
        return {utterance.id: str(getattr(utterance, self.protocol.cluster)) for utterance in self.manifest.utterances}

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters that hold test utterances, sorted."""
        return tuple(sorted({self.cluster_of[id_] for cell in self.cells for id_ in cell.splits["test"].ids}))

    @property
    def metrics(self) -> Mapping[str, Callable[[Any], npt.NDArray[np.float64]]]:
        """Functions of ``counts`` by the names of metrics."""
        return metrics_of(multi_label=self.protocol.multi_label)

    def matrix(self, split: LabelledPredictions) -> npt.NDArray[np.int64]:
        """Return the counts of a split: the confusion matrix ``[classes, classes]``; of a multi-label protocol those
        of each label, ``[classes, 4]``.
        """
        if self.protocol.multi_label:
            return label_counts(split.labels, split.predictions)
        return confusion(split.labels, split.predictions, len(self.protocol.labels))

    @cached_property
    def counts(self) -> npt.NDArray[np.integer]:
        """Counts of the test splits like those of `matrix`, ``[clusters, seeds, folds, classes, …]``."""
        return self.count([cell.splits["test"] for cell in self.cells])

    def count(self, tests: Sequence[LabelledPredictions]) -> npt.NDArray[np.integer]:
        """Return confusion counts like `counts` of other predictions, one table for each cell in the order of
        ``cells``.
        """
        numbers = {name: number for number, name in enumerate(self.clusters)}
        matrices = []
        for test in tests:
            groups = np.array([numbers[self.cluster_of[id_]] for id_ in test.ids])
            if self.protocol.multi_label:
                counts = grouped_label_counts(test.labels, test.predictions, groups, len(numbers))
            else:
                classes = len(self.protocol.labels)
                counts = grouped_confusion(test.labels, test.predictions, groups, len(numbers), classes)
            # the smallest type that holds them and their differences: a million clusters of one utterance are large
            matrices.append(counts.astype(np.min_scalar_type(-1 - int(counts.max()))))
        shape = (len(numbers), len(self.seeds), len(self.folds), *matrices[0].shape[1:])
        return np.stack(matrices, axis=1).reshape(shape)


def open_run(run: Path, data: Path | None = None) -> Run:
    """Read every cell of a run and join its predictions with the true labels.

    The seeds are those of the run's recipe; further seeds of an earlier call are ignored.

    Args:
        run: The run's folder.
        data: Where the manifest lies now, if not where it lay in training.

    Raises:
        MerkitError: A cell or the data is missing, the data is not what the run was trained on, or stored predictions
            do not cover exactly what the protocol asks for.
    """
    if not (run / PROVENANCE).exists() and not (run / RECIPE).exists():
        raise MerkitError(f"{run}: no {RECIPE} found, so this is not a run; give the folder that `merkit train` wrote")
    recipe, provenance = _read_run(run)
    spec: ProtocolSpec = lookup.load("protocols", recipe["protocol"])
    # Partial data is fine here: training accepted these counts, and the data's hash is checked against training's.
    protocol = spec.build(spec.options.model_validate(recipe.get("options", {})), True)
    manifest = _read_data(run, provenance["data"], data)
    truth = true_labels(protocol, manifest.utterances)
    seeds = tuple(range(recipe["seeds"]))
    folds = {seed: protocol.folds(manifest.utterances, seed) for seed in seeds}
    folders = {run / f"fold-{fold.name}" / f"seed-{seed}": (fold, seed) for seed in seeds for fold in folds[seed]}
    _check_finished(run, folders, seeds)
    _check_intact(run, folders, provenance)
    cells = tuple(_read_cell(folder, fold, seed, protocol, truth) for folder, (fold, seed) in folders.items())
    rules = sorted({cell.selection for cell in cells})
    if len(rules) > 1:
        raise MerkitError(
            f"{run}: epochs were selected by {' and '.join(rules)}; one rule expected for all folds and seeds"
        )
    return Run(
        path=run,
        model=lookup.name_of("models", recipe["model"]),
        protocol_name=lookup.name_of("protocols", recipe["protocol"]),
        protocol=protocol,
        recipe=recipe,
        provenance=provenance,
        manifest=manifest,
        seeds=seeds,
        folds=tuple(fold.name for fold in folds[seeds[0]]),
        cells=cells,
    )


def join(
    table: pa.Table, protocol: Protocol, truth: Mapping[str, Target], expected: Collection[str], where: str
) -> LabelledPredictions:
    """Join predictions of exactly the expected utterances with their true labels.

    Args:
        table: Rows of stored predictions.
        protocol: Its classes are found.
        truth: Class numbers by utterance id.
        expected: The ids that the table must hold, each once, and no other.
        where: Names the table, for errors.

    Raises:
        MerkitError: Other classes, a missing, repeated or unknown id, or a row that is no distribution.
    """
    labels = protocol.labels
    columns = [name for name in table.column_names if name.startswith(PROBABILITY)]
    if columns != [PROBABILITY + label for label in labels]:
        shown = ", ".join(name.removeprefix(PROBABILITY) for name in columns)
        raise MerkitError(f"{where}: probabilities of {shown} found, the protocol's classes are {', '.join(labels)}")
    table = table.sort_by("id")
    ids = table.column("id").to_pylist()
    known = set(expected)
    if repeated := [id_ for id_, times in Counter(ids).items() if times > 1]:
        raise MerkitError(f"{where}: {listed(repeated, _SHOWN)} predicted more than once")
    if missing := sorted(known.difference(ids)):
        raise MerkitError(
            f"{where}: {listed(missing, _SHOWN)} without a prediction, of {len(known)} expected; predict them too"
        )
    if unknown := sorted(set(ids) - known):
        raise MerkitError(
            f"{where}: {listed(unknown, _SHOWN)} predicted, but not in this split of the fold; was the data changed?"
        )
    numbers = {label: number for number, label in enumerate(labels)}
    probabilities = np.stack([table.column(name).to_numpy() for name in columns], axis=1).astype(np.float64)
    if protocol.multi_label:
        given = [[numbers.get(name, -1) for name in row or ()] for row in _label_lists(table, where)]
        if wrong := [id_ for id_, row in zip(ids, given, strict=True) if -1 in row]:
            raise MerkitError(f"{where}: '{wrong[0]}' has a label that is none of the protocol's; predict again")
        found = LabelledPredictions(
            ids=tuple(ids),
            labels=multi_hot([truth[id_] for id_ in ids], len(labels)),
            predictions=multi_hot(given, len(labels)),
            probabilities=probabilities,
        )
        _check_range(found, where)
        return found
    joined = LabelledPredictions(
        ids=tuple(ids),
        labels=np.array([truth[id_] for id_ in ids], dtype=np.int64),
        predictions=np.array([numbers.get(name, -1) for name in table.column("label").to_pylist()], dtype=np.int64),
        probabilities=probabilities,
    )
    _check_probabilities(joined, where)
    return joined


def _read_data(run: Path, trained_on: Mapping[str, Any], folder: Path | None) -> Manifest:
    """Return the manifest that a run was trained on."""
    folder = folder or Path(trained_on["path"])
    if not folder.exists():
        raise MerkitError(f"{run}: its data is no longer at {folder}; give its folder with --data")
    manifest = read_manifest(folder)
    if trained_on["sha256"] != manifest.sha256:
        raise ManifestError(
            f"{run}: trained on data {trained_on['sha256'][:12]}, but {manifest.root} holds {manifest.sha256[:12]};"
            " prepare the same version of the corpus or train again"
        )
    return manifest


def _read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a run's recipe and provenance."""
    name = PROVENANCE
    try:
        provenance = read_provenance(run)
        name = RECIPE
        check_run_format(run, provenance)
        check_recipe_file(run, provenance)
        recipe = parse_toml((run / RECIPE).read_text(encoding="utf-8"))
        if not isinstance(recipe["seeds"], int) or not isinstance(recipe["protocol"], str):
            raise ValueError("it names no seeds and protocol")
        return recipe, provenance
    except (OSError, ValueError, KeyError) as error:
        raise MerkitError(
            f"{run}: {name} is damaged or missing ({error}). Make it again with: {train_command(run)}"
        ) from error


def _check_finished(run: Path, expected: Collection[Path], seeds: Sequence[int]) -> None:
    """Check that the cells of the seeds are finished, and no others are stored."""
    stored = {path.parent for path in run.glob(f"fold-*/seed-*/{RECORD}")}
    if not stored:
        raise MerkitError(f"{run}: no finished fold-*/seed-*/ found; finish it with: {train_command(run)}")
    if missing := [folder for folder in expected if folder not in stored]:
        raise MerkitError(f"{run}: {_cells(missing)} not finished; finish with: {train_command(run)}")
    names = {f"seed-{seed}" for seed in seeds}
    if unknown := sorted(folder for folder in stored.difference(expected) if folder.name in names):
        raise MerkitError(
            f"{run}: {_cells(unknown)} found, which the protocol does not have; was the run made with another version?"
        )


def _check_intact(run: Path, cells: Mapping[Path, tuple[Fold, int]], provenance: Mapping[str, Any]) -> None:
    """Check that the files of all cells are those that training wrote."""
    damaged = []
    for folder, (fold, seed) in cells.items():
        try:
            facts = read_record(folder)
            here = {"fold": fold.name, "seed": seed, "recipe_sha256": provenance.get("recipe_sha256")}
            here["data_sha256"] = provenance["data"]["sha256"]
            if any(facts.get(name, value) != value for name, value in here.items()):
                raise ValueError("it is another cell's")
            names = damaged_parts(folder, facts, with_checkpoint=False)
        except (OSError, ValueError):
            names = [RECORD]
        damaged += [str((folder / name).relative_to(run)) for name in names]
    if damaged:
        raise MerkitError(
            f"{run}: {listed(damaged, _SHOWN)} damaged or missing. Make {'them' if damaged[1:] else 'it'} again with: "
            f"{train_command(run)}"
        )


def _cells(folders: Sequence[Path]) -> str:
    names = [(folder.parent.name.removeprefix("fold-"), folder.name.removeprefix("seed-")) for folder in folders]
    return listed([f"fold {fold} seed {seed}" for fold, seed in names], _SHOWN)


def _read_cell(folder: Path, fold: Fold, seed: int, protocol: Protocol, truth: Mapping[str, Target]) -> StoredCell:
    path, of_epochs = folder / PREDICTIONS, folder / BY_EPOCH
    table = pq.read_table(path)
    expected = {"train": fold.train, "valid": fold.valid, "test": fold.test}
    if "train" not in table.column("split").to_pylist():
        del expected["train"]
    splits = {
        split: join(table.filter(pc.field("split") == split), protocol, truth, ids, f"{path} ({split})")
        for split, ids in expected.items()
    }
    by_epoch = {}
    if of_epochs.is_file():
        table = pq.read_table(of_epochs)
        for epoch in sorted(table.column("epoch").unique().to_pylist()):
            rows = table.filter(pc.field("epoch") == epoch)
            by_epoch[epoch] = join(rows, protocol, truth, fold.test, f"{of_epochs} (epoch {epoch})")
    history = folder / HISTORY
    rows_of_history = history.read_text(encoding="utf-8").splitlines() if history.is_file() else []
    return StoredCell(
        folder=folder,
        fold=fold.name,
        seed=seed,
        facts=read_record(folder),
        splits=splits,
        by_epoch=by_epoch,
        history=[json.loads(row) for row in rows_of_history],
    )


def _label_lists(table: pa.Table, where: str) -> list[list[str] | None]:
    if "labels" not in table.column_names:
        raise MerkitError(f"{where}: no column 'labels', which predictions of several labels have; predict again")
    lists: list[list[str] | None] = table.column("labels").to_pylist()
    return lists


def _check_range(joined: LabelledPredictions, where: str) -> None:
    fine = ((joined.probabilities >= 0) & (joined.probabilities <= 1)).all(axis=1)
    if not fine.all():
        wrong = joined.ids[int(np.flatnonzero(~fine)[0])]
        raise MerkitError(f"{where}: '{wrong}' has a probability that is not between 0 and 1; predict again")


def _check_probabilities(joined: LabelledPredictions, where: str) -> None:
    # 1e-3 and 1e-6: probabilities may have been stored in half or single precision.
    predictions, probabilities = joined.predictions, joined.probabilities
    sums = np.abs(probabilities.sum(axis=1) - 1.0) < 1e-3
    largest = probabilities[np.arange(len(predictions)), predictions]
    fine = sums & (probabilities >= 0).all(axis=1) & (predictions >= 0) & (largest >= probabilities.max(axis=1) - 1e-6)
    if not fine.all():
        wrong = joined.ids[int(np.flatnonzero(~fine)[0])]
        raise MerkitError(f"{where}: '{wrong}' has no distribution whose largest value is its label's; predict again")
