"""Recipe files before they are checked: the files that they name, and overrides such as ``training.epochs=3``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import ConfigError
from merkit.data.toml import parse_toml
from merkit.experiments.shipped import find_file


def read_toml(path: Path, kind: str = "recipe") -> dict[str, Any]:
    """Return the values of a recipe or a grid; plug-ins that are files beside it are named by absolute paths.

    Raises:
        ConfigError: It cannot be read, or is no TOML.
    """
    try:
        return _with_absolute_plug_ins(parse_toml(path.read_text(encoding="utf-8")), path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read the {kind} '{path}': {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _with_absolute_plug_ins(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a table with ``./gmu.py`` as an absolute path wherever a plug-in is named."""
    values = dict(table)
    for key, value in table.items():
        if isinstance(value, Mapping):
            values[key] = _with_absolute_plug_ins(value, folder)
        elif key in ("model", "protocol", "name") and isinstance(value, str) and value.endswith(".py"):
            values[key] = str((folder / value).resolve())
    return values


def with_other_recipes(values: Mapping[str, Any], path: Path, depth: int = 2) -> dict[str, Any]:
    """Return a recipe's values with the content of other recipes in place of the names of their files.

    They are named by the key ``recipe`` of a top-level table or of an encoder ``checkpoint``; those of the other
    recipes themselves are read down to ``depth``, and refused later.
    """
    filled = {key: _with_content(table, path, depth) for key, table in values.items()}
    encoders = values.get("encoders")
    if isinstance(encoders, Mapping):
        filled["encoders"] = {
            modality: _with_content(table, path, depth)
            if isinstance(table, Mapping) and table.get("name") == "checkpoint"
            else table
            for modality, table in encoders.items()
        }
    return filled


def _with_content(table: Any, path: Path, depth: int) -> Any:
    if not isinstance(table, Mapping) or depth == 0:
        return table
    recipe = table.get("recipe")
    if isinstance(recipe, str):  # a file beside this one or in the working directory, or a shipped one
        beside = path.parent / recipe
        path = beside if beside.is_file() else find_file("recipes", recipe)
        recipe = read_toml(path)
    return {**table, "recipe": with_other_recipes(recipe, path, depth - 1)} if isinstance(recipe, Mapping) else table


def put_override(values: dict[str, Any], override: str) -> None:
    """Set one key, ``table.key=VALUE``, or take it out, ``table.key=``; a value that is not TOML is a string.

    Raises:
        ConfigError: The override has no key or no ``=``, its key leads into a value, or there is no key to take out.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=3")
    *tables, last = key.split(".")
    owner: Any = values
    for table in tables:
        owner = owner.setdefault(table, {})
        if not isinstance(owner, dict):
            raise ConfigError(f"--set {override}: '{table}' is a value, not a table")
    if not text:
        if last not in owner:
            raise ConfigError(f"--set {override}: there is no '{key}' to take out; a value goes behind the =")
        del owner[last]
        return
    try:
        owner[last] = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        owner[last] = text
