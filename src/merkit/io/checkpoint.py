"""The checkpoint: a folder that goes from a waveform and a transcript to a distribution; nothing in it can run code.

``model.safetensors`` (trained weights and fitted statistics), ``config.json`` (all that builds the model),
``encoders/`` (tokenizers, network configurations, frozen weights that are published nowhere, a whole checkpoint where
an encoder is a trained model), ``provenance.json`` and ``README.md``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import CheckpointError, ConfigError
from merkit.core.lookup import load
from merkit.core.model import Model, ModelConfig, ModelSpec, TrainedModel
from merkit.data.files import atomic_path

FORMAT = 1
"""Raised when an older merkit could no longer read what this one writes."""

_WEIGHTS = "model.safetensors"
_CONFIG = "config.json"


@dataclass(frozen=True)
class CheckpointConfig:
    """All that builds a checkpoint's model, as it stands in ``config.json``."""

    format: int
    model: str
    model_config: Mapping[str, Any]
    labels: tuple[str, ...]
    encoders: Mapping[str, Mapping[str, Any]]
    """By modality: ``name`` and the keys of the encoder's config."""
    protocol: str
    temperature: float = 1.0
    """What logits are divided by before softmax; 1: not calibrated."""


def build_encoders(
    settings: Mapping[str, Mapping[str, Any]],
    data: Path | None,
    assets: Path | None,
    stages: Mapping[str, Path] | None = None,
) -> dict[str, Encoder]:
    """Build encoders by modality from their settings (``name`` and config keys).

    ``stages`` holds by modality the checkpoint of a stage one that the recipe had trained.
    """
    encoders = {}
    for modality, keys in settings.items():
        spec = load("encoders", keys["name"])
        config = spec.config(**{key: value for key, value in keys.items() if key != "name"})
        home = EncoderHome(
            data=data,
            assets=None if assets is None else assets / modality,
            stage_one=None if stages is None else stages.get(modality),
            open_model=partial(open_model, data=data),
        )
        encoders[modality] = spec.build(config, modality, home)
    return encoders


def build_model(name: str, settings: Mapping[str, Any], encoders: Mapping[str, Encoder], classes: int) -> Model:
    """Build a model by name from its config's keys.

    Raises:
        ConfigError: An encoder does not go with the model.
    """
    spec = load("models", name)
    config = spec.config(**settings)
    check_encoders(spec, config, encoders)
    model: Model = spec.build(encoders, classes, config)
    return model


def check_encoders(spec: ModelSpec, config: ModelConfig, encoders: Mapping[str, Encoder]) -> None:
    """Refuse encoders that do not go with a model.

    Raises:
        ConfigError: One needs conversations where the model reads single utterances, or reads ahead where it is causal.
    """
    for modality, encoder in encoders.items():
        if encoder.needs_conversation and spec.level == "utterance":
            raise ConfigError(
                f"encoders.{modality} reads whole conversations, '{spec.name}' single utterances: choose a model of "
                "conversations such as 'single_conversation', or give the encoder a number of previous turns as context"
            )
        if encoder.reads_ahead and config.is_causal():
            raise ConfigError(
                f"encoders.{modality} reads what follows a turn, '{spec.name}' with causal = true the past alone: set "
                "config.causal = false, or choose an encoder that reads no further than the turn"
            )


def save_checkpoint(
    folder: Path, model: Model, config: CheckpointConfig, provenance: Mapping[str, Any], card: str
) -> None:
    """Write a checkpoint folder in one piece; ``card`` is its ``README.md``."""
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
        save_file(state, temporary / _WEIGHTS)
        for modality, encoder in model.encoders.items():
            assert isinstance(encoder, Encoder)
            assets = temporary / "encoders" / modality
            assets.mkdir(parents=True)
            encoder.save_assets(assets)
        (temporary / _CONFIG).write_text(json.dumps(asdict(config), indent=2))
        (temporary / "provenance.json").write_text(json.dumps(provenance, indent=2))
        (temporary / "README.md").write_text(card)


def load_checkpoint(folder: Path, data: Path | None = None) -> tuple[Model, CheckpointConfig]:
    """Rebuild a checkpoint's model, in evaluation mode on the CPU; every weight must be there and none too many.

    Args:
        folder: The checkpoint.
        data: A manifest's folder, for encoders that read published features.

    Raises:
        CheckpointError: No checkpoint, a newer format, or weights that do not fit.
    """
    config = read_config(folder)
    try:
        encoders = build_encoders(config.encoders, data, folder / "encoders")
        model = build_model(config.model, config.model_config, encoders, len(config.labels))
    except ValidationError as error:
        raise CheckpointError(
            f"{folder / _CONFIG}: {error.error_count()} settings do not fit: {error.errors()[0]['msg']}"
        ) from error
    try:
        state = load_file(folder / _WEIGHTS)
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {_WEIGHTS}. Copy the whole checkpoint folder.") from None
    except SafetensorError as error:
        raise CheckpointError(f"{folder / _WEIGHTS} is damaged ({error}). Copy the checkpoint again.") from error
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(_mismatch(folder, model, state, error)) from error
    model.eval()
    return model, config


def open_model(folder: Path, data: Path | None = None) -> TrainedModel:
    """Open a checkpoint for an encoder that is made of it; as ``load_checkpoint``, and draws no random number.

    Raises:
        CheckpointError: As ``load_checkpoint``.
    """
    with torch.random.fork_rng(devices=[]):  # weights begin on the CPU
        model, config = load_checkpoint(folder, data)
    spec = load("models", config.model)
    return TrainedModel(model, spec, spec.config(**config.model_config), config.labels)


def name_hash(utterance: str) -> str:
    """Return 16 hexadecimal digits that stand for an utterance's id, which may name a person."""
    return hashlib.blake2b(utterance.encode(), digest_size=8).hexdigest()


def read_trained_on(folder: Path) -> frozenset[str]:
    """Return ``name_hash`` of every utterance that a checkpoint, or a stage one in it, has learned from.

    Raises:
        CheckpointError: It does not say.
    """
    path = folder / "provenance.json"
    try:
        return frozenset(json.loads(path.read_text())["trained_on"]["utterances"].split())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not say which utterances the model has learned from: train it again, or name its recipe"
        ) from error


def read_config(folder: Path) -> CheckpointConfig:
    """Read a checkpoint's ``config.json``.

    Raises:
        CheckpointError: There is none, it is damaged, or of a newer format.
    """
    path = folder / _CONFIG
    try:
        values = json.loads(path.read_text())
        found = values.get("format")
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"No checkpoint in '{folder}': {_CONFIG} is missing. "
            "Give the folder 'checkpoint' of a run, such as runs/NAME/fold-F/seed-0/checkpoint."
        ) from None
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}). Copy the checkpoint again.") from error
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {found}, this merkit reads up to {FORMAT}: upgrade merkit."
        )
    known = set(CheckpointConfig.__dataclass_fields__)
    if set(values) != known:
        strange = ", ".join(sorted(set(values) ^ known))
        raise CheckpointError(f"{path}: keys missing or unknown: {strange}. Was it edited by hand?")
    values["labels"] = tuple(values["labels"])
    return CheckpointConfig(**values)


def _mismatch(folder: Path, model: Model, state: Mapping[str, Any], error: RuntimeError) -> str:
    wanted = model.state_dict()
    parts: list[tuple[str, Sequence[str]]] = [
        ("missing", sorted(set(wanted) - set(state))),
        ("unknown", sorted(set(state) - set(wanted))),
        ("of another shape", sorted(n for n in set(wanted) & set(state) if wanted[n].shape != state[n].shape)),
    ]
    told = "; ".join(f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in parts if names)
    return f"{folder / _WEIGHTS}: tensors {told or error}. It is incomplete or of another model: copy it again."
