"""Feature extractors of a recipe: models that are trained first, and whose vectors the downstream model reads.

Each is trained in ``<run>/feature-extractors/<modality>/``, a run in its own right. The models of an ensemble are
copied to its ``ensemble/<hash>/member-<n>/``.
"""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from merkit.core.errors import ConfigError
from merkit.core.model import TrainedModel
from merkit.core.protocol import Fold, Protocol
from merkit.data.corpus.manifest import Manifest
from merkit.data.files import atomic_path
from merkit.encoders.checkpoint import ExtractorConfig, build_extractor, checkpoint_hash
from merkit.experiments.recipe import Recipe
from merkit.io.checkpoint import build_encoders, build_model, check_encoders, read_config
from merkit.io.trained_on import name_hash, read_trained_on

FOLDER = "feature-extractors"

_log = logging.getLogger(__name__)


def side_by_side(checkpoints: Sequence[Path], folder: Path) -> Path:
    """Return the folder, below ``folder``, that holds copies of these models as ``member-*``.

    A single model is not copied.
    """
    if len(checkpoints) == 1:
        return checkpoints[0]
    hashes = [checkpoint_hash(checkpoint) for checkpoint in checkpoints]
    joined = folder / hashlib.blake2b(" ".join(hashes).encode(), digest_size=6).hexdigest()
    if joined.exists() and [checkpoint_hash(copy) for copy in sorted(joined.glob("member-*"))] != hashes:
        _log.warning("'%s' is damaged: it is copied again", joined)
        shutil.rmtree(joined)
    if not joined.exists():
        with atomic_path(joined) as temporary:
            for number, checkpoint in enumerate(checkpoints):
                shutil.copytree(checkpoint, temporary / f"member-{number:03}")
    return joined


def check_offer(recipe: Recipe, modality: str, manifest: Manifest, protocol: Protocol) -> None:
    """Refuse, before it is trained, a feature extractor whose vectors the downstream model cannot read.

    Raises:
        MerkitError: It offers no embedding, compares speakers, or reads ahead for a causal downstream model.
    """
    extractor, (_, config) = recipe.extractors[modality], recipe.encoders[modality]
    assert isinstance(config, ExtractorConfig)
    encoders = build_encoders(extractor.encoders, manifest.root, None)
    model = build_model(extractor.model, extractor.config, encoders, len(protocol.labels))
    trained = TrainedModel(model, extractor.model, extractor.config, protocol.labels)
    offer = build_extractor(config, modality, [trained], Path(f"encoders.{modality}.recipe"))  # its name in errors
    check_encoders(recipe.model, recipe.config, {modality: offer})


def check_named(recipe: Recipe, protocol: Protocol, fold: Fold, seed: int) -> None:
    """Refuse a feature extractor that was trained elsewhere on other classes, or on what this fold is measured on.

    Raises:
        MerkitError: It is such a one, or the checkpoint is missing.
    """
    for modality, (_, config) in recipe.encoders.items():
        if not isinstance(config, ExtractorConfig) or config.checkpoint is None:
            continue
        folder = Path(config.checkpoint)
        key = f"encoders.{modality}.checkpoint = '{folder}'"
        labels = read_config(folder).labels
        if labels != protocol.labels:
            raise ConfigError(
                f"{key}: its classes are {', '.join(labels)}, those of protocol '{recipe.protocol.name}' are "
                f"{', '.join(protocol.labels)}"
            )
        learned = read_trained_on(folder)
        for split, ids in (("test", fold.test), ("validation", fold.valid)):
            seen = sum(name_hash(id_) in learned for id_ in ids)
            if seen:
                raise ConfigError(
                    f"{key}: has learned from {seen} of the {len(ids)} utterances in the {split} split of fold "
                    f"{fold.name}, seed {seed}; name its recipe, and each fold and seed trains its own"
                )
