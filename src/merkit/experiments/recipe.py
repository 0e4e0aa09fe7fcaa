"""The recipe: one TOML file that is one complete experiment, checked whole before anything runs.

Tables: ``[config]`` (the model's), ``[encoders.<modality>]``, ``[training]``, ``[loss]``, ``[options]`` (the
protocol's), ``[views]`` for a model that learns from augmented views, and ``[teacher]`` for one that learns from
another's answers; at the top ``model``, ``protocol`` and ``seeds``. There is no inheritance; what is left out has the
default of its class.

An encoder ``checkpoint`` may name another recipe, its feature extractor, and ``[teacher]`` must name one: a file,
relative to
the recipe's own folder or else to the working directory. A resolved recipe holds its content in the file's place, as
the table ``[encoders.<modality>.recipe]`` or ``[teacher.recipe]``, so that it is complete.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from merkit.core.encoder import EncoderConfig, EncoderSpec
from merkit.core.errors import ConfigError, PluginError, UnknownNameError
from merkit.core.lookup import load, unknown
from merkit.core.model import ModelConfig, ModelSpec, reads_views
from merkit.core.protocol import ProtocolOptions, ProtocolSpec
from merkit.core.types import MODALITIES
from merkit.core.view import ViewConfig, ViewSpec
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.mistakes import Checked, validated
from merkit.experiments.recipe_files import put_override, read_toml, with_other_recipes
from merkit.experiments.shipped import find_file
from merkit.training.config import LossConfig, TrainingConfig


class _ViewsTable(BaseModel):
    """``[views]`` as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: Annotated[PositiveInt, Field(le=100)] = 2
    text: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None


class TeacherConfig(BaseModel):
    """``[teacher]``: a model whose answers to the training part are learned beside the labels.

    It never answers for a conversation that it has learned from: the training part is cut by conversation, and each
    part is answered for by a teacher that has learned from the others. Distillation is Hinton et al.'s (2015,
    arXiv 1503.02531), at temperature 1; the cutting is ours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str | dict[str, Any]
    """Of the teacher, a file or its content."""
    cross_fit: Annotated[int, Field(ge=2)] = 5
    """Into how many parts the training part is cut."""
    ensemble: Annotated[int, Field(ge=0)] = 0
    """0: every seed has a teacher of its own. k >= 1: teachers with the seeds 0 to k - 1, whose probabilities are
    averaged, for all seeds."""
    weight: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    """Of the loss against the teacher's answers, beside the model's own terms."""


class _File(BaseModel):
    """The recipe as it stands in the file, before its plug-ins' own tables are checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    protocol: str
    seeds: Annotated[PositiveInt, Field(le=1000)] = 3
    config: dict[str, Any] = {}
    encoders: dict[str, dict[str, Any]] = {}
    training: TrainingConfig = TrainingConfig()
    loss: LossConfig = LossConfig()
    options: dict[str, Any] = {}
    views: _ViewsTable | None = None
    teacher: TeacherConfig | None = None


@dataclass(frozen=True)
class ViewsChoice:
    """How augmented views are made; a modality without an engine stays as it is."""

    count: int
    """Per training utterance; one of them is drawn whenever the utterance is."""
    engines: Mapping[str, tuple[ViewSpec, ViewConfig]]
    """By modality; at least one."""

    def resolved(self) -> dict[str, Any]:
        """Return the table with every default written out."""
        engines = {
            modality: {"name": spec.reference, **config.model_dump(mode="json", exclude_none=True)}
            for modality, (spec, config) in self.engines.items()
        }
        return {"count": self.count, **engines}


@dataclass(frozen=True)
class Teacher:
    """The model that another one learns from."""

    recipe: "Recipe"
    config: TeacherConfig

    def resolved(self) -> dict[str, Any]:
        """Return the table with every default written out."""
        recipe = {key: value for key, value in self.recipe.resolved().items() if key != "seeds"}
        return {**self.config.model_dump(mode="json"), "recipe": recipe}


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: every name is known and every key has a valid value."""

    model: ModelSpec
    protocol: ProtocolSpec
    seeds: int
    config: ModelConfig
    encoders: Mapping[str, tuple[EncoderSpec, EncoderConfig]]
    """By modality."""
    training: TrainingConfig
    loss: LossConfig
    options: ProtocolOptions
    extractors: Mapping[str, "Recipe"] = field(default_factory=dict)
    """By modality: the recipe of an encoder that is trained first."""
    views: ViewsChoice | None = None
    """``None`` for a model that reads none."""
    teacher: Teacher | None = None
    """``None``: labels alone teach."""

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default written out, as TOML values (what is ``None`` is left out)."""
        encoders = {
            modality: {"name": spec.reference, **config.model_dump(mode="json", exclude_none=True)}
            for modality, (spec, config) in self.encoders.items()
        }
        return {
            "model": self.model.reference,
            "protocol": self.protocol.reference,
            "seeds": self.seeds,
            "config": self.config.model_dump(mode="json", exclude_none=True),
            "encoders": encoders,
            "training": self.training.model_dump(mode="json", exclude_none=True),
            "loss": self.loss.model_dump(mode="json", exclude_none=True),
            "options": self.options.model_dump(mode="json", exclude_none=True),
            **({} if self.views is None else {"views": self.views.resolved()}),
            **({} if self.teacher is None else {"teacher": self.teacher.resolved()}),
        }

    def to_toml(self) -> str:
        """Return the resolved recipe as the text of a TOML file."""
        return tomli_w.dumps(self.resolved())


def read_recipe(named: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, a file or a shipped one such as ``concat/parley``, and check all of it.

    ``overrides`` such as ``training.epochs=3`` are put in first.

    Raises:
        ConfigError: The file is missing, is no TOML, or has mistakes; all of them are listed.
    """
    path = find_file("recipes", named)
    values = with_other_recipes(read_toml(path), path)
    for override in overrides:
        put_override(values, override)
    return check_recipe(values, str(path))


def check_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Check the values of a recipe; ``source`` is named in errors.

    Raises:
        ConfigError: All mistakes, each with key, value and what is allowed.
    """
    values = with_other_recipes(values, Path(source))
    mistakes: list[str] = []
    file = validated(_File, values, (), mistakes)
    model = _plug_in("models", values.get("model"), "model", mistakes)
    protocol = _plug_in("protocols", values.get("protocol"), "protocol", mistakes)
    config = _checked_table(model, values.get("config", {}), "config", mistakes)
    options = (
        None if protocol is None else validated(protocol.options, values.get("options", {}), ("options",), mistakes)
    )
    encoders = _encoders(values.get("encoders", {}), mistakes)
    if model is not None:
        _check_modalities(model, len(encoders), mistakes)
        if file is not None and file.training.balanced and model.level == "conversation":
            mistakes.append(
                f"training.balanced = true: is for models of utterances; '{model.name}' reads conversations"
            )
    views = None if file is None or model is None else _views(file.views, model, config, mistakes)
    if file is not None and not mistakes:
        _check_training(file.training, encoders, mistakes)
    extractors, teacher = {}, None
    if protocol is not None and options is not None:
        extractors = _extractors(encoders, protocol, options, mistakes)
        for modality, stage in extractors.items():  # as many seeds as the downstream model, which says how many
            spec, keys = encoders[modality]
            content = {key: value for key, value in stage.resolved().items() if key != "seeds"}
            encoders[modality] = spec, keys.model_copy(update={"recipe": content})
        teacher = None if file is None else _teacher(file.teacher, protocol, options, mistakes)
    if mistakes or file is None:
        listed = mistakes[0] if len(mistakes) == 1 else "".join(f"\n  {mistake}" for mistake in mistakes)
        count = "" if len(mistakes) == 1 else f"{len(mistakes)} mistakes:"
        raise ConfigError(f"{source}: {count}{listed}")
    assert config is not None
    assert options is not None
    return Recipe(
        model, protocol, file.seeds, config, encoders, file.training, file.loss, options, extractors, views, teacher
    )


def _extractors(
    encoders: Mapping[str, tuple[EncoderSpec, EncoderConfig]],
    protocol: ProtocolSpec,
    options: ProtocolOptions,
    mistakes: list[str],
) -> dict[str, Recipe]:
    """Check the recipes of encoders that are trained first: same protocol, same options, one modality.

    Options that a feature extractor leaves out are those of the downstream model.
    """
    extractors = {}
    for modality, (_, config) in encoders.items():
        if not isinstance(config, ExtractorConfig) or not isinstance(config.recipe, dict):
            continue
        place = f"encoders.{modality}.recipe"
        stage = _helper(config.recipe, place, protocol, options, mistakes)
        if stage is None:
            continue
        if set(stage.encoders) != {modality} or stage.model.inputs:
            found = ", ".join(stage.encoders) or "none"
            mistakes.append(f"{place}.encoders: {found} found, expected {modality} alone")
        extractors[modality] = stage
    return extractors


def _teacher(
    config: TeacherConfig | None, protocol: ProtocolSpec, options: ProtocolOptions, mistakes: list[str]
) -> Teacher | None:
    """Check the teacher's recipe: same protocol, same options, which has none of its own."""
    if config is None:
        return None
    assert isinstance(config.recipe, dict)  # files are read before anything is checked
    if "teacher" in config.recipe:
        mistakes.append("teacher.recipe: has a teacher of its own; leave one of them out")
        return None
    recipe = _helper(config.recipe, "teacher.recipe", protocol, options, mistakes)
    if recipe is None:
        return None
    if any(isinstance(keys, ExtractorConfig) for _, keys in recipe.encoders.values()):
        mistakes.append("teacher.recipe: has a trained model for an encoder, which may know what it is to answer for")
    return Teacher(recipe, config)


def _helper(
    values: Mapping[str, Any], place: str, protocol: ProtocolSpec, options: ProtocolOptions, mistakes: list[str]
) -> Recipe | None:
    """Check a recipe that is trained for another one; options that it leaves out are those of that one."""
    below = values.get("encoders")
    if isinstance(below, Mapping) and any(isinstance(t, Mapping) and "recipe" in t for t in below.values()):
        mistakes.append(f"{place}: has a feature extractor of its own; there are two stages at most")
        return None
    if values.get("protocol") != protocol.reference:
        mistakes.append(f"{place}.protocol = {values.get('protocol')!r}: both recipes need '{protocol.reference}'")
        return None
    try:
        recipe = check_recipe(values if values.get("options") else {**values, "options": options.model_dump()}, place)
    except ConfigError as error:
        mistakes.append(str(error))
        return None
    if recipe.options != options:
        mistakes.append(f"{place}.options: differ from those of the recipe that names it; leave them out")
        return None
    return recipe


def check_options(kind: type[Checked], values: Mapping[str, Any], source: str) -> Checked:
    """Check the settings of one plug-in that were given outside a recipe.

    Raises:
        ConfigError: All mistakes.
    """
    mistakes: list[str] = []
    checked = validated(kind, values, (), mistakes)
    if checked is None:
        raise ConfigError(f"{source}: {'; '.join(mistakes)}")
    return checked


def _plug_in(package: str, name: Any, key: str, mistakes: list[str]) -> Any:
    if not isinstance(name, str):
        return None  # told by the file's own check
    try:
        return load(package, name)
    except (UnknownNameError, PluginError) as error:
        mistakes.append(f"{key}: {error}")
        return None


def _checked_table(spec: ModelSpec | None, values: Any, table: str, mistakes: list[str]) -> ModelConfig | None:
    return None if spec is None else validated(spec.config, values, (table,), mistakes)


def _encoders(tables: Any, mistakes: list[str]) -> dict[str, tuple[EncoderSpec, EncoderConfig]]:
    found: dict[str, tuple[EncoderSpec, EncoderConfig]] = {}
    if not isinstance(tables, Mapping):
        return found
    for modality, keys in tables.items():
        place = ("encoders", modality)
        if modality not in MODALITIES:
            mistakes.append("encoders: " + unknown("modality", modality, MODALITIES))
            continue
        if not isinstance(keys, Mapping) or "name" not in keys:
            mistakes.append(f"encoders.{modality}: 'name' is missing; 'merkit list encoders' names them")
            continue
        spec = _plug_in("encoders", keys["name"], f"encoders.{modality}.name", mistakes)
        if spec is None:
            continue
        if modality not in spec.modalities:
            mistakes.append(
                f"encoders.{modality}: '{spec.name}' encodes {' or '.join(spec.modalities)}, not {modality}"
            )
            continue
        config = validated(spec.config, {key: value for key, value in keys.items() if key != "name"}, place, mistakes)
        if config is not None:
            found[modality] = (spec, config)
    return found


def _views(
    table: _ViewsTable | None, model: ModelSpec, config: ModelConfig | None, mistakes: list[str]
) -> ViewsChoice | None:
    """Check ``[views]``: there for a model whose training reads views, and only for such a one."""
    if table is None:
        if config is not None and reads_views(model, config):
            mistakes.append(
                f"views: is missing; '{model.name}' with these settings learns from augmented views, made by engines "
                "that [views.text] and [views.audio] name ('merkit list views')"
            )
        return None
    if "views" not in model.inputs:
        mistakes.append(f"views: '{model.name}' reads no augmented views; leave the table out")
        return None
    engines: dict[str, tuple[ViewSpec, ViewConfig]] = {}
    given = {"text": table.text, "audio": table.audio}
    if not any(given.values()):
        mistakes.append("views: names no engine; give [views.text], [views.audio] or both")
    for modality, keys in given.items():
        if keys is None:
            continue
        spec = _plug_in("views", keys.get("name"), f"views.{modality}.name", mistakes)
        if spec is None:
            if not isinstance(keys.get("name"), str):
                mistakes.append(f"views.{modality}: 'name' is missing; 'merkit list views' names the engines")
            continue
        if spec.modality != modality:
            mistakes.append(f"views.{modality}: '{spec.name}' is an engine for {spec.modality}")
            continue
        others = {key: value for key, value in keys.items() if key != "name"}
        checked = validated(spec.config, others, ("views", modality), mistakes)
        if checked is not None:
            engines[modality] = (spec, checked)
    return ViewsChoice(table.count, engines)


def _check_modalities(model: ModelSpec, found: int, mistakes: list[str]) -> None:
    fewest, most = model.modalities
    if not mistakes and not fewest <= found <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        mistakes.append(
            f"encoders: {found} found, '{model.name}' takes {wanted}; each is a table [encoders.<modality>]"
        )


def _check_training(
    training: TrainingConfig, encoders: Mapping[str, tuple[EncoderSpec, EncoderConfig]], mistakes: list[str]
) -> None:
    """Tell of settings of training that the encoders leave nothing to do, before anything is extracted for them."""
    if training.batch_seconds is not None and "audio" not in encoders:
        mistakes.append(f"training.batch_seconds = {training.batch_seconds}: there is no [encoders.audio] to bound")
    if training.layer_decay < 1.0 and not any(config.trains_network for _, config in encoders.values()):
        mistakes.append(f"training.layer_decay = {training.layer_decay}: no encoder is trained (frozen = false)")
