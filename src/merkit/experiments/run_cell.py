"""Train one cell: from a recipe to a checkpoint and stored predictions."""

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
from merkit.core.language import language_code
from merkit.core.model import FittedModel, Model
from merkit.core.progress import ProgressCallback, Share
from merkit.core.protocol import Target
from merkit.core.types import Prediction
from merkit.data.dataset import Dataset, items_of, load_batches, ordered_batches
from merkit.data.features.sources import open_sources
from merkit.data.segments import describe_alignment, open_segments
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.accelerator import open_accelerator, settled_precision
from merkit.experiments.cell import Cell
from merkit.experiments.resume import BY_EPOCH, clear, is_complete, key_of, tidy
from merkit.experiments.transform import Resources, TrainCell
from merkit.experiments.transforms.registry import transforms_of
from merkit.experiments.validation import fitted_thresholds, validation_scores
from merkit.inference.languages import has_foreign_words
from merkit.inference.recognizer import Recognizer
from merkit.io.card import model_card
from merkit.io.cell_record import BY_EPOCH as BY_EPOCH_TABLE
from merkit.io.cell_record import CHECKPOINT, PREDICTIONS, write_record
from merkit.io.checkpoint import CheckpointConfig, build_encoders, build_model, check_encoders, save_checkpoint
from merkit.io.predictions import predictions_table, write_stamped_table, write_table
from merkit.io.provenance import peak_memory_bytes
from merkit.io.trained_on import name_hash, read_trained_on
from merkit.metrics.multi_label import DEFAULT_THRESHOLD
from merkit.nn.losses import IGNORED, MultiLabelLoss, build_criterion
from merkit.training.loop import EpochCallback, train
from merkit.training.seeding import derived_seed
from merkit.training.state import TrainingProgress

_log = logging.getLogger(__name__)


def run_cell(
    cell: Cell,
    provenance: Mapping[str, Any],
    train_other: TrainCell,
    progress: ProgressCallback | None,
    share: Share,
    *,
    again: bool = False,
) -> None:
    """Train and predict one cell, unless it is complete; a killed cell resumes after its last finished epoch.

    Args:
        cell: The fold and seed.
        provenance: Of the run.
        train_other: Trains the cells of other models that the training-split transforms need.
        progress: Called during feature extraction and after every epoch.
        share: The cell's share of its run, for ``progress``.
        again: Train anew what other code made.

    Raises:
        MerkitError: Other code made the cell, and ``again`` is false; or the input cannot be used.
    """
    started = time.perf_counter()
    recipe = cell.recipe
    transforms = transforms_of(cell)
    for transform in transforms.values():
        transform.prepare(train_other)
    accelerator, precision = open_accelerator(recipe), settled_precision(recipe)
    torch.manual_seed(derived_seed(cell.seed, "encoders"))  # independent of what the process drew before
    encoders = build_encoders(recipe.encoders, cell.manifest.root, None, cell.extractors)
    check_encoders(recipe.model, recipe.config, encoders)  # before the work of extraction
    turns = list(cell.manifest.turns(cell.members, *reach(encoders.values())))
    segments = open_segments(recipe.config.segments(), turns, cell.manifest.root)
    with accelerator.main_process_first():
        for encoder in encoders.values():
            encoder.to(accelerator.device)
        began = time.perf_counter()
        sources = open_sources(encoders, turns, cell.features, progress)
        feature_seconds = time.perf_counter() - began
    key = key_of(cell, turns, encoders, segments, transforms)
    if is_complete(cell.folder, key, again=again):
        _log.info("%s, %s: complete", share.what, cell.name)
        if accelerator.is_main_process:
            tidy(cell.folder)
        return
    accelerator.wait_for_everyone()  # all have looked
    if accelerator.is_main_process:
        _warn_of_constant_speakers(cell, encoders)
        clear(cell.folder, key, [turn.utterance.id for turn in turns])
    accelerator.wait_for_everyone()

    spec = recipe.model  # the training split gets its labels below, the test split never does
    unlabelled = partial(
        Dataset, sources=sources, level=spec.level, with_texts="texts" in spec.inputs, segments=segments
    )
    datasets = {name: unlabelled(items_of(turns, spec.level, ids)) for name, ids in cell.splits.items()}
    labels, multi_label = cell.protocol.labels, cell.protocol.multi_label
    training = replace(datasets["train"], labels=cell.fold.train, label_count=len(labels) if multi_label else None)
    resources = Resources(encoders, accelerator.device, progress)
    with accelerator.main_process_first():
        for transform in transforms.values():
            training = transform.apply(training, resources)
    for modality, encoder in encoders.items():
        encoder.fit_average(training.arrays(modality, compared=False))
        encoder.fit(training.arrays(modality))
    torch.manual_seed(derived_seed(cell.seed, "weights"))
    model = build_model(spec, recipe.config, encoders, len(labels), multi_label=multi_label)
    config = CheckpointConfig(spec, recipe.config, labels, recipe.encoders, recipe.protocol.name)
    if "text" in config.reads:
        config = replace(config, languages=_languages(cell))
        _warn_of_foreign_words(cell, config.languages)
    if multi_label:
        config = replace(config, thresholds=(DEFAULT_THRESHOLD,) * len(labels))  # until training has ended
    if isinstance(model, FittedModel):
        trained = _fit(model.to(accelerator.device), training, cell, accelerator.device)
    else:
        if recipe.training.precision == "auto":
            what = "computes" if precision == "bf16" else "does not compute"
            device = accelerator.device.type
            _log.info("%s: trained in %s, as this %s %s in bf16 natively", cell.name, precision, device, what)
        on_epoch = partial(_report_epoch, cell, progress, share)
        trained = _train(model, training, datasets, config, cell, accelerator, on_epoch)
    if accelerator.is_main_process:
        model.cpu()
        if multi_label:
            config = replace(config, thresholds=_thresholds(Recognizer(model, config), datasets["valid"], cell))
        checkpoint = cell.folder / CHECKPOINT
        provenance = {
            **provenance,
            "encoders": {modality: dict(encoder.describe()) for modality, encoder in encoders.items()},
            "transforms": {name: dict(transform.describe()) for name, transform in transforms.items()},
            "trained_on": {"fold": cell.fold.name, "seed": cell.seed},
            "precision": precision,
            "code": key.code,
        }
        request = recipe.config.segments()
        if request is not None:
            provenance["alignment"] = describe_alignment(request, cell.manifest.root)
        card = model_card(config, model, provenance)
        save_checkpoint(checkpoint, model, config, provenance, card, _learned(cell))
        selection = "none" if isinstance(model, FittedModel) else cell.protocol.selection
        metadata = {"epoch": str(trained.best_epoch), "selection": selection}
        _write_predictions(cell, Recognizer.load(checkpoint, cell.manifest.root), datasets, metadata)
        facts = {
            "recipe_sha256": provenance["recipe_sha256"],
            "data_sha256": provenance["data"]["sha256"],
            "fold": cell.fold.name,
            "seed": cell.seed,
            "epoch": trained.best_epoch,
            "epochs_run": trained.epoch,
            "selection": selection,
            "precision": precision,
            "feature_seconds": feature_seconds,
            "seconds": trained.seconds,
            "seconds_with_prediction": time.perf_counter() - started,
            "peak_memory_bytes": peak_memory_bytes(),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "frozen_parameters": sum(encoder.frozen_parameters() for encoder in encoders.values()),
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            **({} if config.thresholds is None else {"thresholds": config.thresholds}),
            "key": key.digest,
            **key.values,
        }
        write_record(cell.folder, facts)
        tidy(cell.folder)
    accelerator.wait_for_everyone()


def _warn_of_constant_speakers(cell: Cell, encoders: Mapping[str, Encoder]) -> None:
    """Warn where utterances are compared with their speaker's average and most speakers have one label in all of them.

    The average then holds the label, and what is left of an utterance says nothing about it.
    """
    normalized = [modality for modality, encoder in encoders.items() if encoder.normalize_by_speaker]
    labels: dict[str, list[Target]] = {}
    for utterance, label in cell.fold.train.items():
        labels.setdefault(cell.manifest.by_id[utterance].speaker, []).append(label)
    speakers = [own for speaker, own in labels.items() if speaker and len(own) > 1]
    constant = sum(len(set(own)) == 1 for own in speakers)
    if normalized and constant > len(speakers) / 2:
        _log.warning(
            "%s: %d of %d speakers of the training split have one label in all their utterances, which is lost where "
            "encoders.%s compares them with the speaker's own average: leave 'normalize' out",
            *(cell.name, constant, len(speakers), " and encoders.".join(normalized)),
        )


def _languages(cell: Cell) -> tuple[str, ...] | None:
    """Return the codes of the languages of the training split; ``None``: that of some utterance is not known."""
    codes = {language_code(cell.manifest.by_id[name].language) for name in cell.fold.train}
    known = sorted(code for code in codes if code is not None)
    return tuple(known) if known and None not in codes else None


def _warn_of_foreign_words(cell: Cell, languages: tuple[str, ...] | None) -> None:
    """Warn of words in the test split that are scored, though the checkpoint would leave them out."""
    test = [cell.manifest.by_id[name] for name in cell.fold.test]
    foreign = sum(has_foreign_words(utterance, languages) for utterance in test)
    if foreign:
        _log.warning(
            "%s: %d of %d test utterances have words in a language that the training split lacks: scores are with "
            "these words, but 'merkit predict' and 'merkit analyze' leave them out",
            *(cell.name, foreign, len(test)),
        )


def _learned(cell: Cell) -> set[str]:
    """Return the hashes of the utterances that a cell's model has learned from, those of its feature extractor too."""
    learned = {name_hash(utterance) for utterance in cell.fold.train}
    for _, config in cell.recipe.encoders.values():
        if isinstance(config, ExtractorConfig) and config.checkpoint is not None:
            learned |= read_trained_on(Path(config.checkpoint))
    return learned


def _fit(model: FittedModel, training: Dataset, cell: Cell, device: torch.device) -> TrainingProgress:
    started = time.perf_counter()
    model.eval()  # dropout of an encoder has no part in it
    batches = load_batches(training, ordered_batches(training.lengths(), 512))
    model.fit((batch.to(device) for batch in batches), cell.seed)
    return TrainingProgress(seconds=time.perf_counter() - started)


def _train(
    model: Model,
    training: Dataset,
    datasets: Mapping[str, Dataset],
    config: CheckpointConfig,
    cell: Cell,
    accelerator: Accelerator,
    on_epoch: EpochCallback,
) -> TrainingProgress:
    recipe, fold = cell.recipe, cell.fold
    model.criterion = _criterion(cell).to(accelerator.device)
    recognizer = Recognizer(model, config)
    truth = list(fold.valid.values())

    def measure(_: Model) -> dict[str, float]:
        nonlocal recognizer
        if model.fits_on_validation:
            outputs = recognizer.outputs(datasets["valid"], batch_seconds=recipe.training.batch_seconds)
            model.fit_on_validation(_labelled(outputs, fold.valid))
        predictions = _predict(recognizer, datasets["valid"], list(fold.valid), cell)
        if cell.protocol.multi_label:
            thresholds = fitted_thresholds(predictions, truth, config.labels)
            recognizer = Recognizer(model, replace(config, thresholds=thresholds))
        return validation_scores(predictions, truth, cell.protocol)

    def listen(row: Mapping[str, Any]) -> None:
        names = ("loss", *cell.protocol.metrics[:2])  # all of them are in history.jsonl
        valid = ", ".join(f"{name} {row['valid'][name]:.3f}" for name in names)
        _log.debug("%s, epoch %d: loss %.3f, validation %s", cell.name, row["epoch"], row["loss"]["total"], valid)
        if cell.legacy_best_on_test and accelerator.is_main_process:
            predictions = _predict(recognizer, datasets["test"], fold.test, cell)
            table = predictions_table(
                predictions, config.labels, None, config.multi_label, split="test", epoch=row["epoch"]
            )
            write_stamped_table(cell.folder / BY_EPOCH, f"{row['epoch']:05d}", table)

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
    )


def _report_epoch(cell: Cell, progress: ProgressCallback | None, share: Share, done: int, best: float | None) -> None:
    epochs = cell.recipe.training.epochs
    score = "" if best is None else f", best {cell.protocol.metrics[0]} {best:.3f}"
    share.report(progress, done, epochs, f"{cell.name}, epoch {done}/{epochs}{score}")


def _labelled(
    outputs: Iterable[tuple[Batch, ModelOutput]], labels: Mapping[str, Target]
) -> Iterator[tuple[ModelOutput, torch.Tensor]]:
    """Yield a model's outputs with class numbers ``[*batch]``; -100 where there is no label."""
    for batch, output in outputs:
        numbers = torch.full(batch.mask.shape, IGNORED)
        numbers[batch.mask] = torch.tensor([labels.get(name, IGNORED) for name in batch.ids])
        yield output, numbers


def _criterion(cell: Cell) -> torch.nn.Module:
    if cell.protocol.multi_label:
        return MultiLabelLoss()
    counts = np.bincount(list(cell.fold.train.values()), minlength=len(cell.protocol.labels)).tolist()
    return build_criterion(class_counts=counts, **dict(cell.recipe.loss))


def _thresholds(recognizer: Recognizer, valid: Dataset, cell: Cell) -> tuple[float, ...]:
    """Return the thresholds of a trained multi-label model."""
    predictions = _predict(recognizer, valid, list(cell.fold.valid), cell)
    return fitted_thresholds(predictions, list(cell.fold.valid.values()), recognizer.labels)


def _write_predictions(
    cell: Cell, recognizer: Recognizer, datasets: Mapping[str, Dataset], epoch: Mapping[str, str]
) -> None:
    metadata = {**epoch, "fold": cell.fold.name, "seed": str(cell.seed)}
    tables = [
        predictions_table(
            _predict(recognizer, datasets[name], ids, cell),
            recognizer.labels,
            None,
            recognizer.multi_label,
            split=name,
        )
        for name, ids in cell.splits.items()
    ]
    write_table(cell.folder / PREDICTIONS, pa.concat_tables(tables), metadata)
    by_epoch = sorted((cell.folder / BY_EPOCH).glob("*.parquet"))
    if by_epoch:
        table = pa.concat_tables([pq.read_table(path) for path in by_epoch])
        write_table(cell.folder / BY_EPOCH_TABLE, table, metadata)


def _predict(recognizer: Recognizer, dataset: Dataset, ids: Sequence[str], cell: Cell) -> list[Prediction]:
    """Return the predictions of these utterances in this order; other utterances of a conversation are context."""
    predictions = recognizer.predict_dataset(dataset, batch_seconds=cell.recipe.training.batch_seconds)
    by_id = {prediction.id: prediction for prediction in predictions}
    return [by_id[utterance] for utterance in ids]
