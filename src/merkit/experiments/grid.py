"""Ablation grids: named changes to one recipe, each a run of its own, shown in one table.

A grid is a TOML file with a list of ``[[variants]]``. Each has a ``name`` (its run's folder), tables below ``set`` that
are merged into the recipe's, and keys or tables to ``remove`` from it first::

    [[variants]]
    name = "forward-only"
    set.config.causal = true

    [[variants]]
    name = "without-audio"
    remove = ["encoders.audio"]

The unchanged recipe is the run ``base``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.settings import Settings
from merkit.data.checksums import seal, unseal
from merkit.data.files import write_texts
from merkit.experiments.code import code_hashes
from merkit.experiments.mistakes import check_options, joined
from merkit.experiments.recipe import Recipe
from merkit.experiments.recipe_files import read_toml
from merkit.experiments.recipe_reader import check_recipe, read_recipe
from merkit.experiments.run import train_recipe
from merkit.experiments.shipped import find_file
from merkit.io.provenance import train_command

BASE = "base"
FILE = "variant.json"
"""In the folder of a grid's run: which variant it is."""


class _Variant(Settings):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
    set: dict[str, Any] = Field(default={})
    remove: tuple[str, ...] = ()


class _File(Settings):
    variants: Annotated[list[dict[str, Any]], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Variant:
    """The name of one run of a grid and how it differs from the base."""

    name: str
    changes: tuple[str, ...]
    """Such as ``config.causal = true``; empty for the base."""
    number: int
    """Its position in the grid; 0: the base."""


@dataclass(frozen=True, slots=True)
class PlannedVariant(Variant):
    """A variant with its whole recipe."""

    recipe: Recipe


def read_grid(named: str | Path, recipe: str | Path, overrides: Sequence[str] = ()) -> list[PlannedVariant]:
    """Read a grid and check the whole recipe of each of its variants; the base comes first.

    Args:
        named: The grid, a file or the name of a shipped one.
        recipe: The base recipe, a file or a name as well.
        overrides: As for `read_recipe`, for all variants.

    Raises:
        ConfigError: The file is missing or no TOML, or there are mistakes; those of all variants are listed.
    """
    path = find_file("grids", named)
    base = read_recipe(recipe, overrides)
    planned = [PlannedVariant(BASE, (), 0, base)]
    mistakes: list[str] = []
    for number, table in enumerate(check_options(_File, read_toml(path, "grid"), str(path)).variants, start=1):
        where = f"variant '{table.get('name', number)}'"
        try:
            planned.append(_plan(check_options(_Variant, table, where), planned, where))
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError(f"{path}: {joined(mistakes)}")
    return planned


def train_grid(
    variants: Sequence[PlannedVariant],
    data: Path,
    out: Path,
    **options: Any,
) -> list[Path]:
    """Train every variant in a folder of its own below ``out``; an interrupted call is resumed.

    ``options`` are those of `train_recipe`.

    Returns:
        The runs' folders in the grid's order.

    Raises:
        MerkitError: As `train_recipe`.
    """
    for variant in variants:
        code_hashes(variant.recipe.plug_ins())  # reads all files as they are now, before the first variant is trained
    runs = []
    for variant in variants:
        run = out / variant.name
        train_recipe(variant.recipe, data, run, **options)
        values = {"name": variant.name, "changes": variant.changes, "number": variant.number}
        write_texts({run / FILE: seal(values)})
        runs.append(run)
    return runs


def variant_of(run: Path) -> Variant | None:
    """Return which variant of a grid a run is; ``None`` for a run of no grid.

    Raises:
        MerkitError: The file that says so is damaged.
    """
    path = run / FILE
    if not path.exists():
        return None
    try:
        values = unseal(path)
        return Variant(str(values["name"]), tuple(map(str, values["changes"])), int(values["number"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MerkitError(f"'{path}' is damaged ({error}). Make it again with: {train_command(run)}") from error


def _plan(variant: _Variant, planned: Sequence[PlannedVariant], where: str) -> PlannedVariant:
    """Return a variant with its checked recipe, which must differ from those of all earlier ones."""
    if variant.name == BASE:
        raise ConfigError(f"variants: '{BASE}' is the name of the unchanged recipe; choose another one")
    if any(other.name == variant.name for other in planned):
        raise ConfigError(f"variants: '{variant.name}' appears more than once")
    touched = {*variant.set, *(key.split(".")[0] for key in variant.remove)}
    if fixed := sorted({"seeds", "protocol", "options"} & touched):
        raise ConfigError(f"{where}: {fixed[0]} must be the same for all variants, else they cannot be compared")
    values = planned[0].recipe.resolved()
    for key in variant.remove:
        _remove(values, key, where)
    recipe = check_recipe(_merged(values, variant.set), where)
    twin = next((other for other in planned if other.recipe.resolved() == recipe.resolved()), None)
    if twin is not None:
        relation = "changes nothing" if twin is planned[0] else f"is the same as '{twin.name}'"
        raise ConfigError(f"variants: '{variant.name}' {relation}")
    changes = [f"without {key}" for key in variant.remove]
    changes += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in _leaves(variant.set)]
    return PlannedVariant(variant.name, tuple(changes), len(planned), recipe)


def _remove(values: dict[str, Any], key: str, where: str) -> None:
    *tables, last = key.split(".")
    owner: Any = values
    for table in tables:
        owner = owner.get(table) if isinstance(owner, dict) else None
    if not isinstance(owner, dict) or last not in owner:
        raise ConfigError(f"{where}: remove = '{key}': not in the recipe")
    del owner[last]


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with changes merged in, tables key by key."""
    merged = dict(values)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
