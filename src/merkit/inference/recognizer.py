"""The recognizer: the only way from a model to a prediction, for evaluation, the command line and Python."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.errors import CheckpointError, ConfigError, MerkitError, first_line
from merkit.core.model import Model, ModelSpec
from merkit.core.types import Prediction, Turn
from merkit.data.dataset import Dataset, load_batches, ordered_batches
from merkit.data.features.extraction import is_about
from merkit.data.features.sources import FeatureSource, open_sources
from merkit.inference.decisions import Decisions
from merkit.inference.languages import without_foreign
from merkit.inference.predictor import ChunkOptions, Predictor
from merkit.io.checkpoint import CheckpointConfig, load_checkpoint
from merkit.io.decision_rule import DEFAULT_DECISION, DecisionOptions


class Recognizer(Predictor):
    """A model with what turns its output into predictions: label names and calibration.

    Works in float32 and in evaluation mode, whatever precision training had, so that a checkpoint predicts as it was
    measured.
    """

    def __init__(self, model: Model, config: CheckpointConfig):
        self.model = model.eval()
        self.config = config
        self.spec: ModelSpec = config.spec
        self.level = config.spec.level
        self.labels = config.labels
        self.reads = frozenset(config.reads)
        self.encoders = {name: module for name, module in model.encoders.items() if isinstance(module, Encoder)}
        self.languages = None if config.languages is None else frozenset(config.languages)
        self.request = config.config.segments()
        self.decisions = Decisions(config.labels, config.temperature, config.decision_rule, config.thresholds)

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        data: Path | None = None,
        device: str | torch.device = "auto",
        *,
        options: DecisionOptions = DEFAULT_DECISION,
        name: str | None = None,
    ) -> "Recognizer":
        """Load a checkpoint folder.

        Args:
            checkpoint: The folder.
            data: The folder of a manifest, for encoders that read published features.
            device: A torch device, such as ``cpu`` or ``cuda:1``; ``auto``: the machine's accelerator, or else the CPU.
            options: What a user chose in place of the checkpoint's decision rule.
            name: What errors about the options call it; ``None``: the folder.

        Raises:
            CheckpointError: The folder is no checkpoint, is incomplete, or is newer than this merkit.
            ConfigError: The machine has no such device, or the options do not fit the checkpoint.
        """
        chosen = _device(device)
        model, config = load_checkpoint(checkpoint, data)
        rule = options.applied(config.decision_rule, config.labels, str(checkpoint) if name is None else name)
        recognizer = cls(model.to(chosen), dataclasses.replace(config, decision_rule=rule))
        recognizer.folder = checkpoint
        if rule is not None and rule.compares and not recognizer.compares_speakers:
            raise CheckpointError(
                f"{checkpoint}: its decision rule needs a reference of the speaker, and none of its encoders "
                "normalizes by speaker: was config.json edited?"
            )
        return recognizer

    @property
    def device(self) -> torch.device:
        tensors = chain(self.model.parameters(), self.model.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def is_causal(self) -> bool:
        ahead = any(encoder.reads_ahead for encoder in self.encoders.values())
        return not ahead and (self.level == "utterance" or self.config.config.is_causal())

    @property
    def context_modalities(self) -> frozenset[str]:
        if self.level == "conversation":
            return self.reads
        return frozenset(name for name, encoder in self.encoders.items() if encoder.context)

    def predict_chunk(self, chunk: Sequence[Sequence[Turn]], options: ChunkOptions) -> list[Prediction]:
        missing: dict[str, str] = {}
        if self.languages is not None:
            chunk, missing = without_foreign(chunk, self.languages)
        turns = [turn for item in chunk for turn in item]
        failures = options.failures
        sources = open_sources(
            self.encoders, turns, options.features, options.progress, options.statistics, failures, cache_bytes=0
        )
        while True:
            kept = chunk if not failures else _without(chunk, failures)
            try:
                by_id = self._predict_items(kept, sources, options, missing)
            except MerkitError:
                if failures is None or not _record_unreadable(kept, sources, failures):
                    raise
            else:
                return [by_id[turn.utterance.id] for turn in turns if failures is None or turn.utterance.id in by_id]

    def _predict_items(
        self,
        items: Sequence[Sequence[Turn]],
        sources: Mapping[str, FeatureSource],
        options: ChunkOptions,
        missing: Mapping[str, str],
    ) -> dict[str, Prediction]:
        segments = options.segments
        dataset = Dataset(
            items,
            sources,
            self.level,
            with_texts="texts" in self.spec.inputs,
            segments=self.segments([turn for item in items for turn in item]) if segments is None else segments,
        )
        batches = (dataset.batch(indices) for indices in self._plan(dataset, options.batch_size, options.batch_seconds))
        reasons = self.decisions.reasons(dataset.turns(), options.statistics)
        return {
            prediction.id: prediction
            for batch, output in self._outputs(batches)
            for prediction in self.decisions.predictions(batch, output, reasons, options.failures, missing)
        }

    def predict_dataset(
        self, dataset: Dataset, batch_size: int = 32, batch_seconds: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a prediction for every utterance of a dataset, in no particular order.

        For training and evaluation: of all labels, whatever the decision rule.
        """
        decisions = Decisions(self.config.labels, self.config.temperature, thresholds=self.config.thresholds)
        for batch, output in self.outputs(dataset, batch_size, batch_seconds):
            yield from decisions.predictions(batch, output, {})

    def outputs(
        self, dataset: Dataset, batch_size: int = 32, batch_seconds: float | None = None
    ) -> Iterator[tuple[Batch, ModelOutput]]:
        """Yield the batches of a dataset, without labels, with the model's output, which is on the model's device.

        ``batch_seconds`` bounds a batch's audio, padding included, as in training.
        """
        self.model.eval()  # between two epochs it is in training mode
        unlabelled = dataclasses.replace(dataset, labels=None)
        # torch's loader draws a number from the global generator, which the epochs that follow must find unchanged
        return self._outputs(load_batches(unlabelled, self._plan(unlabelled, batch_size, batch_seconds)))

    def _plan(self, dataset: Dataset, batch_size: int, batch_seconds: float | None) -> list[list[int]]:
        bound = None if batch_seconds is None else dataset.bound(batch_seconds)
        return ordered_batches(dataset.lengths(), batch_size, bound)

    def _outputs(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, ModelOutput]]:
        for batch in batches:
            with torch.inference_mode():
                output = self.model(batch.to(self.device))
            yield batch, output


def _without(chunk: Sequence[Sequence[Turn]], failures: dict[str, str]) -> list[Sequence[Turn]]:
    """Return the items of which no utterance failed, and record the other utterances of those that are left out."""
    kept = []
    for item in chunk:
        failed = next((turn.utterance.id for turn in item if turn.utterance.id in failures), None)
        if failed is None:
            kept.append(item)
            continue
        for turn in item:
            failures.setdefault(turn.utterance.id, f"'{failed}' of its conversation failed")
    return kept


def _record_unreadable(
    items: Sequence[Sequence[Turn]], sources: Mapping[str, FeatureSource], failures: dict[str, str]
) -> bool:
    """Read all utterances one by one, record those that cannot be read, and return whether there are any."""
    before = len(failures)
    for turn in (turn for item in items for turn in item):
        for source in sources.values():
            try:
                source.get(turn)
            except MerkitError as error:
                if is_about(error, turn):
                    failures[turn.utterance.id] = str(error)
    return len(failures) > before


def _device(name: str | torch.device) -> torch.device:
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device '{name}' cannot be used on this machine ({first_line(error)}): choose 'auto' or 'cpu'"
        ) from None
    return device
