"""Tables of a recipe checked by their classes, with every mistake in words: key, value, what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from merkit.core.lookup import unknown

Checked = TypeVar("Checked", bound=BaseModel)


def validated(kind: type[Checked], values: Any, place: tuple[str, ...], mistakes: list[str]) -> Checked | None:
    """Return a table's values as their class has them; or ``None``, and what is wrong with them joins ``mistakes``."""
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
