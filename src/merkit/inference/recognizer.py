"""The recognizer: the only way from a model to a prediction, for evaluation, the command line and Python."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder, reach
from merkit.core.errors import CheckpointError, ConfigError, MerkitError, first_line
from merkit.core.model import Model, ModelSpec
from merkit.core.progress import ProgressCallback
from merkit.core.types import Prediction, Turn
from merkit.data.dataset import Dataset, SegmentTier, items_of, load_batches, ordered_batches
from merkit.data.features.extraction import is_about
from merkit.data.features.sources import (
    FeatureSource,
    SpeakerKey,
    SpeakerStatistics,
    extracted_arrays,
    open_sources,
    speaker_statistics,
)
from merkit.data.segments import open_segments
from merkit.inference.decisions import Decisions
from merkit.io.checkpoint import CheckpointConfig, load_checkpoint
from merkit.io.decision_rule import DEFAULT_DECISION, DecisionOptions

CHUNK = 2048
"""Utterances that are extracted and predicted together; bounds memory, and what a resumed prediction repeats."""

IN_MEMORY_S = 600.0
"""Seconds of sound whose features are in memory at a time, where they are not stored; also those of a batch."""


class Recognizer:
    """A model with what turns its output into predictions: label names and calibration.

    Works in float32 and in evaluation mode, whatever precision training had, so that a checkpoint predicts as it was
    measured. A call changes nothing in it: threads may share one.
    """

    def __init__(self, model: Model, config: CheckpointConfig):
        self.model = model.eval()
        self.config = config
        self.spec: ModelSpec = config.spec
        self.request = config.config.segments()
        self.decisions = Decisions(config.labels, config.temperature, config.decision_rule)

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
        if rule is not None and rule.compares and not recognizer.compares_speakers:
            raise CheckpointError(
                f"{checkpoint}: its decision rule needs a reference of the speaker, and none of its encoders "
                "normalizes by speaker: was config.json edited?"
            )
        return recognizer

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of class numbers; what it predicts for people has those of ``decisions``."""
        return self.config.labels

    @property
    def compares_speakers(self) -> bool:
        """Whether an encoder compares an utterance with the average of its speaker."""
        return any(encoder.normalize_by_speaker for encoder in self.encoders.values())

    @property
    def reads(self) -> set[str]:
        """The modalities that a prediction can rest on."""
        return self.config.reads

    @property
    def reach(self) -> tuple[int, int]:
        """How many previous and how many later turns the encoders read."""
        return reach(self.encoders.values())

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The model's encoders by modality."""
        return {name: module for name, module in self.model.encoders.items() if isinstance(module, Encoder)}

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        tensors = chain(self.model.parameters(), self.model.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def predict_turns(
        self,
        turns: Sequence[Turn],
        *,
        wanted: Collection[str] | None = None,
        features: Path | None = None,
        segments: Mapping[str, SegmentTier] | None = None,
        batch_size: int = 32,
        batch_seconds: float | None = None,
        statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each wanted utterance, in the order of ``turns``.

        Args:
            turns: Whole conversations, each turn with as many previous and later ones as ``reach`` says.
            wanted: Ids to predict; ``None``: all.
            features: Folder of the feature stores; ``None``: features are extracted in memory, no file is written.
            segments: Times of the segments that the model reads, by tier; ``None``: of the alignment beside the corpus.
            batch_size: Items a batch; changes no prediction.
            batch_seconds: Seconds of audio a batch at most, as in training; changes no prediction. ``None``: without
                ``features`` as many as are held in memory, otherwise any number.
            statistics: Of the speakers, as `speaker_statistics` returns them; ``None``: those of ``turns``.
            progress: Called with the progress of feature extraction.
        """
        chosen = {turn.utterance.id for turn in turns} if wanted is None else wanted
        if statistics is None:
            statistics = self.speaker_statistics(turns, features, progress)
        most_s = IN_MEMORY_S if features is None and self.hears else math.inf
        if batch_seconds is None and most_s < math.inf:
            batch_seconds = most_s
        for chunk in self.chunks(turns, chosen, most_s):
            predictions = self.predict_chunk(
                chunk, statistics, features, batch_size, batch_seconds, progress, segments=segments
            )
            yield from (prediction for prediction in predictions if prediction.id in chosen)

    @property
    def hears(self) -> bool:
        """Whether it reads the sound of recordings."""
        audio = self.encoders.get("audio")
        return audio is not None and audio.published_features is None

    def chunks(
        self, turns: Sequence[Turn], wanted: Collection[str], most_s: float = math.inf
    ) -> list[list[Sequence[Turn]]]:
        """Cut what is to be predicted into chunks of about ``CHUNK`` utterances; a conversation is never cut.

        A chunk has at most ``most_s`` seconds of sound, or one item.
        """
        chunks: list[list[Sequence[Turn]]] = []
        size, length_s = CHUNK, 0.0
        for item in items_of(turns, self.spec.level, wanted):
            own_s = 0.0 if most_s == math.inf else sum(self.encoders["audio"].duration_s(turn) for turn in item)
            if size >= CHUNK or (size and length_s + own_s > most_s):
                chunks.append([])
                size, length_s = 0, 0.0
            chunks[-1].append(item)
            size += len(item)
            length_s += own_s
        return chunks

    def speaker_statistics(
        self,
        turns: Sequence[Turn],
        features: Path | None = None,
        progress: ProgressCallback | None = None,
        failures: dict[str, str] | None = None,
    ) -> dict[str, Mapping[SpeakerKey, SpeakerStatistics]]:
        """Return each speaker's statistics over all turns, for the encoders that normalize by speaker (mostly none).

        ``failures`` as in `predict_chunk`.
        """
        asking = {modality: encoder for modality, encoder in self.encoders.items() if encoder.normalize_by_speaker}
        if features is None:
            return {
                name: speaker_statistics(extracted_arrays(encoder, turns), encoder.duration_s)
                for name, encoder in asking.items()
            }
        sources = open_sources(asking, turns, features, progress, failures=failures)
        return {
            modality: source.speaker_statistics
            for modality, source in sources.items()
            if source.speaker_statistics is not None
        }

    def predict_chunk(
        self,
        chunk: Sequence[Sequence[Turn]],
        statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]],
        features: Path | None,
        batch_size: int = 32,
        batch_seconds: float | None = None,
        progress: ProgressCallback | None = None,
        segments: Mapping[str, SegmentTier] | None = None,
        failures: dict[str, str] | None = None,
    ) -> list[Prediction]:
        """Return the predictions of one chunk's utterances in their order; see `predict_turns`.

        With ``failures`` an utterance that cannot be read, or whose probabilities are not finite, is recorded there by
        its id, with the reason, and has no prediction. Nor have the others of its conversation, if the model reads
        conversations: without it their predictions would be others.
        """
        turns = [turn for item in chunk for turn in item]
        sources = open_sources(self.encoders, turns, features, progress, statistics, failures)
        while True:
            kept = chunk if not failures else _without(chunk, failures)
            try:
                by_id = self._predict_items(kept, sources, statistics, segments, batch_size, batch_seconds, failures)
            except MerkitError:
                if failures is None or not _record_unreadable(kept, sources, failures):
                    raise
            else:
                return [by_id[turn.utterance.id] for turn in turns if failures is None or turn.utterance.id in by_id]

    def _predict_items(
        self,
        items: Sequence[Sequence[Turn]],
        sources: Mapping[str, FeatureSource],
        statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]],
        segments: Mapping[str, SegmentTier] | None,
        batch_size: int,
        batch_seconds: float | None,
        failures: dict[str, str] | None,
    ) -> dict[str, Prediction]:
        dataset = Dataset(
            items,
            sources,
            self.spec.level,
            with_texts="texts" in self.spec.inputs,
            segments=self.segments([turn for item in items for turn in item]) if segments is None else segments,
        )
        batches = (dataset.batch(indices) for indices in self._plan(dataset, batch_size, batch_seconds))
        reasons = self.decisions.reasons(dataset.turns(), statistics)
        return {
            prediction.id: prediction
            for batch, output in self._outputs(batches)
            for prediction in self.decisions.predictions(batch, output, reasons, failures)
        }

    def segments(self, turns: Sequence[Turn]) -> dict[str, SegmentTier]:
        """Return the times of the segments that the model reads, from the alignment beside these turns' corpus.

        Raises:
            MerkitError: There is no such alignment, or it lacks utterances.
        """
        if not turns:
            return {}
        return open_segments(self.request, turns, turns[0].root)

    def predict_dataset(
        self, dataset: Dataset, batch_size: int = 32, batch_seconds: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a prediction for every utterance of a dataset, in no particular order.

        For training and evaluation: of all labels, whatever the decision rule.
        """
        decisions = Decisions(self.config.labels, self.config.temperature)
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
