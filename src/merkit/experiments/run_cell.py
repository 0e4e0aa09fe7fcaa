"""Run one cell: from a recipe to a checkpoint and stored predictions."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder, reach
from merkit.core.model import FittedModel, Model, reads_views
from merkit.core.progress import ProgressCallback, Share
from merkit.core.types import Prediction, Turn
from merkit.data.dataset import Dataset, SegmentTier, items_of, load, ordered_batches
from merkit.data.features.sources import FeatureSource, open_sources, open_store
from merkit.data.files import atomic_path
from merkit.data.segments.store import describe_alignment, open_segments
from merkit.data.views import Views
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.cell import Cell
from merkit.experiments.extractors import UnseenSource
from merkit.experiments.resume import BY_EPOCH, clear, is_complete, keys_of, tidy
from merkit.experiments.teachers import teacher_answers
from merkit.experiments.views import Maker, PlannedView, open_views
from merkit.inference.recognizer import Recognizer
from merkit.io.card import model_card
from merkit.io.checkpoint import (
    CheckpointConfig,
    build_encoders,
    build_model,
    check_encoders,
    name_hash,
    read_trained_on,
    save_checkpoint,
)
from merkit.io.predictions import predictions_table, write_table
from merkit.io.provenance import peak_memory_bytes
from merkit.metrics.classification import METRICS
from merkit.nn.losses import IGNORED, build_criterion
from merkit.training.loop import EpochCallback, Trained, train
from merkit.training.seeding import derived_seed, seed_torch

_log = logging.getLogger(__name__)


def run_cell(
    cell: Cell,
    provenance: Mapping[str, Any],
    accelerator: Accelerator,
    progress: ProgressCallback | None,
    share: Share,
) -> None:
    """Train and predict one cell, unless it is complete; a killed cell resumes after its last finished epoch.

    ``share`` is the cell's share of its run, for ``progress``.
    """
    started = time.perf_counter()
    recipe = cell.recipe
    seed_torch(derived_seed(cell.seed, "encoders"))  # not what the process drew before: that differs once it was killed
    checkpoints = {modality: stage.checkpoint for modality, stage in cell.extractors.items()}
    encoders = build_encoders(recipe.encoders, cell.manifest.root, None, checkpoints)
    check_encoders(recipe.model, recipe.config, encoders)  # before the work of extraction
    around = reach(encoders.values())
    turns = list(cell.manifest.turns(cell.members, *around))
    segments = open_segments(recipe.config.segments(), turns, cell.manifest.root)
    with accelerator.main_process_first():
        for encoder in encoders.values():
            encoder.to(accelerator.device)
        sources = open_sources(encoders, turns, cell.features, progress)
    maker, planned = _planned(cell)
    key, *others = keys_of(cell, encoders, sources, segments, maker, planned)
    if any(is_complete(cell.folder, known) for known in (key, *others)):
        _log.info("%s: complete", cell.name)
        if accelerator.is_main_process:
            tidy(cell.folder)
        return
    if accelerator.is_main_process:
        clear(cell.folder, key)
    accelerator.wait_for_everyone()

    with accelerator.main_process_first():
        unseen = _unseen(cell, encoders, turns, accelerator, progress)
        teacher = teacher_answers(cell, progress) if cell.teachers else None
        views = None if maker is None else _views(cell, maker, planned, encoders, turns, progress)
    parts = {name: _dataset(cell, sources, segments, ids, around) for name, ids in cell.splits.items()}
    training = replace(
        parts["train"], labels=cell.fold.train, sources={**sources, **unseen}, views=views, teacher=teacher
    )
    for modality, encoder in encoders.items():
        encoder.fit(training.arrays(modality))
    seed_torch(derived_seed(cell.seed, "weights"))
    model = build_model(recipe.model, recipe.config, encoders, len(cell.protocol.labels))
    config = CheckpointConfig(recipe.model, recipe.config, cell.protocol.labels, recipe.encoders, recipe.protocol.name)
    if isinstance(model, FittedModel):
        trained = _fit(model, training, cell)
    else:
        on_epoch = partial(_report_epoch, cell, progress, share)
        trained = _train(model, training, parts, config, cell, accelerator, on_epoch)
    if accelerator.is_main_process:
        model.cpu()
        checkpoint = cell.folder / "checkpoint"
        provenance = {
            **provenance,
            "encoders": {modality: dict(encoder.describe()) for modality, encoder in encoders.items()},
            "trained_on": _trained_on(cell),
        }
        request = recipe.config.segments()
        if request is not None:
            provenance["alignment"] = describe_alignment(request, cell.manifest.root)
        save_checkpoint(checkpoint, model, config, provenance, model_card(config, model, recipe.model, provenance))
        _write_predictions(cell, Recognizer.load(checkpoint, cell.manifest.root), parts, trained)
        facts = {
            "fold": cell.fold.name,
            "seed": cell.seed,
            "epoch": trained.epoch,
            "epochs_run": trained.epochs_run,
            "selection": cell.protocol.selection,
            "seconds": trained.seconds,
            "seconds_with_prediction": time.perf_counter() - started,
            "peak_memory_bytes": peak_memory_bytes(),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "key": key,
        }
        with atomic_path(cell.folder / "cell.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=2))
        tidy(cell.folder)
    accelerator.wait_for_everyone()


def _dataset(
    cell: Cell,
    sources: Mapping[str, FeatureSource],
    segments: Mapping[str, SegmentTier],
    ids: Sequence[str],
    around: tuple[int, int],
) -> Dataset:
    """Return one part without labels; the training part gets its own later, the test part never does."""
    spec = cell.recipe.model
    items = items_of(cell.manifest, spec.level, cell.members, ids, *around)
    return Dataset(items, sources, spec.level, with_texts="texts" in spec.inputs, segments=segments)


def _unseen(
    cell: Cell,
    encoders: Mapping[str, Encoder],
    turns: Sequence[Turn],
    accelerator: Accelerator,
    progress: ProgressCallback | None,
) -> dict[str, UnseenSource]:
    """Return the cross-fitted sources that downstream model learns from; extracts first what their stores lack."""
    found = {}
    for modality, stage in cell.extractors.items():
        choice = {modality: cell.recipe.encoders[modality]}
        by_conversation: dict[str, FeatureSource] = {}
        for checkpoint in dict.fromkeys(stage.unseen.values()):
            members = {name for name, unseen in stage.unseen.items() if unseen == checkpoint}
            part = build_encoders(choice, cell.manifest.root, None, {modality: checkpoint})
            part[modality].to(accelerator.device)
            held = [turn for turn in turns if turn.utterance.conversation in members]
            open_sources(part, held, cell.features, progress)
            source = FeatureSource(encoders[modality], open_store(part[modality], cell.features))
            by_conversation |= dict.fromkeys(members, source)
        if by_conversation:
            found[modality] = UnseenSource(encoders[modality], by_conversation)
    return found


def _planned(cell: Cell) -> tuple[Maker | None, list[PlannedView]]:
    """Return who makes the augmented views of a cell's training part, and which; nobody where no model reads any."""
    recipe = cell.recipe
    if recipe.views is None or not reads_views(recipe.model, recipe.config):
        return None, []
    maker = Maker(recipe.views, cell.manifest)
    return maker, maker.plan(cell.fold)


def _views(
    cell: Cell,
    maker: Maker,
    planned: Sequence[PlannedView],
    encoders: Mapping[str, Encoder],
    turns: Sequence[Turn],
    progress: ProgressCallback | None,
) -> Views:
    """Return the views of the training part; makes and extracts first what is not there yet."""
    made = maker.make(planned, {turn.utterance.id: turn for turn in turns}, progress)
    return open_views(made, encoders, cell.features, progress)


def _trained_on(cell: Cell) -> dict[str, Any]:
    """Return which utterances a cell's model has learned from, those of its feature extractor included."""
    learned = {name_hash(utterance) for utterance in cell.fold.train}
    for _, config in cell.recipe.encoders.values():
        if isinstance(config, ExtractorConfig) and config.checkpoint is not None:
            learned |= read_trained_on(Path(config.checkpoint))
    return {"fold": cell.fold.name, "seed": cell.seed, "utterances": " ".join(sorted(learned))}


def _class_counts(labels: Iterable[int], classes: int) -> list[int]:
    return [int(count) for count in np.bincount(list(labels), minlength=classes)]


def _fit(model: FittedModel, training: Dataset, cell: Cell) -> Trained:
    started = time.perf_counter()
    model.fit(load(training, ordered_batches(training.lengths(), 512)), cell.seed)
    model.eval()
    return Trained(epoch=0, epochs_run=0, seconds=time.perf_counter() - started, history=())


def _train(
    model: Model,
    training: Dataset,
    parts: Mapping[str, Dataset],
    config: CheckpointConfig,
    cell: Cell,
    accelerator: Accelerator,
    on_epoch: EpochCallback,
) -> Trained:
    recipe, fold = cell.recipe, cell.fold
    counts = _class_counts(fold.train.values(), len(cell.protocol.labels))
    model.criterion = build_criterion(
        kind=recipe.loss.kind,
        class_counts=counts,
        class_weights=recipe.loss.class_weights,
        label_smoothing=recipe.loss.label_smoothing,
        prior_exponent=recipe.loss.prior_exponent,
    ).to(accelerator.device)
    recognizer = Recognizer(model, config)
    truth = np.array(list(fold.valid.values()))
    seconds = recipe.training.batch_seconds

    def measure(_: Model) -> dict[str, float]:
        if model.fits_on_validation:
            outputs = recognizer.outputs(parts["valid"], batch_seconds=seconds)
            model.fit_on_validation(_labelled(outputs, fold.valid))
        answers = recognizer.predict_dataset(parts["valid"], batch_seconds=seconds)
        predictions = _of(answers, list(fold.valid))
        guesses = np.array([config.labels.index(prediction.label) for prediction in predictions])
        figures = {name: METRICS[name](truth, guesses, len(config.labels)) for name in cell.protocol.metrics}
        return {**figures, "loss": _negative_log_likelihood(predictions, [config.labels[label] for label in truth])}

    def listen(_: Model, row: Mapping[str, Any]) -> None:
        names = ("loss", *cell.protocol.metrics[:2])  # all of them are in history.jsonl
        valid = ", ".join(f"{name} {row['valid'][name]:.3f}" for name in names)
        _log.debug("%s epoch %d: loss %.3f, validation %s", cell.name, row["epoch"], row["loss"]["total"], valid)
        if cell.legacy_best_on_test and accelerator.is_main_process:
            predictions = _of(recognizer.predict_dataset(parts["test"], batch_seconds=seconds), fold.test)
            table = predictions_table(predictions, config.labels, split="test", epoch=row["epoch"])
            write_table(cell.folder / BY_EPOCH / f"{row['epoch']:05d}.parquet", table)

    return train(
        model,
        training,
        recipe.training,
        seed=cell.seed,
        folder=cell.folder,
        measure=measure,
        metric=cell.protocol.metrics[0],
        selection=cell.protocol.selection,
        accelerator=accelerator,
        listener=listen,
        on_epoch=on_epoch,
        teacher_weight=1.0 if recipe.teacher is None else recipe.teacher.config.weight,
    )


def _report_epoch(cell: Cell, progress: ProgressCallback | None, share: Share, done: int, best: float | None) -> None:
    epochs = cell.recipe.training.epochs
    score = "" if best is None else f", best {cell.protocol.metrics[0]} {best:.3f}"
    note = f"fold {cell.fold.name}, seed {cell.seed}, epoch {done}/{epochs}{score}"
    share.report(progress, done, epochs, note)


def _labelled(
    outputs: Iterable[tuple[Batch, ModelOutput]], labels: Mapping[str, int]
) -> Iterator[tuple[ModelOutput, torch.Tensor]]:
    """Put class numbers ``[*batch]`` beside a model's outputs; -100 where there is none."""
    for batch, output in outputs:
        numbers = torch.full(batch.mask.shape, IGNORED)
        numbers[batch.mask] = torch.tensor([labels.get(name, IGNORED) for name in batch.ids])
        yield output, numbers


def _negative_log_likelihood(predictions: Sequence[Prediction], truth: Sequence[str]) -> float:
    """Return the mean of -log p(true class), in nats; a probability that rounds to 0 counts as the smallest number."""
    likelihoods = [p.probabilities[label] for p, label in zip(predictions, truth, strict=True)]
    return -float(np.log(np.maximum(likelihoods, np.finfo(np.float64).tiny)).mean())


def _write_predictions(cell: Cell, recognizer: Recognizer, parts: Mapping[str, Dataset], trained: Trained) -> None:
    metadata = {
        "epoch": str(trained.epoch),
        "selection": cell.protocol.selection,
        "fold": cell.fold.name,
        "seed": str(cell.seed),
    }
    tables = []
    for name, ids in cell.splits.items():
        seconds = cell.recipe.training.batch_seconds
        predictions = _of(recognizer.predict_dataset(parts[name], batch_seconds=seconds), ids)
        tables.append(predictions_table(predictions, recognizer.labels, split=name))
    write_table(cell.folder / "predictions.parquet", pa.concat_tables(tables), metadata)
    by_epoch = sorted((cell.folder / BY_EPOCH).glob("*.parquet"))
    if by_epoch:
        table = pa.concat_tables([pq.read_table(path) for path in by_epoch])
        write_table(cell.folder / "predictions-by-epoch.parquet", table, metadata)


def _of(predictions: Iterable[Prediction], ids: Sequence[str]) -> list[Prediction]:
    """Return the predictions of these utterances in this order; a conversation's others were context."""
    found = {prediction.id: prediction for prediction in predictions}
    return [found[utterance] for utterance in ids]
