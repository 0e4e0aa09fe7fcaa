"""A strict reader of JSON files: no repeated keys, no numbers that are none, no endless nesting."""

import json
from pathlib import Path
from typing import Any, NoReturn

from merkit.core.errors import MerkitError
from merkit.data.files import open_file

_MOST_BYTES = 1 << 26


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        MerkitError: It is missing, no regular file, not UTF-8, too large or no JSON.
    """
    with open_file(path) as file:
        content = file.read(_MOST_BYTES + 1)
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        return json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise MerkitError(f"{path} is damaged (nested too deeply). Get it again.") from None
    except ValueError as error:
        raise MerkitError(f"{path} is damaged ({str(error)[:120]}). Get it again.") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that is an object.

    Raises:
        MerkitError: As `read_json`, or it is no object.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise MerkitError(f"{path} is damaged (a {type(values).__name__}, expected an object). Get it again.")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
