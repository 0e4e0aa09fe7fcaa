"""Reading a recipe: the whole file is checked before anything runs, and all mistakes are listed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, create_model

from merkit.core.errors import ConfigError
from merkit.core.lookup import load, names, unknown
from merkit.core.model import ModelSpec
from merkit.core.protocol import ProtocolOptions, ProtocolSpec
from merkit.core.settings import Settings
from merkit.core.types import MODALITIES
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.mistakes import joined, plug_in, plug_in_table, validated
from merkit.experiments.recipe import CheckOther, Recipe
from merkit.experiments.recipe_files import put_override, read_toml, with_other_recipes
from merkit.experiments.shipped import find_file
from merkit.experiments.transforms.registry import TRANSFORMS
from merkit.io.checkpoint import EncoderChoice, EncoderChoices
from merkit.training.config import LossConfig, TrainingConfig


class _File(Settings):
    """The recipe's file before the tables of its plug-ins are checked; `_FILE` has those of the transforms as well."""

    model: str
    protocol: str
    seeds: Annotated[PositiveInt, Field(le=1000)] = 3
    config: dict[str, Any] = Field(default={})
    encoders: dict[str, dict[str, Any]] = Field(default={})
    training: TrainingConfig = TrainingConfig()
    loss: LossConfig = LossConfig()
    options: dict[str, Any] = Field(default={})


_TABLES: dict[str, Any] = {each.name: (each.table | None, None) for each in TRANSFORMS if each.table is not None}
_FILE: type[_File] = create_model("_FILE", __base__=_File, **_TABLES)


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
    file = validated(_FILE, values, (), mistakes)
    model: ModelSpec | None = plug_in("models", values.get("model"), "model", mistakes)
    protocol: ProtocolSpec | None = plug_in("protocols", values.get("protocol"), "protocol", mistakes)
    config = None if model is None else validated(model.config, values.get("config", {}), ("config",), mistakes)
    options = None
    if protocol is not None:
        options = validated(protocol.options, values.get("options", {}), ("options",), mistakes)
    encoders = _encoders(values.get("encoders", {}), mistakes)
    if model is not None:
        _check_modalities(model, len(encoders), mistakes)
        if file is not None and file.training.balanced and model.level == "conversation":
            mistakes.append(
                f"training.balanced = true: is for models of utterances; '{model.name}' reads conversations"
            )
    if file is not None and not mistakes:
        _check_training(file.training, encoders, mistakes)
        if protocol is not None and options is not None and protocol.build(options, True).multi_label:
            _check_multi_label(file, model, mistakes)
        elif model is not None and model.is_fitted:
            _check_fitted(file, model, mistakes)
    if protocol is not None and options is not None:
        check_other = partial(_check_other, protocol, options)
        extractors = _extractors(encoders, check_other, mistakes)
        if file is not None and model is not None and config is not None:
            recipe = Recipe(
                model, protocol, file.seeds, config, encoders, file.training, file.loss, options, extractors
            )
            transforms = {}
            for each in TRANSFORMS:
                settings = each.check_table(getattr(file, each.name, None), recipe, check_other, mistakes)
                if settings is not None:
                    transforms[each.name] = settings
            if not mistakes:
                return replace(recipe, transforms=transforms)
    raise ConfigError(f"{source}: {joined(mistakes)}")


def _extractors(encoders: dict[str, EncoderChoice], check_other: CheckOther, mistakes: list[str]) -> dict[str, Recipe]:
    """Check the recipes of feature extractors, and put their checked content into the encoders' settings."""
    extractors = {}
    for modality, (spec, config) in encoders.items():
        if not isinstance(config, ExtractorConfig) or not isinstance(config.recipe, dict):
            continue
        key = f"encoders.{modality}.recipe"
        recipe = check_other(config.recipe, key, mistakes)
        if recipe is None:
            continue
        if set(recipe.encoders) != {modality} or recipe.model.inputs:
            names = ", ".join(recipe.encoders) or "none"
            mistakes.append(f"{key}.encoders: {names} found, expected {modality} alone")
        extractors[modality] = recipe
        encoders[modality] = spec, config.model_copy(update={"recipe": recipe.without_seeds()})
    return extractors


def _check_other(
    protocol: ProtocolSpec, options: ProtocolOptions, values: Mapping[str, Any], key: str, mistakes: list[str]
) -> Recipe | None:
    """Check the recipe of a model that is trained for another one; options that it leaves out are that one's."""
    encoders = values.get("encoders")
    if isinstance(encoders, Mapping) and any(isinstance(t, Mapping) and "recipe" in t for t in encoders.values()):
        mistakes.append(f"{key}: has a feature extractor of its own; there are two stages at most")
        return None
    if values.get("protocol") != protocol.reference:
        mistakes.append(f"{key}.protocol = {values.get('protocol')!r}: both recipes need '{protocol.reference}'")
        return None
    try:
        own = values.get("options") or {}
        both = {**options.model_dump(), **own} if isinstance(own, Mapping) else own
        recipe = check_recipe({**values, "options": both}, key)
    except ConfigError as error:
        mistakes.append(str(error))
        return None
    if recipe.options != options:
        mistakes.append(f"{key}.options: differ from those of the recipe that names it; leave them out")
        return None
    return recipe


def _encoders(tables: Any, mistakes: list[str]) -> dict[str, EncoderChoice]:
    encoders: dict[str, EncoderChoice] = {}
    if not isinstance(tables, Mapping):
        return encoders
    for modality, table in tables.items():
        if modality not in MODALITIES:
            mistakes.append("encoders: " + unknown("modality", modality, MODALITIES))
        elif choice := plug_in_table("encoders", modality, table, mistakes):
            encoders[modality] = choice
    return encoders


def _check_modalities(model: ModelSpec, count: int, mistakes: list[str]) -> None:
    fewest, most = model.modalities
    if not mistakes and not fewest <= count <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        mistakes.append(
            f"encoders: {count} found, '{model.name}' takes {wanted}; each is a table [encoders.<modality>]"
        )


def _check_fitted(file: _File, model: ModelSpec, mistakes: list[str]) -> None:
    """Report what weighs utterances for gradients, where there are none."""
    fitted = f"'{model.name}' is fitted without gradients"
    weights = "; its config has class_weights" if "class_weights" in model.config.model_fields else ""
    if file.loss != LossConfig():
        mistakes.append(f"loss: {fitted}, leave [loss] out{weights}")
    if file.training.balanced:
        mistakes.append(f"training.balanced = true: {fitted}, leave it out{weights}")


def _check_multi_label(file: _File, model: ModelSpec | None, mistakes: list[str]) -> None:
    """Report what needs one label per utterance, where the protocol has several."""
    several = f"protocol '{file.protocol}' has several labels per utterance"
    if model is not None and not model.multi_label:
        able = [name for name in names("models") if load("models", name).multi_label]
        mistakes.append(f"model: '{model.name}' learns one label per utterance, {several}; known: {', '.join(able)}")
    if file.loss != LossConfig():
        mistakes.append(f"loss: {several}, whose loss is the binary cross entropy of each: leave [loss] out")
    if file.training.balanced:
        mistakes.append(f"training.balanced = true: {several}, it draws utterances by their one class")
    if getattr(file, "teacher", None) is not None:
        mistakes.append(f"teacher: {several}, distillation is for models of one")


def _check_training(training: TrainingConfig, encoders: EncoderChoices, mistakes: list[str]) -> None:
    """Report training settings that have no effect with these encoders, before anything is extracted."""
    if training.batch_seconds is not None and "audio" not in encoders:
        mistakes.append(f"training.batch_seconds = {training.batch_seconds}: there is no [encoders.audio] to bound")
    if training.layer_decay < 1.0 and not any(config.trains_network for _, config in encoders.values()):
        mistakes.append(f"training.layer_decay = {training.layer_decay}: no encoder is trained (frozen = false)")
