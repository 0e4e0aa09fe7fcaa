"""Arguments of public functions, checked against their annotations before anything is done with them.

A value of another type is an error of one line that names the argument. Numbers of NumPy become Python's own, paths in
any form a `Path` where that is expected, and what is listed a tuple, so that it can be read twice.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from merkit.core.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: Mapping[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    NoneType: "None",
    Mapping: "a dictionary",
    Sequence: "a list",
    Iterable: "a list",
}
_SHOWN = (str, int, float, NoneType, os.PathLike, np.generic)
"""Types of which an error shows the value; of others it names the type."""
_MOST = 40
"""Characters of a value that an error shows."""


class _OtherTypeError(Exception):
    """A value is not of a type."""


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that raises `ConfigError` where an argument is of another type than its annotation."""
    signature = inspect.signature(function)
    kinds = cache(lambda: get_type_hints(function))

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # raises what Python says of arguments that are missing or unknown
        for name, value in bound.arguments.items():
            if name in kinds() and signature.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = checked_value(value, kinds()[name], name)
        return function(*bound.args, **bound.kwargs)

    return checked


def check_fields(instance: Any) -> None:
    """Check the fields of a frozen dataclass, in its ``__post_init__``.

    Raises:
        ConfigError: A value is of another type than its annotation.
    """
    for name, kind in get_type_hints(type(instance)).items():
        object.__setattr__(instance, name, checked_value(getattr(instance, name), kind, name))


def checked_value(value: Any, kind: Any, name: str) -> Any:
    """Return a value as an annotation says.

    Args:
        value: The value.
        kind: The annotation.
        name: The argument's name, for the error.

    Raises:
        ConfigError: The value is of another type.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for each in kinds:
        with suppress(_OtherTypeError):
            return _converted(value, each, name)
    shown = f"{value!r:.{_MOST}}" if isinstance(value, _SHOWN) else f"of type {type(value).__name__}"
    expected = " or ".join(map(_described, kinds))
    is_one = isinstance(value, str) and any(_is_list(each) and str in get_args(each) for each in kinds)
    raise ConfigError(f"{name} is {shown}, expected {expected}{f': {name}=[{shown}]' if is_one else ''}")


def _converted(value: Any, kind: Any, name: str) -> Any:
    """Return a value as one type; the parts of a list or dictionary are checked too."""
    origin, parts = get_origin(kind), get_args(kind)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if kind is Any:
        return value
    if kind is bool and isinstance(value, np.bool_):
        return bool(value)
    if kind is str and isinstance(value, str):
        return str.__str__(value)
    if kind is int and is_number and (isinstance(value, Integral) or float(value).is_integer()):
        return int(value)
    if kind is float and is_number:
        with suppress(OverflowError):
            return float(value)
    if kind is Path and isinstance(value, str | os.PathLike):
        with suppress(TypeError):  # a path of bytes
            return Path(value)
    if _is_list(kind):
        return tuple(checked_value(each, parts[0], f"{name}[{turn}]") for turn, each in enumerate(_items(value)))
    if origin is tuple and len(items := _items(value)) == len(parts):
        return tuple(checked_value(each, part, name) for each, part in zip(items, parts, strict=True))
    if origin is Mapping and isinstance(value, Mapping):
        own = {checked_value(key, parts[0], f"a name in {name}"): each for key, each in value.items()}
        return {key: checked_value(each, parts[1], f"{name}[{key!r}]") for key, each in own.items()}
    if _is_function(kind):
        fits = callable(value)
    else:
        fits = isinstance(kind, type) and kind not in (int, float, Path) and isinstance(value, kind)
    if fits:
        return value
    raise _OtherTypeError


def _items(value: Any) -> tuple[Any, ...]:
    """Return what a list, a generator or an array holds."""
    listed = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    if not listed or getattr(value, "ndim", 1) == 0:
        raise _OtherTypeError
    return tuple(value)


def _is_list(kind: Any) -> bool:
    """Return whether an annotation is one of a list of any length."""
    return get_origin(kind) in (Sequence, Iterable) or (get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis)


def _is_function(kind: Any) -> bool:
    """Return whether an annotation is a protocol, as those of functions are."""
    return getattr(kind, "_is_protocol", False) is True


def _described(kind: Any) -> str:
    """Return a type in words."""
    if get_origin(kind) is tuple and not _is_list(kind):
        return f"({', '.join(map(_described, get_args(kind)))})"
    if _is_function(kind):
        return "a function"
    return "a list" if _is_list(kind) else _WORDS.get(get_origin(kind) or kind, getattr(kind, "__name__", str(kind)))
