"""The feature extractor of an experiment: the models that encoders are made of, and what the downstream model learns
from.

A recipe's feature extractor is trained below ``<run>/feature-extractors/<modality>/``, a run in its own right.
Cross-fitting adds, below
its ``cross-fit/fold-<f>/seed-<s>/part-<p>-of-<k>/``, a model for each part of the training conversations that has
learned from the other parts alone, with the same seed: all of them begin with the same weights. The models of an
ensemble are copied to its ``ensemble/<hash>/member-<n>/``.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from merkit.core.encoder import Array, Encoder
from merkit.core.errors import ConfigError
from merkit.core.model import TrainedModel
from merkit.core.protocol import Fold, Protocol
from merkit.core.types import Turn
from merkit.data.corpus.manifest import Manifest
from merkit.data.features.sources import FeatureSource
from merkit.data.files import atomic_path
from merkit.encoders.checkpoint import ExtractorConfig, build_extractor, identity
from merkit.experiments.recipe import Recipe
from merkit.io.checkpoint import (
    build_encoders,
    build_model,
    check_encoders,
    name_hash,
    read_config,
    read_trained_on,
)
from merkit.training.seeding import derived_seed

FOLDER = "feature-extractors"


@dataclass(frozen=True)
class TrainedExtractor:
    """The trained models that one encoder of one cell is made of."""

    checkpoint: Path
    """Of the whole training part (or several, ``member-*``): it encodes validation and test, and travels in the
    downstream model's checkpoint."""
    unseen: Mapping[str, Path] = field(default_factory=dict)
    """Cross-fitting: by training conversation a checkpoint that has not learned from it."""


class UnseenSource(FeatureSource):
    """Arrays of training conversations, each from a model that has not learned from that conversation."""

    def __init__(self, encoder: Encoder, by_conversation: Mapping[str, FeatureSource]) -> None:
        super().__init__(encoder, None)
        self._by_conversation = by_conversation

    def get(self, turn: Turn) -> Array | None:
        """Return the array ``[time, *dim]`` of a turn, or ``None`` where the turn lacks the modality."""
        return self._by_conversation[turn.utterance.conversation].get(turn)

    def length(self, turn: Turn) -> int:
        """Return the length that batches are sorted by."""
        return self._by_conversation[turn.utterance.conversation].length(turn)


def cut_by_conversation(conversations: Sequence[str], parts: int, seed: int, key: str) -> list[frozenset[str]]:
    """Return the conversations in random parts whose sizes differ by one at most; ``key`` is a recipe's, for errors.

    Raises:
        ConfigError: There are fewer conversations than parts.
    """
    if len(conversations) < parts:
        raise ConfigError(f"{key} = {parts}: the training part has only {len(conversations)} conversations")
    order = np.random.default_rng(derived_seed(seed, "cross-fit")).permutation(len(conversations))
    return [frozenset(conversations[place] for place in order[part::parts]) for part in range(parts)]


def side_by_side(checkpoints: Sequence[Path], folder: Path) -> Path:
    """Return the folder with these models as ``member-*``, below ``folder`` and made unless it is there.

    A model alone stays where it is.
    """
    if len(checkpoints) == 1:
        return checkpoints[0]
    told = " ".join(identity(checkpoint) for checkpoint in checkpoints)
    place = folder / hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
    if not place.exists():
        with atomic_path(place) as temporary:
            for number, checkpoint in enumerate(checkpoints):
                shutil.copytree(checkpoint, temporary / f"member-{number:03}")
    return place


def check_ensemble(protocol: Protocol, manifest: Manifest, seeds: int) -> None:
    """Refuse an ensemble where each seed has a validation part of its own: another seed's model has learned from it.

    Raises:
        ConfigError: The protocol's folds differ between the seeds.
    """
    first = protocol.folds(manifest.utterances, 0)
    for seed in range(1, seeds):
        for fold, other in zip(first, protocol.folds(manifest.utterances, seed), strict=True):
            if (fold.name, set(fold.train), fold.test) != (other.name, set(other.train), other.test):
                raise ConfigError(
                    "ensemble: this protocol cuts another validation part for every seed, and models of other seeds "
                    "have learned from it; leave ensemble out, or choose a protocol with a fixed validation part"
                )


def check_offer(recipe: Recipe, modality: str, manifest: Manifest, protocol: Protocol) -> None:
    """Refuse, before it is trained, a feature extractor that would not give what the downstream model reads.

    Raises:
        MerkitError: It offers no embedding, compares speakers, or reads ahead for a causal the downstream model.
    """
    stage, (_, config) = recipe.extractors[modality], recipe.encoders[modality]
    assert isinstance(config, ExtractorConfig)
    encoders = build_encoders(stage.encoders, manifest.root, None)
    model = build_model(stage.model, stage.config, encoders, len(protocol.labels))
    trained = TrainedModel(model, stage.model, stage.config, protocol.labels)
    offer = build_extractor(config, modality, [trained], Path(f"encoders.{modality}.recipe"))  # its name in errors
    check_encoders(recipe.model, recipe.config, {modality: offer})


def check_named(recipe: Recipe, protocol: Protocol, fold: Fold, seed: int) -> None:
    """Refuse a feature extractor that was trained elsewhere on other classes, or on what this fold is measured on.

    Raises:
        MerkitError: It is such a one, or there is none.
    """
    for modality, (_, config) in recipe.encoders.items():
        if not isinstance(config, ExtractorConfig) or config.checkpoint is None:
            continue
        folder = Path(config.checkpoint)
        place = f"encoders.{modality}.checkpoint = '{folder}'"
        labels = read_config(folder).labels
        if labels != protocol.labels:
            raise ConfigError(
                f"{place}: its classes are {', '.join(labels)}, those of protocol '{recipe.protocol.name}' are "
                f"{', '.join(protocol.labels)}"
            )
        learned = read_trained_on(folder)
        for part, ids in (("test", fold.test), ("validation", fold.valid)):
            seen = sum(name_hash(id_) in learned for id_ in ids)
            if seen:
                raise ConfigError(
                    f"{place}: has learned from {seen} of the {len(ids)} utterances in the {part} part of fold "
                    f"{fold.name}, seed {seed}; name its recipe, and each fold and seed trains its own"
                )
