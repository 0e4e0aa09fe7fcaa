"""The recognizer: the only road from a model to a prediction, for evaluation, the command line and a server alike."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder, reach
from merkit.core.errors import MerkitError
from merkit.core.model import Model, ModelSpec
from merkit.core.progress import ProgressCallback
from merkit.core.types import Prediction, Turn
from merkit.data.corpus.manifest import Manifest
from merkit.data.dataset import Dataset, SegmentTier, items_of, ordered_batches
from merkit.data.dataset import load as load_batches
from merkit.data.features.sources import SpeakerKey, SpeakerStatistics, open_sources
from merkit.data.segments.store import open_segments
from merkit.io.checkpoint import CheckpointConfig, load_checkpoint

CHUNK = 2048
"""Utterances whose features are looked up together; bounds memory, and is what a killed prediction repeats at most."""


class Recognizer:
    """A model with what it takes to say something of an utterance: label names and calibration.

    Works in float32 and in evaluation mode, whatever precision training had, so that a checkpoint answers as it was
    measured.
    """

    def __init__(self, model: Model, config: CheckpointConfig):
        self.model = model
        self.config = config
        self.spec: ModelSpec = config.spec
        self.request = config.config.segments()

    @classmethod
    def load(cls, checkpoint: Path, data: Path | None = None) -> "Recognizer":
        """Load a checkpoint folder onto the machine's accelerator, if it has one.

        ``data`` is the folder of a manifest, for encoders that read published features.

        Raises:
            CheckpointError: The folder is no checkpoint, is incomplete, or is newer than this merkit.
        """
        model, config = load_checkpoint(checkpoint, data)
        device = torch.accelerator.current_accelerator(check_available=True)
        return cls(model if device is None else model.to(device), config)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of class numbers."""
        return self.config.labels

    @property
    def reads(self) -> set[str]:
        """The modalities that an answer can rest on."""
        return set(self.encoders) | ({"text"} if "texts" in self.spec.inputs else set())

    @property
    def reach(self) -> tuple[int, int]:
        """How many previous and how many later turns the encoders read."""
        return reach(self.encoders.values())

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The model's encoders by modality."""
        return {name: module for name, module in self.model.encoders.items() if isinstance(module, Encoder)}

    def predict(
        self,
        manifest: Manifest,
        *,
        members: Collection[str] | None = None,
        wanted: Collection[str] | None = None,
        features: Path | None = None,
        batch_size: int = 32,
        batch_seconds: float | None = None,
        progress: ProgressCallback | None = None,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each wanted utterance, in the manifest's order.

        Args:
            manifest: What to work on.
            members: Ids that take part, as themselves or as context; ``None``: all.
            wanted: Ids to predict; ``None``: all members.
            features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
            batch_size: Items a batch; changes no answer.
            batch_seconds: Seconds of audio a batch at most, as in training; changes no answer.
            progress: Told how far it is.
        """
        members = manifest.by_id.keys() if members is None else members
        chosen = members if wanted is None else wanted
        store = manifest.root / "features" if features is None else features
        statistics = self.speaker_statistics(manifest, members, store, progress)
        for chunk in self.chunks(manifest, members, chosen):
            predictions = self.predict_chunk(chunk, statistics, store, batch_size, batch_seconds, progress)
            yield from (prediction for prediction in predictions if prediction.id in chosen)

    def chunks(
        self, manifest: Manifest, members: Collection[str], wanted: Collection[str]
    ) -> list[list[Sequence[Turn]]]:
        """Cut what is to be predicted into chunks of about ``CHUNK`` utterances; a conversation is never cut."""
        items = items_of(manifest, self.spec.level, members, wanted, *self.reach)
        chunks: list[list[Sequence[Turn]]] = []
        size = CHUNK
        for item in items:
            if size >= CHUNK:
                chunks.append([])
                size = 0
            chunks[-1].append(item)
            size += len(item)
        return chunks

    def speaker_statistics(
        self, manifest: Manifest, members: Collection[str], features: Path, progress: ProgressCallback | None = None
    ) -> dict[str, Mapping[SpeakerKey, SpeakerStatistics]]:
        """Return each speaker's statistics over all ``members``, for the encoders that ask for them (mostly none)."""
        asking = {modality: encoder for modality, encoder in self.encoders.items() if encoder.normalize_by_speaker}
        turns = list(manifest.turns(members, *self.reach)) if asking else []
        sources = open_sources(asking, turns, features, progress)
        return {
            modality: source.speaker_statistics
            for modality, source in sources.items()
            if source.speaker_statistics is not None
        }

    def predict_chunk(
        self,
        chunk: Sequence[Sequence[Turn]],
        statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]],
        features: Path,
        batch_size: int = 32,
        batch_seconds: float | None = None,
        progress: ProgressCallback | None = None,
    ) -> list[Prediction]:
        """Return the predictions of one chunk's utterances in their order."""
        turns = [turn for item in chunk for turn in item]
        dataset = Dataset(
            chunk,
            open_sources(self.encoders, turns, features, progress, statistics),
            self.spec.level,
            with_texts="texts" in self.spec.inputs,
            segments=self.segments(turns),
        )
        found = {prediction.id: prediction for prediction in self.predict_dataset(dataset, batch_size, batch_seconds)}
        return [found[turn.utterance.id] for turn in turns]

    def segments(self, turns: Sequence[Turn]) -> dict[str, SegmentTier]:
        """Return the times of the segments that the model reads, from the alignment beside these turns' corpus.

        Raises:
            MerkitError: It is not there, or lacks utterances.
        """
        if not turns:
            return {}
        return open_segments(self.request, turns, turns[0].root)

    def predict_dataset(
        self, dataset: Dataset, batch_size: int = 32, batch_seconds: float | None = None
    ) -> Iterator[Prediction]:
        """Yield a prediction for every utterance of a dataset, in no particular order."""
        for batch, output in self.outputs(dataset, batch_size, batch_seconds):
            logits = output.logits.cpu()[batch.mask]
            probabilities = (logits.double() / self.config.temperature).softmax(dim=-1).tolist()
            present = {name: there[batch.mask].tolist() for name, there in batch.present.items()}
            if batch.texts:
                present["text"] = [text is not None for text in batch.texts]
            for row, (utterance, values) in enumerate(zip(batch.ids, probabilities, strict=True)):
                modalities = tuple(name for name, there in present.items() if there[row])
                yield self._prediction(utterance, values, modalities)

    def outputs(
        self, dataset: Dataset, batch_size: int = 32, batch_seconds: float | None = None
    ) -> Iterator[tuple[Batch, ModelOutput]]:
        """Yield the batches of a dataset, without labels, with what the model makes of them on its own device.

        ``batch_seconds`` bounds a batch's audio, padding included, as in training.
        """
        device = next((tensor.device for tensor in self.model.state_dict().values()), torch.device("cpu"))
        unlabelled = dataclasses.replace(dataset, labels=None)
        self.model.eval()
        bound = None if batch_seconds is None else unlabelled.bound(batch_seconds)
        for batch in load_batches(unlabelled, ordered_batches(unlabelled.lengths(), batch_size, bound)):
            with torch.inference_mode():
                output = self.model(batch.to(device))
            yield batch, output

    def _prediction(self, utterance: str, values: Sequence[float], modalities: tuple[str, ...]) -> Prediction:
        best = max(range(len(values)), key=values.__getitem__)
        if not math.isfinite(values[best]):
            raise MerkitError(
                f"The model gives utterance '{utterance}' a probability that is not finite: lower "
                "training.learning_rates, or check the utterance with 'merkit doctor'."
            )
        return Prediction(
            id=utterance,
            label=self.labels[best],
            probabilities=dict(zip(self.labels, values, strict=True)),
            confidence=values[best],
            modalities=modalities,
        )
