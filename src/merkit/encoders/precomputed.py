"""Features published with a corpus, used as they are: recordings cannot be encoded, and an error says so."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from merkit.core.corpus import PublishedFeatures
from merkit.core.encoder import Array, EncoderConfig, EncoderHome, EncoderSpec, as_float32
from merkit.core.errors import CheckpointError, ConfigError, MerkitError
from merkit.core.types import Turn
from merkit.data.features.published import read_published
from merkit.data.files import write_texts
from merkit.data.strict_json import read_object
from merkit.encoders._stored_vectors import StoredVectors

FOLDER = "precomputed"
"""Below the manifest's folder: one folder for each set of features."""
_ASSET = "features.json"


class PrecomputedConfig(EncoderConfig):
    """Which published features, and whether to standardise them."""

    features: str = Field(min_length=1, pattern=r"^[^./\\][^/\\]*$")
    """Name of the features: a folder in the manifest's ``precomputed``."""
    standardise: bool | None = None
    """Standardise each column with the training split's statistics; unset: yes, except for text."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of the features, in training."""


class Precomputed(StoredVectors):
    """One stored array ``[time, dim]`` per utterance; an utterance without one lacks the modality.

    An undefined value (NaN) becomes the training mean, 0 after standardisation.
    """

    stored = False
    may_be_undefined: ClassVar[bool] = True

    def __init__(
        self, name: str, modality: str, columns: Sequence[str], dim: int, *, standardise: bool, dropout: float = 0.0
    ) -> None:
        super().__init__(modality, dim, standardise=standardise, dropout=dropout)
        self.name = self.published_features = name
        self.columns = tuple(columns)
        self._arrays: Mapping[str, Array] | None = None
        self._contents: dict[str, str] = {}
        self._sound: set[str] = set()

    def offer(self, arrays: Mapping[str, Array]) -> None:
        """Set the float32 arrays ``[time, dim]`` by utterance id that ``extract`` returns."""
        self._arrays = arrays
        self._contents.clear()
        self._sound.clear()

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": "precomputed", "version": 1, "features": self.name}

    def content(self, turn: Turn) -> str | None:
        name, arrays = turn.utterance.id, self._known()
        if name not in arrays:
            return None
        if name not in self._contents:  # read for every utterance in every epoch
            array = arrays[name]
            whole = f"{array.shape}".encode() + array.tobytes()
            self._contents[name] = hashlib.blake2b(whole, digest_size=20).hexdigest()
        return self._contents[name]

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return [self._extract_one(turn) for turn in turns]

    def describe(self) -> Mapping[str, Any]:
        return {
            "encoder": "precomputed",
            "features": self.name,
            "columns": list(self.columns),
            "dim": self.dim,
            "standardised": self.standardizer is not None,
            "trained": False,
        }

    def save_assets(self, folder: Path) -> None:
        kept = {"dim": self.dim, "columns": list(self.columns)}
        write_texts({folder / _ASSET: json.dumps(kept, indent=2) + "\n"})

    def _known(self) -> Mapping[str, Array]:
        if self._arrays is None:
            raise MerkitError(
                f"This checkpoint was trained on published features '{self.name}' and cannot know how they were made; "
                f"give it a prepared corpus that holds {FOLDER}/{self.name}, or train one on an encoder of recordings"
            )
        return self._arrays

    def _extract_one(self, turn: Turn) -> Array:
        name = turn.utterance.id
        array = self._known()[name]
        if name in self._sound:
            return as_float32(array)
        mistake = None
        if np.isinf(array).any():
            mistake = "hold infinite values"
        elif self.standardizer is None and np.isnan(array).any():
            mistake = "hold undefined values (NaN), which only standardised features may: set standardise = true"
        if mistake is not None:
            raise MerkitError(f"Utterance '{name}': the published features '{self.name}' {mistake}")
        self._sound.add(name)
        return as_float32(array)


def build(config: PrecomputedConfig, modality: str, home: EncoderHome) -> Precomputed:
    """Return the encoder with the features of the manifest's folder.

    An encoder restored from a checkpoint needs them only when an utterance is extracted.

    Raises:
        MerkitError: The features are missing, or are not what the configuration or the checkpoint says.
    """
    published = _published(config.features, home)
    if published is not None and published.modality != modality:
        raise ConfigError(
            f"The published features '{published.name}' are {published.modality}, "
            f"the recipe uses them as {modality}: move them to [encoders.{published.modality}]"
        )
    found_dim = None if published is None else int(next(iter(published.arrays.values())).shape[-1])
    dim, columns = (found_dim, published.columns if published else ()) if home.assets is None else _kept(home.assets)
    if dim is None:
        raise MerkitError(f"The published features '{config.features}' lie in a prepared corpus; none was given")
    if found_dim is not None and found_dim != dim:
        raise MerkitError(
            f"The published features '{config.features}' have {found_dim} columns, the checkpoint was trained on {dim}"
        )
    standardise = modality != "text" if config.standardise is None else config.standardise
    encoder = Precomputed(config.features, modality, columns, dim, standardise=standardise, dropout=config.dropout)
    if published is not None:
        encoder.offer(published.arrays)
    return encoder


def _published(name: str, home: EncoderHome) -> PublishedFeatures | None:
    """Return the features, or ``None`` where there is no corpus, or a checkpoint is opened beside one without them."""
    if home.data is None or (home.assets is not None and not (home.data / FOLDER / name).is_dir()):
        return None
    return read_published(home.data / FOLDER / name)


def _kept(assets: Path) -> tuple[int, tuple[str, ...]]:
    try:
        kept = read_object(assets / _ASSET)
        return int(kept["dim"]), tuple(str(column) for column in kept["columns"])
    except (MerkitError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"Cannot read '{assets / _ASSET}' of the checkpoint: {error}") from error


SPEC = EncoderSpec(
    name="precomputed",
    modalities=("text", "audio", "video"),
    summary="Features published with a corpus, as they are",
    config=PrecomputedConfig,
    build=build,
)
