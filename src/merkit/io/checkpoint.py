"""The checkpoint: a folder with all that predicts from a recording and a transcript; it contains no code.

``model.safetensors`` (trained weights and fitted statistics), ``config.json`` (what the model is built from),
``encoders/`` (tokenizers, network configurations, frozen weights that are not published, and for a feature extractor
its whole checkpoint), ``provenance.json``, ``trained-on.txt`` (hashes of the ids of the training utterances) and
``README.md``.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from merkit.core.encoder import Encoder, EncoderConfig, EncoderHome, EncoderSpec
from merkit.core.errors import CheckpointError, ConfigError, first_line
from merkit.core.language import CODE
from merkit.core.lookup import load
from merkit.core.model import Model, ModelConfig, ModelSpec, TrainedModel
from merkit.core.settings import Settings
from merkit.data.files import atomic_path
from merkit.data.strict_json import read_object
from merkit.formats.checkpoint_folder import (
    CONFIG,
    PROVENANCE,
    check_folder,
    check_hashes,
    checksum,
    file_hashes,
    read_config_values,
)
from merkit.io.decision_rule import DecisionRule
from merkit.io.plug_ins import PlugInRecord, load_recorded, record_plug_ins
from merkit.io.trained_on import write_trained_on
from merkit.nn.allocation import bounded_memory

FORMAT = 3
"""Raised whenever the files of a checkpoint change."""
_WITHOUT_HASHES = 2
"""An older format that is still read: without ``files`` and ``checksum``, so that damage may go unseen."""

_WEIGHTS = "model.safetensors"

EncoderChoice = tuple[EncoderSpec, EncoderConfig]
"""Which encoder, with which settings."""
EncoderChoices = Mapping[str, EncoderChoice]
"""By modality."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What a checkpoint's model is built from."""

    spec: ModelSpec
    config: ModelConfig
    labels: tuple[str, ...]
    encoders: EncoderChoices
    protocol: str
    temperature: float = 1.0
    """Logits are divided by it before softmax; 1: not calibrated."""
    decision_rule: DecisionRule | None = None
    """What a prediction says; ``None``: the label of the highest probability, always."""
    thresholds: tuple[float, ...] | None = None
    """Of a multi-label model, by label: the probability from which on an utterance has it. ``None``: one label each."""
    languages: tuple[str, ...] | None = None
    """Codes of the languages of the words that it was trained on, for a model that reads text; ``None``: not known."""

    @property
    def multi_label(self) -> bool:
        """Whether an utterance may have several labels."""
        return self.thresholds is not None

    @property
    def reads(self) -> set[str]:
        """The modalities that a prediction can rest on."""
        return set(self.encoders) | ({"text"} if "texts" in self.spec.inputs else set())

    def to_json(self, files: Mapping[str, str]) -> str:
        """Return the text of ``config.json``; ``files`` are the hashes of the files beside it."""
        values: dict[str, Any] = {
            "format": FORMAT,
            "model": self.spec.name,
            "model_config": self.config.toml_values(),
            "labels": self.labels,
            "encoders": {
                modality: {"name": spec.name, **config.toml_values()}
                for modality, (spec, config) in self.encoders.items()
            },
            "protocol": self.protocol,
            "temperature": self.temperature,
            **({} if self.decision_rule is None else {"decision_rule": self.decision_rule.toml_values()}),
            **({} if self.thresholds is None else {"thresholds": self.thresholds}),
            **({} if self.languages is None else {"languages": self.languages}),
            "plug_ins": record_plug_ins([self.spec, *(spec for spec, _ in self.encoders.values())]),
            "files": files,
        }
        return json.dumps({**values, "checksum": checksum(values)}, indent=2)


class _EncoderTable(BaseModel):
    """An encoder's name and settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str


_Label = Annotated[str, Field(min_length=1, max_length=1000)]
_Language = Annotated[str, Field(pattern=f"^{CODE}$")]
_Threshold = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class _File(Settings):
    """``config.json`` before the settings of the plug-ins are checked."""

    model_config = ConfigDict(protected_namespaces=(), strict=True)

    format: int
    model: str
    settings: dict[str, Any] = Field(alias="model_config")
    labels: Annotated[tuple[_Label, ...], Field(strict=False, min_length=1, max_length=10_000)]
    encoders: dict[Literal["text", "audio", "video"], _EncoderTable]
    protocol: str
    temperature: float = Field(ge=1e-3, le=1e3, allow_inf_nan=False)
    decision_rule: DecisionRule | None = None
    """Absent where a model always gives the label of the highest probability. Readers that do not know it refuse it."""
    thresholds: Annotated[tuple[_Threshold, ...] | None, Field(strict=False)] = None
    """By label, of a multi-label model alone. Readers that do not know it refuse it."""
    languages: Annotated[tuple[_Language, ...] | None, Field(strict=False, min_length=1)] = None
    """Absent where the languages of the training are not known. Readers that do not know it refuse it."""
    plug_ins: Annotated[tuple[PlugInRecord, ...], Field(strict=False)]
    files: dict[str, str] | None = None
    """Hashes of the other files; absent in format 2, as is the checksum."""
    checksum: str | None = None
    """Of all else in this file."""

    @model_validator(mode="after")
    def _fits_together(self) -> "_File":
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: two are the same")
        if not all(label.strip() for label in self.labels):
            raise ValueError("labels: one is blank")
        if self.decision_rule is not None:
            self.decision_rule.priors(self.labels)  # raises where they do not fit together
        if self.thresholds is not None and len(self.thresholds) != len(self.labels):
            raise ValueError(f"thresholds: {len(self.thresholds)} found, one for each of {len(self.labels)} labels")
        if self.thresholds is not None and self.decision_rule is not None:
            raise ValueError("decision_rule and thresholds: a multi-label model has no decision rule")
        hashed = {self.files is not None, self.checksum is not None}
        if hashed != {self.format != _WITHOUT_HASHES}:
            raise ValueError(f"files and checksum belong to format {FORMAT}, and to it alone")
        return self


def choose_encoders(
    tables: Mapping[str, Mapping[str, Any]], find: Callable[[str, str], EncoderSpec] = load
) -> dict[str, EncoderChoice]:
    """Check encoders by modality, each a table with its ``name`` and the keys of its config.

    ``find`` is ``merkit.core.lookup.load`` or one like it.

    Raises:
        UnknownNameError: There is no such encoder.
        ValidationError: A key is unknown or has a value that is not allowed.
    """
    choices = {}
    for modality, table in tables.items():
        spec = find("encoders", table["name"])
        choices[modality] = spec, spec.config(**{key: value for key, value in table.items() if key != "name"})
    return choices


def build_encoders(
    choices: EncoderChoices, data: Path | None, assets: Path | None, extractors: Mapping[str, Path] | None = None
) -> dict[str, Encoder]:
    """Build encoders by modality.

    Args:
        choices: Which encoders.
        data: The manifest's folder, for encoders that read published features.
        assets: The folder ``encoders`` of a checkpoint; ``None`` when training starts.
        extractors: By modality the checkpoint that the recipe had trained for an encoder.
    """
    encoders = {}
    for modality, (spec, config) in choices.items():
        home = EncoderHome(
            data=data,
            assets=None if assets is None else assets / modality,
            extractor=(extractors or {}).get(modality),
            open_model=partial(open_model, data=data),
        )
        encoders[modality] = spec.build(config, modality, home)
    return encoders


def build_model(
    spec: ModelSpec,
    config: ModelConfig,
    encoders: Mapping[str, Encoder],
    classes: int,
    *,
    multi_label: bool = False,
) -> Model:
    """Build a model on its encoders; ``multi_label``: an utterance may have several of the classes.

    Raises:
        ConfigError: An encoder does not fit the model.
    """
    check_encoders(spec, config, encoders)
    model = spec.build(encoders, classes, config)
    model.multi_label = multi_label
    return model


def check_encoders(spec: ModelSpec, config: ModelConfig, encoders: Mapping[str, Encoder]) -> None:
    """Refuse encoders that do not fit a model.

    Raises:
        ConfigError: One needs conversations where the model reads single utterances, reads ahead where it is causal, or
            has weights to be trained where the model is fitted without gradients.
    """
    for modality, encoder in encoders.items():
        if spec.is_fitted and any(parameter.requires_grad for parameter in encoder.parameters()):
            raise ConfigError(
                f"encoders.{modality} has weights to be trained, '{spec.name}' is fitted in one pass and trains none: "
                "set frozen = true for a pretrained network, or choose an encoder without weights, such as praat"
            )
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


def published_features(model: Model) -> list[str]:
    """Return the names of the published features that a model reads; with any, it cannot read recordings."""
    names = {encoder.published_features for encoder in model.encoders.values() if isinstance(encoder, Encoder)}
    return sorted(name for name in names if name is not None)


def stored_published_features(checkpoint: Path) -> list[str]:
    """Return `published_features` of a checkpoint's model, without loading it."""
    names: list[str] = read_object(checkpoint / PROVENANCE).get("published_features", [])
    return names


def save_checkpoint(
    folder: Path,
    model: Model,
    config: CheckpointConfig,
    provenance: Mapping[str, Any],
    card: str,
    learned: Collection[str] | None = None,
) -> None:
    """Write a checkpoint folder in one piece.

    Args:
        folder: Where to.
        model: Its weights are written.
        config: What the model is built from.
        provenance: How it was made.
        card: ``README.md``.
        learned: ``name_hash`` of every utterance that it was trained on, for `read_trained_on`.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
        save_file(state, temporary / _WEIGHTS)
        for modality, encoder in model.encoders.items():
            assert isinstance(encoder, Encoder)
            assets = temporary / "encoders" / modality
            assets.mkdir(parents=True)
            encoder.save_assets(assets)
        (temporary / CONFIG).write_text(config.to_json(file_hashes(temporary)))
        facts = {**provenance, "published_features": published_features(model)}
        if learned is not None:
            facts["trained_on"] = {**facts.get("trained_on", {}), **write_trained_on(temporary, learned)}
        (temporary / PROVENANCE).write_text(json.dumps(facts, indent=2))
        (temporary / "README.md").write_text(card)


def load_checkpoint(folder: Path, data: Path | None = None) -> tuple[Model, CheckpointConfig]:
    """Rebuild a checkpoint's model, in evaluation mode on the CPU; its weights must be exactly those of the model.

    Args:
        folder: The checkpoint.
        data: A manifest's folder, for encoders that read published features.

    Raises:
        CheckpointError: No checkpoint, another format, files other than it was saved with, or weights that do not fit.
    """
    file, config = _read(folder)
    if not (folder / _WEIGHTS).is_file():
        raise CheckpointError(f"{folder}: no {_WEIGHTS}. Copy the whole checkpoint folder.")
    if file.files is not None:
        check_hashes(folder, file.files)
    try:
        with bounded_memory(folder):
            encoders = build_encoders(config.encoders, data, folder / "encoders")
            model = build_model(
                config.spec, config.config, encoders, len(config.labels), multi_label=config.multi_label
            )
    except (RuntimeError, MemoryError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: cannot be built ({first_line(error)[:200]}): was it edited?") from error
    try:
        state = load_file(folder / _WEIGHTS)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / _WEIGHTS} is damaged ({error}). Copy the checkpoint again.") from error
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(_mismatch(folder, model, state, error)) from error
    model.eval()
    return model, config


def open_model(folder: Path, data: Path | None = None) -> TrainedModel:
    """Load a checkpoint for an encoder that uses its model, without drawing random numbers.

    Raises:
        CheckpointError: As ``load_checkpoint``.
    """
    with torch.random.fork_rng(devices=[]):  # weights begin on the CPU
        model, config = load_checkpoint(folder, data)
    return TrainedModel(model, config.spec, config.config, config.labels)


def read_config(folder: Path) -> CheckpointConfig:
    """Read and check a checkpoint's ``config.json``.

    Raises:
        CheckpointError: There is none, it is damaged, of another format, has settings that do not fit, or needs a
            plug-in that is missing or has changed.
    """
    return _read(folder)[1]


def _read(folder: Path) -> tuple[_File, CheckpointConfig]:
    """Return the content of ``config.json``, and what it stands for."""
    values = read_config_values(folder)
    path, stored = folder / CONFIG, values.get("format")
    if type(stored) is not int or stored not in (FORMAT, _WITHOUT_HASHES):
        newer = isinstance(stored, int) and stored > FORMAT
        remedy = "upgrade merkit" if newer else "train it again with this merkit, or load it with the one that wrote it"
        raise CheckpointError(
            f"{folder} has checkpoint format {str(stored)[:40]}, this merkit reads format {FORMAT}: {remedy}."
        )
    check_folder(folder)
    try:
        file = _File(**values)
        if file.checksum is not None and file.checksum != checksum(values):
            raise CheckpointError(f"{path} has changed since the checkpoint was saved: copy the folder again.")
        records = {(record.kind, record.name): record for record in file.plug_ins}
        find = partial(load_recorded, records=records, folder=folder)
        spec: ModelSpec = find("models", file.model)
        tables: dict[str, Any] = {modality: table.model_dump() for modality, table in file.encoders.items()}
        choices = choose_encoders(tables, find)
        return file, CheckpointConfig(
            spec,
            spec.config(**file.settings),
            file.labels,
            choices,
            file.protocol,
            file.temperature,
            file.decision_rule,
            file.thresholds,
            file.languages,
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path}: {error.error_count()} settings do not fit: {key}: {first['msg']}. Was it edited by hand?"
        ) from error


def _mismatch(folder: Path, model: Model, state: Mapping[str, Any], error: RuntimeError) -> str:
    wanted = model.state_dict()
    differences: list[tuple[str, Sequence[str]]] = [
        ("missing", sorted(set(wanted) - set(state))),
        ("unknown", sorted(set(state) - set(wanted))),
        ("of another shape", sorted(n for n in set(wanted) & set(state) if wanted[n].shape != state[n].shape)),
    ]
    listed = "; ".join(f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in differences if names)
    return f"{folder / _WEIGHTS}: tensors {listed or error}. It is incomplete or of another model: copy it again."
