"""A trained model as a frozen encoder: the feature extractor of a conversation model, or of a fusion.

The vector of an utterance is the model's ``auxiliary["embedding"]`` (``single``: its pooled frames), its logits, or
both. A model of conversations reads the whole conversation for the vector of each turn. The extractor's checkpoint is
copied into that of the downstream model, so that one folder is enough to predict from recordings or transcripts.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from merkit.core.encoder import Array, Encoder, EncoderConfig, EncoderHome, EncoderSpec, as_float32, reach
from merkit.core.errors import ConfigError
from merkit.core.model import TrainedModel
from merkit.core.types import Turn, Utterance, turns_of
from merkit.data.collate import Example, collate
from merkit.data.files import atomic_path, file_hash
from merkit.encoders._stored_vectors import StoredVectors
from merkit.formats.checkpoint_folder import NOTES, files_of


class ExtractorConfig(EncoderConfig):
    """Which model, and which of its outputs are read. Either ``recipe`` or ``checkpoint``."""

    recipe: str | dict[str, Any] | None = None
    """Recipe of the feature extractor, a file or its content: trained first, for every fold and seed, on the training
    split."""
    checkpoint: str | None = None
    """Folder of a model that is trained already."""
    cross_fit: int = Field(default=0, ge=0)
    """0: the training split is encoded by the model that was trained on it. k >= 2: it is divided by conversation into
    k parts, each encoded by a model that was trained on the others. Validation and test splits are encoded by the model
    trained on the whole training split."""
    ensemble: int = Field(default=0, ge=0)
    """0: every seed of the downstream model has a feature extractor of its own. k >= 1: it is trained with the seeds
    0 to k - 1, and the vectors of these k models, side by side, serve every seed."""
    outputs: tuple[Literal["embedding", "logits"], ...] = Field(default=("embedding",), min_length=1)
    """``embedding``, ``logits`` or both, side by side."""
    standardise: bool = False
    """Standardise the vectors, column by column, with the training split's statistics."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of the vectors in the training of the downstream model, which soon memorises large ones."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ExtractorConfig":
        if (self.recipe is None) == (self.checkpoint is None):
            raise ValueError("give either 'recipe' (it is trained first) or 'checkpoint' (it is trained)")
        if self.cross_fit == 1:
            raise ValueError("cross_fit = 1 leaves nothing to learn from; 0 is off, 2 or more are parts")
        if self.cross_fit and self.recipe is None:
            raise ValueError("cross_fit needs a recipe: its parts are trained")
        if self.ensemble and self.recipe is None:
            raise ValueError("ensemble needs a recipe: its seeds are trained")
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError("outputs names the same twice")
        return self

    @property
    def features(self) -> str:
        """Whether the downstream model learned from vectors of utterances that the extractor had not seen."""
        fitted = f"cross-fitted ({self.cross_fit})" if self.cross_fit else "not cross-fitted"
        if not self.ensemble:
            return fitted
        return f"{'one seed' if self.ensemble == 1 else f'{self.ensemble} seeds side by side'} for all, {fitted}"


def describe_extractors(encoders: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Describe how feature extractors' vectors were made, such as ``cross-fitted (5)``; ``None`` without any.

    ``encoders`` are a resolved recipe's tables by modality.
    """
    described = {}
    for modality, keys in encoders.items():
        if keys["name"] == "checkpoint":
            config = {key: value for key, value in keys.items() if key != "name"}
            described[modality] = ExtractorConfig.model_validate(config).features
    if len(set(described.values())) > 1:
        return ", ".join(f"{modality} {features}" for modality, features in described.items())
    return next(iter(described.values()), None)


class Embedder:
    """Computes vectors with a trained model; no ``nn.Module``, so that the model is not part of another one's state.

    Raises:
        ConfigError: The model cannot be a feature extractor: it reads another modality or more than one, has a feature
            extractor of its own, compares speakers, or offers no embedding.
    """

    def __init__(self, trained: TrainedModel, modality: str, outputs: Sequence[str], name: str) -> None:
        spec, encoders = trained.spec, trained.model.encoders
        if set(encoders) != {modality} or spec.inputs:
            reads = " and ".join([*sorted(encoders), *sorted(spec.inputs)]) or "nothing"
            raise ConfigError(
                f"{name}: '{spec.name}' reads {reads}, in [encoders.{modality}] it must have one encoder, of {modality}"
            )
        encoder = encoders[modality]
        assert isinstance(encoder, Encoder)
        if isinstance(encoder, FeatureExtractor):
            raise ConfigError(f"{name}: has a feature extractor of its own; there are two stages at most")
        if encoder.normalize_by_speaker:
            raise ConfigError(
                f"{name}: compares speakers, which a feature extractor cannot: one utterance has no average"
            )
        self.encoder = encoder
        self.reads_ahead = encoder.reads_ahead or (spec.level == "conversation" and not trained.config.is_causal())
        self._model = trained.model.eval()
        self.parameters = sum(parameter.numel() for parameter in self._model.parameters())
        self._outputs = outputs
        self._spec = spec
        self._name = name
        self.dim = self.vectors([("", None)], torch.device("cpu")).shape[-1]

    def vectors(
        self, utterances: Sequence[tuple[str, Array | None]], device: torch.device
    ) -> Float[Tensor, "utterances dim"]:
        """Return one vector for each utterance from its speaker and what its encoder extracted (``None``: absent).

        A model of conversations takes them as the turns of one.
        """
        modality, level = self.encoder.modality, self._spec.level
        examples = [Example(str(row), name, {modality: array}, None) for row, (name, array) in enumerate(utterances)]
        items = [examples] if level == "conversation" else [[example] for example in examples]
        batch = collate(items, level, False, {modality: self.encoder.blank()})
        with torch.inference_mode():
            output = self._model.to(device)(batch.to(device))
            named = {**output.auxiliary, "logits": output.logits}
            if "embedding" not in named and "embedding" in self._outputs:
                raise ConfigError(f"{self._name}: '{self._spec.name}' offers no embedding of an utterance")
            vectors = torch.cat([named[name].float() for name in self._outputs], dim=-1)
            return vectors.flatten(0, -2).cpu()


class FeatureExtractor(StoredVectors):
    """One vector per utterance, ``[*batch, 1, dim]``, by frozen models outside the downstream model's state.

    There is one model, or those of an ensemble: one recipe trained with several seeds, their vectors side by side. The
    first model's encoder reads for all of them and decides whether an utterance has the modality.
    """

    def __init__(self, config: ExtractorConfig, modality: str, trained: Sequence[TrainedModel], folder: Path) -> None:
        embedders = [Embedder(each, modality, config.outputs, str(folder)) for each in trained]
        dim = sum(embedder.dim for embedder in embedders)
        super().__init__(modality, dim, standardise=config.standardise, dropout=config.dropout)
        self.config = config
        self.folder = folder
        self._model_name = trained[0].spec.name
        self._embedders = embedders
        self.published_features = self._read_by.published_features
        self.context = self._read_by.context
        self.following = self._read_by.following
        self.reads_ahead = self._embedders[0].reads_ahead
        self._device: Tensor  # where extraction runs: it follows .to()
        self.register_buffer("_device", torch.empty(0), persistent=False)

    def fingerprint(self) -> Mapping[str, Any]:
        return {
            "encoder": "checkpoint",
            "version": 1,
            "model": checkpoint_hash(self.folder),
            "outputs": list(self.config.outputs),
        }

    def content(self, turn: Turn) -> str | None:
        return self._read_by.content(turn)

    def duration_s(self, turn: Turn) -> float:
        return self._read_by.duration_s(turn)

    def unread(self, turn: Turn) -> tuple[int, int]:
        return self._read_by.unread(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return self._vectors([("", array) for array in self._read_by.extract(turns)])

    def frozen_parameters(self) -> int:
        own = sum(embedder.parameters for embedder in self._embedders)
        return own + self._read_by.frozen_parameters()

    def describe(self) -> Mapping[str, Any]:
        read_by = self._read_by.describe()
        return {
            "encoder": "checkpoint",
            "feature extractor": self._model_name,
            **({"models": len(self._embedders)} if len(self._embedders) > 1 else {}),
            "made of": " ".join(str(read_by[key]) for key in ("encoder", "weights", "revision") if key in read_by),
            "licence": read_by.get("licence"),
            "hash": checkpoint_hash(self.folder),
            "outputs": " and ".join(self.config.outputs),
            "dim": self.dim,
            "features": self.config.features,
            "trained": False,
        }

    def save_assets(self, folder: Path) -> None:
        for path in files_of(self.folder):
            with atomic_path(folder / path.relative_to(self.folder)) as temporary:
                shutil.copyfile(path, temporary)

    @property
    def _read_by(self) -> Encoder:
        return self._embedders[0].encoder

    def _vectors(self, utterances: Sequence[tuple[str, Array | None]]) -> list[Array]:
        """Return each utterance's vectors, side by side, as a sequence of one position."""
        vectors = [embedder.vectors(utterances, self._device.device) for embedder in self._embedders]
        return [as_float32(vector.numpy())[np.newaxis] for vector in torch.cat(vectors, dim=-1)]


@dataclass(frozen=True)
class _Conversation:
    """What a model reads of a conversation."""

    utterances: tuple[Utterance, ...]
    root: Path
    turns: Sequence[Turn]
    """With the context that the model's own encoder reads."""
    contents: Sequence[str | None]
    digest: str
    """Of all contents and speakers."""


class ConversationFeatureExtractor(FeatureExtractor):
    """One vector per turn by a model that reads conversations, which it reads whole.

    A turn comes with its whole conversation, ``previous`` and ``following``. Each conversation is run by itself, so
    that its vectors do not depend on how its turns are batched, and only once where its turns come in sequence.
    """

    def __init__(self, config: ExtractorConfig, modality: str, trained: Sequence[TrainedModel], folder: Path) -> None:
        super().__init__(config, modality, trained, folder)
        self.context = self.following = sys.maxsize
        self._seen: _Conversation | None = None
        self._last: tuple[str, list[Array]] = ("", [])  # the last conversation's digest and vectors

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "reads": "conversations"}

    def content(self, turn: Turn) -> str | None:
        """Return a hash of what is read of the conversation and of the turn's number in it.

        ``None`` where the turn lacks the modality.
        """
        number, conversation = len(turn.previous), self._conversation(turn)
        if conversation.contents[number] is None:
            return None
        return hashlib.blake2b(f"{number} {conversation.digest}".encode(), digest_size=20).hexdigest()

    def duration_s(self, turn: Turn) -> float:
        """Return the mean over the conversation, so that its turns stay together when sorted."""
        turns = self._conversation(turn).turns
        return sum(self._read_by.duration_s(each) for each in turns) / len(turns)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        vectors = dict([self._last])  # a copy: another thread may replace what is remembered
        arrays = []
        for turn in turns:
            conversation = self._conversation(turn)
            if conversation.digest not in vectors:
                vectors[conversation.digest] = self._run(conversation)
                self._last = (conversation.digest, vectors[conversation.digest])
            arrays.append(vectors[conversation.digest][len(turn.previous)])
        return arrays

    def _conversation(self, turn: Turn) -> _Conversation:
        """Return a turn's conversation; the last one is remembered for text, while recordings may change on disk."""
        whole, seen = (*turn.previous, turn.utterance, *turn.following), self._seen
        if seen is not None and (seen.root, seen.utterances) == (turn.root, whole) and self.modality == "text":
            return seen
        turns = list(turns_of(whole, turn.root, *reach([self._read_by])))
        contents = [self._read_by.content(each) for each in turns]
        read = json.dumps([[u.speaker for u in whole], contents])
        digest = hashlib.blake2b(read.encode(), digest_size=20).hexdigest()
        conversation = _Conversation(whole, turn.root, turns, contents, digest)
        self._seen = conversation
        return conversation

    def _run(self, conversation: _Conversation) -> list[Array]:
        present = [number for number, content in enumerate(conversation.contents) if content is not None]
        extracted = self._read_by.extract([conversation.turns[number] for number in present])
        arrays = dict(zip(present, extracted, strict=True))
        return self._vectors([(u.speaker, arrays.get(number)) for number, u in enumerate(conversation.utterances)])


def checkpoint_hash(checkpoint: Path) -> str:
    """Return 40 hexadecimal digits of the content of all files that a checkpoint's predictions depend on."""
    digest = hashlib.blake2b(digest_size=20)
    for path in files_of(checkpoint):
        name = path.relative_to(checkpoint).as_posix()
        if path.name not in NOTES:
            digest.update(f"{name} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def members_of(folder: Path) -> list[Path]:
    """Return the checkpoints ``member-*`` of an ensemble's folder; a single checkpoint is its only member."""
    return sorted(folder.glob("member-*")) or [folder]


def build_extractor(
    config: ExtractorConfig, modality: str, trained: Sequence[TrainedModel], folder: Path
) -> FeatureExtractor:
    """Return the encoder that trained models of one recipe make; ``folder`` holds them and is their name in errors.

    Raises:
        ConfigError: It cannot be a feature extractor.
    """
    kind = ConversationFeatureExtractor if trained[0].spec.level == "conversation" else FeatureExtractor
    return kind(config, modality, trained, folder)


def build(config: ExtractorConfig, modality: str, home: EncoderHome) -> FeatureExtractor:
    """Return the encoder with its models loaded strictly.

    Raises:
        MerkitError: There is no trained model, or it cannot be a feature extractor.
    """
    named = None if config.checkpoint is None else Path(config.checkpoint)
    folder = home.assets or home.extractor or named
    if folder is None:
        raise ConfigError("encoder 'checkpoint' with a recipe: 'merkit train' trains it first; name a checkpoint here")
    assert home.open_model is not None
    trained: list[TrainedModel] = [home.open_model(member) for member in members_of(folder)]
    return build_extractor(config, modality, trained, folder)


SPEC = EncoderSpec(
    name="checkpoint",
    modalities=("text", "audio", "video"),
    summary="A trained model's vectors: the feature extractor of a conversation model",
    config=ExtractorConfig,
    build=build,
)
