"""Tables of a recipe checked by their classes, with a message for every mistake: key, value, what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from merkit.core.errors import ConfigError, PluginError, UnknownNameError
from merkit.core.lookup import load, unknown

Checked = TypeVar("Checked", bound=BaseModel)


def validated(kind: type[Checked], values: Any, table: tuple[str, ...], mistakes: list[str]) -> Checked | None:
    """Return a table as an instance of its class; ``None`` if it has errors, each a message in ``mistakes``."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            mistakes.append(_describe(kind, item, table))
        return None


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


def plug_in(package: str, name: Any, key: str, mistakes: list[str]) -> Any:
    """Return the ``SPEC`` of a plug-in; ``None``, and a mistake, if none has this name."""
    if not isinstance(name, str):
        return None  # the check of the file's own keys reports it
    try:
        return load(package, name)
    except (UnknownNameError, PluginError) as error:
        mistakes.append(f"{key}: {error}")
        return None


def plug_in_table(kind: str, modality: str, table: Any, mistakes: list[str]) -> Any:
    """Return the ``SPEC`` and the settings of a plug-in, from the table ``[<kind>.<modality>]`` with its ``name``.

    ``None``, and at least one mistake, if the table has errors.
    """
    where = f"{kind}.{modality}"
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        mistakes.append(f"{where}: 'name' is missing; 'merkit list {kind}' prints the names")
        return None
    spec = plug_in(kind, table["name"], f"{where}.name", mistakes)
    if spec is None:
        return None
    if modality not in (modalities := getattr(spec, "modalities", None) or (spec.modality,)):
        mistakes.append(f"{where}: '{spec.name}' is for {' or '.join(modalities)}, not for {modality}")
        return None
    settings = {name: value for name, value in table.items() if name != "name"}
    config = validated(spec.config, settings, (kind, modality), mistakes)
    return None if config is None else (spec, config)


def joined(mistakes: Sequence[str]) -> str:
    """Return one mistake as it is, several as a list with their number."""
    if len(mistakes) == 1:
        return mistakes[0]
    return f"{len(mistakes)} mistakes:" + "".join(f"\n  {mistake}" for mistake in mistakes)


def _describe(kind: type[BaseModel], item: Any, table: tuple[str, ...]) -> str:
    """Describe one of pydantic's errors: key, value, what is allowed."""
    path = [str(key) for key in item["loc"]]
    key = ".".join((*table, *path))
    if item["type"] == "extra_forbidden":
        owner = _owner(kind, path[:-1])
        hint = unknown("key", path[-1], sorted(owner.model_fields)) if owner is not None else f"No key '{path[-1]}'"
        return f"{'.'.join((*table, *path[:-1])) or 'top level'}: {hint}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    message = item["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list, such as ['a', 'b']")
    given = "" if isinstance(item["input"], Mapping) else f" = {item['input']!r}"  # a whole table is too long
    return f"{key}{given}: {message[:1].lower() + message[1:]}"


def _owner(kind: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """Return the class whose field a path leads into."""
    for name in path:
        field = kind.model_fields.get(name)
        annotation = None if field is None else field.annotation
        candidates = [annotation, *get_args(annotation)] if get_origin(annotation) else [annotation]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return None
        kind = models[0]
    return kind
