"""The recipe: one TOML file that is one complete experiment, checked whole before anything runs.

Tables: ``[config]`` (the model's), ``[encoders.<modality>]``, ``[training]``, ``[loss]``, ``[options]`` (the
protocol's), and ``[views]`` for a model that learns from augmented views; at the top ``model``, ``protocol`` and
``seeds``. There is no inheritance; what is left out has the default of its class.

An encoder ``checkpoint`` may name another recipe, its stage one: a file, relative to the recipe's own folder or else to
the working directory. A resolved recipe holds its content in the file's place, as the table
``[encoders.<modality>.recipe]``, so that it is complete.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from merkit.core.encoder import EncoderConfig, EncoderSpec
from merkit.core.errors import ConfigError, UnknownNameError
from merkit.core.lookup import load, unknown
from merkit.core.model import ModelConfig, ModelSpec, reads_views
from merkit.core.protocol import ProtocolOptions, ProtocolSpec
from merkit.core.types import MODALITIES
from merkit.core.view import ViewConfig, ViewSpec
from merkit.encoders.checkpoint import StageOneConfig
from merkit.training.config import LossConfig, TrainingConfig

Checked = TypeVar("Checked", bound=BaseModel)


class _ViewsTable(BaseModel):
    """``[views]`` as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: Annotated[PositiveInt, Field(le=100)] = 2
    text: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None


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
            modality: {"name": spec.name, **config.model_dump(mode="json", exclude_none=True)}
            for modality, (spec, config) in self.engines.items()
        }
        return {"count": self.count, **engines}


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
    stages: Mapping[str, "Recipe"] = field(default_factory=dict)
    """By modality: the recipe of an encoder that is trained first."""
    views: ViewsChoice | None = None
    """``None`` for a model that reads none."""

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default written out, as TOML values (what is ``None`` is left out)."""
        encoders = {
            modality: {"name": spec.name, **config.model_dump(mode="json", exclude_none=True)}
            for modality, (spec, config) in self.encoders.items()
        }
        for modality, stage in self.stages.items():  # as many seeds as stage two, which says how many
            encoders[modality]["recipe"] = {key: value for key, value in stage.resolved().items() if key != "seeds"}
        return {
            "model": self.model.name,
            "protocol": self.protocol.name,
            "seeds": self.seeds,
            "config": self.config.model_dump(mode="json", exclude_none=True),
            "encoders": encoders,
            "training": self.training.model_dump(mode="json", exclude_none=True),
            "loss": self.loss.model_dump(mode="json", exclude_none=True),
            "options": self.options.model_dump(mode="json", exclude_none=True),
            **({} if self.views is None else {"views": self.views.resolved()}),
        }

    def to_toml(self) -> str:
        """Return the resolved recipe as the text of a TOML file."""
        return tomli_w.dumps(self.resolved())


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, put overrides such as ``training.epochs=3`` in, and check all of it.

    Raises:
        ConfigError: The file is missing, is no TOML, or has mistakes; all of them are listed.
    """
    values = _with_stages(_read(path), path)
    for override in overrides:
        _put(values, override)
    return check_recipe(values, str(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"No recipe '{path}'. Shipped ones lie in recipes/; 'merkit list recipes' names them."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read the recipe '{path}': {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _with_stages(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a recipe's values with the content of stage-one recipes in the place of their files' names."""
    encoders = values.get("encoders")
    if not isinstance(encoders, Mapping):
        return dict(values)
    filled = dict(encoders)
    for modality, keys in encoders.items():
        named = keys.get("recipe") if isinstance(keys, Mapping) and keys.get("name") == "checkpoint" else None
        if isinstance(named, str):
            beside = path.parent / named
            filled[modality] = {**keys, "recipe": _read(beside if beside.is_file() else Path(named))}
    return {**values, "encoders": filled}


def check_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Check the values of a recipe; ``source`` is named in errors.

    Raises:
        ConfigError: All mistakes, each with key, value and what is allowed.
    """
    values = _with_stages(values, Path(source))
    mistakes: list[str] = []
    file = _validated(_File, values, (), mistakes)
    model = _plug_in("models", values.get("model"), "model", mistakes)
    protocol = _plug_in("protocols", values.get("protocol"), "protocol", mistakes)
    config = _checked_table(model, values.get("config", {}), "config", mistakes)
    options = (
        None if protocol is None else _validated(protocol.options, values.get("options", {}), ("options",), mistakes)
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
    stages = {} if protocol is None or options is None else _stages(encoders, protocol, options, mistakes)
    if mistakes or file is None:
        listed = mistakes[0] if len(mistakes) == 1 else "".join(f"\n  {mistake}" for mistake in mistakes)
        count = "" if len(mistakes) == 1 else f"{len(mistakes)} mistakes:"
        raise ConfigError(f"{source}: {count}{listed}")
    assert config is not None
    assert options is not None
    return Recipe(model, protocol, file.seeds, config, encoders, file.training, file.loss, options, stages, views)


def _stages(
    encoders: Mapping[str, tuple[EncoderSpec, EncoderConfig]],
    protocol: ProtocolSpec,
    options: ProtocolOptions,
    mistakes: list[str],
) -> dict[str, Recipe]:
    """Check the recipes of encoders that are trained first: same protocol, same options, one modality.

    Options that a stage one leaves out are those of stage two.
    """
    stages = {}
    for modality, (_, config) in encoders.items():
        if not isinstance(config, StageOneConfig) or not isinstance(config.recipe, dict):
            continue
        place = f"encoders.{modality}.recipe"
        values = config.recipe if config.recipe.get("options") else {**config.recipe, "options": options.model_dump()}
        below = values.get("encoders")
        if isinstance(below, Mapping) and any(isinstance(t, Mapping) and "recipe" in t for t in below.values()):
            mistakes.append(f"{place}: has a stage one of its own; there are two stages at most")
            continue
        if values.get("protocol") != protocol.name:
            mistakes.append(f"{place}.protocol = {values.get('protocol')!r}: both stages need '{protocol.name}'")
            continue
        try:
            stage = check_recipe(values, place)
        except ConfigError as error:
            mistakes.append(str(error))
            continue
        if stage.options != options:
            mistakes.append(f"{place}.options: differ from those of stage two; leave them out")
        elif set(stage.encoders) != {modality} or stage.model.inputs:
            found = ", ".join(stage.encoders) or "none"
            mistakes.append(f"{place}.encoders: {found} found, expected {modality} alone")
        stages[modality] = stage
    return stages


def check_options(kind: type[Checked], values: Mapping[str, Any], source: str) -> Checked:
    """Check the settings of one plug-in that were given outside a recipe.

    Raises:
        ConfigError: All mistakes.
    """
    mistakes: list[str] = []
    checked = _validated(kind, values, (), mistakes)
    if checked is None:
        raise ConfigError(f"{source}: {'; '.join(mistakes)}")
    return checked


def _put(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=3")
    *tables, last = key.split(".")
    place: Any = values
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override}: '{table}' is a value, not a table")
    try:
        place[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        place[last] = text


def _plug_in(package: str, name: Any, key: str, mistakes: list[str]) -> Any:
    if not isinstance(name, str):
        return None  # told by the file's own check
    try:
        return load(package, name)
    except UnknownNameError as error:
        mistakes.append(f"{key}: {error}")
        return None


def _checked_table(spec: ModelSpec | None, values: Any, table: str, mistakes: list[str]) -> ModelConfig | None:
    return None if spec is None else _validated(spec.config, values, (table,), mistakes)


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
        config = _validated(spec.config, {key: value for key, value in keys.items() if key != "name"}, place, mistakes)
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
        checked = _validated(spec.config, others, ("views", modality), mistakes)
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
    if training.layer_decay < 1.0 and all(getattr(config, "frozen", True) for _, config in encoders.values()):
        mistakes.append(f"training.layer_decay = {training.layer_decay}: no encoder is trained (frozen = false)")


def _validated(kind: type[Checked], values: Any, place: tuple[str, ...], mistakes: list[str]) -> Checked | None:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            mistakes.append(_told(kind, item, place))
        return None


def _told(kind: type[BaseModel], item: Any, place: tuple[str, ...]) -> str:
    """Put one of pydantic's findings into words: key, value, what is allowed."""
    path = [str(part) for part in item["loc"]]
    key = ".".join((*place, *path))
    if item["type"] == "extra_forbidden":
        owner = _owner(kind, path[:-1])
        hint = unknown("key", path[-1], sorted(owner.model_fields)) if owner is not None else f"No key '{path[-1]}'"
        return f"{'.'.join((*place, *path[:-1])) or 'top level'}: {hint}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    said = item["msg"].removeprefix("Value error, ")
    given = "" if isinstance(item["input"], Mapping) else f" = {item['input']!r}"  # a whole table says nothing
    return f"{key}{given}: {said[:1].lower() + said[1:]}"


def _owner(kind: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """Return the class whose field a path leads into."""
    for part in path:
        field = kind.model_fields.get(part)
        annotation = None if field is None else field.annotation
        candidates = [annotation, *get_args(annotation)] if get_origin(annotation) else [annotation]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return None
        kind = found[0]
    return kind
