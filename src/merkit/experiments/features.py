"""Fill a feature store for a whole corpus, as `merkit features` does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.core.encoder import Array, Encoder, EncoderSpec, describe_unread, reach
from merkit.core.errors import ConfigError
from merkit.core.lookup import load, unknown
from merkit.core.progress import ProgressCallback
from merkit.core.types import Turn
from merkit.data.corpus.manifest import read_manifest
from merkit.data.features.extraction import extract_features
from merkit.data.features.sources import announce_size, open_store
from merkit.data.features.store import FeatureStore
from merkit.experiments.mistakes import check_options
from merkit.io.checkpoint import build_encoders


@dataclass(frozen=True)
class Filled:
    """A feature store, and the numbers of utterances in it."""

    folder: Path
    modality: str
    new: int
    old: int
    absent: int
    failures: Mapping[str, str]
    """By id, why an utterance has no features."""
    note: str | None = None
    """On texts that are longer than is read."""


def fill_store(
    data: Path,
    name: str,
    modality: str | None,
    settings: Mapping[str, Any],
    features: Path | None,
    progress: ProgressCallback | None,
    *,
    fail_fast: bool = False,
) -> Filled:
    """Extract the features that the store of one encoder lacks; utterances that cannot be read are named.

    Raises:
        MerkitError: An unknown encoder, setting or modality, an encoder that stores nothing, or with ``fail_fast``
            unreadable input.
    """
    encoder, store, turns = _open(data, name, modality, settings, features)
    failures: dict[str, str] = {}
    new = extract_features(encoder, turns, store, progress=progress, failures=None if fail_fast else failures)
    readable = [turn for turn in turns if turn.utterance.id not in failures]
    present = sum(encoder.content(turn) is not None for turn in readable)
    note = describe_unread([encoder], readable)
    return Filled(store.folder, encoder.modality, new, present - new, len(readable) - present, failures, note)


def corpus_features(
    data: Path,
    name: str,
    modality: str | None,
    settings: Mapping[str, Any],
    features: Path | None,
    progress: ProgressCallback | None,
) -> dict[str, Array]:
    """Return the arrays ``[time, *dim]`` of one encoder by utterance id; what the store lacks is extracted first.

    Raises:
        MerkitError: As `fill_store`.
    """
    encoder, store, turns = _open(data, name, modality, settings, features)
    extract_features(encoder, turns, store, progress=progress)
    contents = {turn.utterance.id: encoder.content(turn) for turn in turns}
    return {key: store.get(key, content) for key, content in contents.items() if content is not None}


def _open(
    data: Path, name: str, modality: str | None, settings: Mapping[str, Any], features: Path | None
) -> tuple[Encoder, FeatureStore, list[Turn]]:
    """Return an encoder, its store, and the turns of the whole corpus as it reads them."""
    spec: EncoderSpec = load("encoders", name)
    config = check_options(spec.config, settings, f"encoder {name}")
    if modality is None and len(spec.modalities) > 1:
        raise ConfigError(f"encoder '{name}' knows {', '.join(spec.modalities)}: choose one with --modality")
    chosen = spec.modalities[0] if modality is None else modality
    if chosen not in spec.modalities:
        raise ConfigError(f"encoder {name}: " + unknown("modality", chosen, spec.modalities))
    manifest = read_manifest(data)
    encoder = build_encoders({chosen: (spec, config)}, manifest.root, None)[chosen]
    if not encoder.stored:
        raise ConfigError(f"encoder '{name}' with these settings is trained with the model: there is nothing to store")
    store = open_store(encoder, manifest.root / "features" if features is None else features)
    turns = list(manifest.turns(None, *reach([encoder])))
    announce_size(encoder, turns, store)
    return encoder, store, turns
