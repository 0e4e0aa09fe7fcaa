"""What every recognizer does: from the turns of conversations to predictions, in chunks that bound memory."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from merkit.core.alignment import SegmentRequest
from merkit.core.encoder import Encoder, reach
from merkit.core.model import Level
from merkit.core.progress import ProgressCallback
from merkit.core.types import Prediction, Turn
from merkit.data.dataset import SegmentTier, items_of
from merkit.data.features.sources import (
    Features,
    SpeakerKey,
    SpeakerStatistics,
    extracted_arrays,
    open_sources,
    speaker_statistics,
)
from merkit.data.segments import open_segments
from merkit.inference.decisions import Decisions

CHUNK = 2048
"""Utterances that are extracted and predicted together; bounds memory, and what a resumed prediction repeats."""

IN_MEMORY_S = 600.0
"""Seconds of sound whose features are in memory at a time, where they are not stored; also those of a batch."""


@dataclass(frozen=True)
class ChunkOptions:
    """How a chunk is predicted; what is not described here is described in `Predictor.predict_turns`."""

    statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]]
    features: Features | None
    segments: Mapping[str, SegmentTier] | None = None
    batch_size: int = 32
    batch_seconds: float | None = None
    progress: ProgressCallback | None = None
    failures: dict[str, str] | None = None
    """Filled by id with the reason why an utterance has no prediction: it cannot be read, or its probabilities are not
    finite. Nor have the others of its conversation, if the model reads conversations: their predictions would differ
    without it. ``None``: the first failure is raised."""


class Predictor(ABC):
    """Predicts utterances: a `Recognizer` of one model, or a `JoinedRecognizer`.

    A call changes nothing in it: threads may share one.
    """

    level: Level
    """Whether its items are utterances or conversations."""
    labels: tuple[str, ...]
    """Class names in the order of class numbers; what it predicts for people has those of ``decisions``."""
    decisions: Decisions
    """How output becomes predictions."""
    encoders: Mapping[str, Encoder]
    """What reads the input, by modality."""
    reads: frozenset[str]
    """The modalities that a prediction can rest on."""
    languages: frozenset[str] | None = None
    """Codes of the languages that it was trained on: words in others count as missing. ``None``: it states none, and
    words are not checked."""
    request: SegmentRequest | None
    """Which segments it reads, if any."""
    folder: Path | None = None
    """Of the checkpoint; ``None``: it was never written."""

    @property
    def multi_label(self) -> bool:
        """Whether an utterance may have several labels."""
        return self.decisions.multi_label

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it runs."""

    @abstractmethod
    def predict_chunk(self, chunk: Sequence[Sequence[Turn]], options: ChunkOptions) -> list[Prediction]:
        """Return the predictions of one chunk's utterances in their order; see `predict_turns`."""

    def answering(self, predictions: Sequence[Prediction]) -> "Predictor":
        """Return whose decision rule these predictions follow: its own, or its only model's that says anything."""
        return self

    def averaged(self, parts: Sequence[Prediction]) -> Prediction:
        """Return the prediction of an utterance that was read in parts: the mean of theirs."""
        return self.decisions.joined(parts)

    @property
    @abstractmethod
    def is_causal(self) -> bool:
        """Whether no prediction depends on the turns that follow; averages of speakers are not counted."""

    @property
    @abstractmethod
    def context_modalities(self) -> frozenset[str]:
        """The modalities of previous turns that a prediction depends on."""

    @property
    def normalizing_encoders(self) -> Mapping[str, Encoder]:
        """The encoders that compare an utterance with the average of its speaker, by modality."""
        return {modality: encoder for modality, encoder in self.encoders.items() if encoder.normalize_by_speaker}

    @property
    def compares_speakers(self) -> bool:
        """Whether an encoder compares an utterance with the average of its speaker."""
        return bool(self.normalizing_encoders)

    @property
    def reach(self) -> tuple[int, int]:
        """How many previous and how many later turns the encoders read."""
        return reach(self.encoders.values())

    def predict_turns(
        self,
        turns: Sequence[Turn],
        *,
        wanted: Collection[str] | None = None,
        features: Features | None = None,
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
            features: Folder of the feature stores, or those that are held in memory between calls; ``None``: features
                are extracted in memory, no file is written.
            segments: Times of the segments that the model reads, by tier; ``None``: of the alignment beside the corpus.
            batch_size: Items a batch; changes no prediction.
            batch_seconds: Seconds of audio a batch at most, as in training; changes no prediction. ``None``: as many as
                are held in memory.
            statistics: Of the speakers, as `speaker_statistics` returns them; ``None``: those of ``turns``.
            progress: Called with the progress of feature extraction.
        """
        chosen = {turn.utterance.id for turn in turns} if wanted is None else wanted
        if statistics is None:
            statistics = self.speaker_statistics(turns, features, progress)
        most_s = IN_MEMORY_S if self.hears else math.inf
        if batch_seconds is None and most_s < math.inf:
            batch_seconds = most_s
        options = ChunkOptions(statistics, features, segments, batch_size, batch_seconds, progress)
        for chunk in self.chunks(turns, chosen, most_s):
            predictions = self.predict_chunk(chunk, options)
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
        for item in items_of(turns, self.level, wanted):
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
        features: Features | None = None,
        progress: ProgressCallback | None = None,
        failures: dict[str, str] | None = None,
    ) -> dict[str, Mapping[SpeakerKey, SpeakerStatistics]]:
        """Return each speaker's statistics over all turns, for the encoders that normalize by speaker (mostly none).

        ``failures`` as in `ChunkOptions`.
        """
        encoders = self.normalizing_encoders
        if features is None:
            return {
                name: speaker_statistics(extracted_arrays(encoder, turns), encoder.duration_s)
                for name, encoder in encoders.items()
            }
        sources = open_sources(encoders, turns, features, progress, failures=failures, cache_bytes=0)
        return {
            modality: source.speaker_statistics
            for modality, source in sources.items()
            if source.speaker_statistics is not None
        }

    def segments(self, turns: Sequence[Turn]) -> dict[str, SegmentTier]:
        """Return the times of the segments that the model reads, from the alignment beside these turns' corpus.

        Raises:
            MerkitError: There is no such alignment, or it lacks utterances.
        """
        if not turns:
            return {}
        return open_segments(self.request, turns, turns[0].root)
