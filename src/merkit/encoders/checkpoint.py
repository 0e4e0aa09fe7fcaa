"""A trained model of single utterances as a frozen encoder: stage one of a conversation model, or of a fusion.

What the model offers as ``auxiliary["embedding"]`` (``single``: its frames, pooled) becomes the utterance's vector, and
its logits too if asked for. The whole stage-one checkpoint travels in the checkpoint of stage two, so that one folder
goes from a recording or a transcript to an answer.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderConfig, EncoderHome, EncoderSpec, as_float32
from merkit.core.errors import ConfigError
from merkit.core.model import TrainedModel
from merkit.core.types import Turn
from merkit.data.collate import Example, collate
from merkit.data.files import atomic_path, file_hash
from merkit.encoders._standardize import Standardizer

_TOLD = ("provenance.json", "README.md")
"""Files of a checkpoint that no answer depends on."""


class StageOneConfig(EncoderConfig):
    """Which model, and what it gives. Either ``recipe`` or ``checkpoint``."""

    recipe: str | dict[str, Any] | None = None
    """Recipe of stage one, a file or its content: trained first, for every fold and seed, on their training part."""
    checkpoint: str | None = None
    """Folder of a model that is trained already."""
    cross_fit: int = Field(default=0, ge=0)
    """0: the training part is encoded by the model that learned from it. k >= 2: it is cut by conversation into k
    parts, each encoded by a model that learned from the others. The rest is encoded by the model of all of it."""
    gives: tuple[Literal["embedding", "logits"], ...] = Field(default=("embedding",), min_length=1)
    """``embedding``, ``logits`` or both, side by side."""
    standardise: bool = False
    """Standardise the vectors, column by column, with the training part's statistics."""

    @model_validator(mode="after")
    def _fits_together(self) -> "StageOneConfig":
        if (self.recipe is None) == (self.checkpoint is None):
            raise ValueError("give either 'recipe' (stage one is trained first) or 'checkpoint' (it is trained)")
        if self.cross_fit == 1:
            raise ValueError("cross_fit = 1 leaves nothing to learn from; 0 is off, 2 or more are parts")
        if self.cross_fit and self.recipe is None:
            raise ValueError("cross_fit needs a recipe: its parts are trained")
        if len(set(self.gives)) < len(self.gives):
            raise ValueError("gives names the same twice")
        return self

    @property
    def features(self) -> str:
        """Whether stage two learned from vectors of utterances that stage one had not learned from."""
        return f"cross-fitted ({self.cross_fit})" if self.cross_fit else "not cross-fitted"


class Embedder:
    """A trained model of single utterances that is only asked for vectors; no module, so that it is nobody's part.

    Raises:
        ConfigError: The model cannot be a stage one: it reads conversations, another modality or more than one,
            compares speakers, or offers no embedding.
    """

    def __init__(self, trained: TrainedModel, modality: str, gives: Sequence[str], name: str) -> None:
        spec, encoders = trained.spec, trained.model.encoders
        if spec.level != "utterance":
            raise ConfigError(f"{name}: '{spec.name}' reads conversations, stage one must read single utterances")
        if set(encoders) != {modality} or spec.inputs:
            reads = " and ".join([*sorted(encoders), *sorted(spec.inputs)]) or "nothing"
            raise ConfigError(
                f"{name}: '{spec.name}' reads {reads}, in [encoders.{modality}] it must have one encoder, of {modality}"
            )
        encoder = encoders[modality]
        assert isinstance(encoder, Encoder)
        if encoder.normalize_by_speaker:
            raise ConfigError(f"{name}: compares speakers, which stage one cannot: an utterance alone has no average")
        self.encoder = encoder
        self._model = trained.model.eval()
        self._gives = gives
        self._spec = spec
        self._name = name
        self.width = self.vectors([None], torch.device("cpu")).shape[-1]

    def vectors(self, arrays: Sequence[Array | None], device: torch.device) -> Float[Tensor, "items width"]:
        """Return one vector for each utterance from what its encoder extracted (``None``: it lacks the modality)."""
        modality = self.encoder.modality
        items = [[Example(str(row), "", {modality: array}, None)] for row, array in enumerate(arrays)]
        batch = collate(items, "utterance", False, {modality: self.encoder.blank()})
        with torch.inference_mode():
            output = self._model.to(device)(batch.to(device))
            offered = {**output.auxiliary, "logits": output.logits}
            if "embedding" not in offered and "embedding" in self._gives:
                raise ConfigError(f"{self._name}: '{self._spec.name}' offers no embedding of an utterance")
            return torch.cat([offered[what].float() for what in self._gives], dim=-1).cpu()


class StageOne(Encoder):
    """One vector per utterance, ``[*batch, 1, width]``, of a model that is frozen and no part of stage two's state.

    An utterance lacks the modality where the model's own encoder says so.
    """

    def __init__(self, config: StageOneConfig, modality: str, trained: TrainedModel, folder: Path) -> None:
        super().__init__()
        self.modality = modality
        self.config = config
        self.folder = folder
        self._model_name = trained.spec.name
        self._embedder = Embedder(trained, modality, config.gives, str(folder))
        self.width = self._embedder.width
        self.context = self._read_by.context
        self.standardizer = Standardizer(self.width) if config.standardise else None
        self._place: Tensor  # where extraction runs: it follows .to()
        self.register_buffer("_place", torch.empty(0), persistent=False)

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": "checkpoint", "version": 1, "model": identity(self.folder), "gives": list(self.config.gives)}

    def content(self, turn: Turn) -> str | None:
        return self._read_by.content(turn)

    def duration_s(self, turn: Turn) -> float:
        return self._read_by.duration_s(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        vectors = self._embedder.vectors(self._read_by.extract(turns), self._place.device)
        return [as_float32(vector.numpy())[np.newaxis] for vector in vectors]

    def blank(self) -> Array:
        return np.zeros((1, self.width), dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        data = padded.data if self.standardizer is None else self.standardizer(padded.data)
        return Padded(torch.where(padded.mask.unsqueeze(-1), data, 0.0), padded.mask)

    def fit(self, arrays: Iterable[Array]) -> None:
        if self.standardizer is not None:
            self.standardizer.fit(arrays)

    def describe(self) -> Mapping[str, Any]:
        read_by = self._read_by.describe()
        return {
            "encoder": "checkpoint",
            "stage one": self._model_name,
            "made of": " ".join(str(read_by[key]) for key in ("encoder", "weights", "revision") if key in read_by),
            "licence": read_by.get("licence"),
            "hash": identity(self.folder),
            "gives": " and ".join(self.config.gives),
            "width": self.width,
            "features": self.config.features,
            "trained": False,
        }

    def save_assets(self, folder: Path) -> None:
        for path in _files(self.folder):
            with atomic_path(folder / path.relative_to(self.folder)) as temporary:
                shutil.copyfile(path, temporary)

    @property
    def _read_by(self) -> Encoder:
        return self._embedder.encoder


def identity(checkpoint: Path) -> str:
    """Return 40 hexadecimal digits of all that a checkpoint's answers depend on, wherever it lies."""
    digest = hashlib.blake2b(digest_size=20)
    for path in _files(checkpoint):
        name = path.relative_to(checkpoint).as_posix()
        if path.name not in _TOLD:
            digest.update(f"{name} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


def build(config: StageOneConfig, modality: str, home: EncoderHome) -> StageOne:
    """Return the encoder with its model loaded strictly.

    Raises:
        MerkitError: There is no trained model, or it cannot be a stage one.
    """
    named = None if config.checkpoint is None else Path(config.checkpoint)
    folder = home.assets or home.stage_one or named
    if folder is None:
        raise ConfigError("encoder 'checkpoint' with a recipe: 'merkit train' trains it first; name a checkpoint here")
    assert home.open_model is not None
    trained: TrainedModel = home.open_model(folder)
    return StageOne(config, modality, trained, folder)


SPEC = EncoderSpec(
    name="checkpoint",
    modalities=("text", "audio", "video"),
    summary="A trained utterance model's vectors: stage one of a conversation model",
    config=StageOneConfig,
    build=build,
)
