"""JSON and lines of JSON, read strictly: damage, a repeated key and too deep nesting are errors of one line."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from merkit.core.errors import MerkitError
from merkit.data.files import open_file

_MOST_BYTES = 1 << 26
"""Of a file that `read_object` reads."""


def parse_json(text: str, *, nan: bool = True) -> Any:
    """Return a value of JSON.

    Args:
        text: The JSON.
        nan: Whether Python's ``NaN`` and ``Infinity``, which JSON does not have, are read.

    Raises:
        ValueError: It is not JSON, nested too deeply, or an object has a key twice; the message says which.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=None if nan else _refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise ValueError(f"{error.msg} ({place})") from error
    except ValueError as error:
        if "digits" in str(error):  # Python's own limit, in Python's own words
            raise ValueError("a number has thousands of digits") from None
        raise
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def parse_lines(text: str, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line of JSON; blank lines are ignored.

    Only line feeds end a line: U+2028 and its like may be part of a string.

    Raises:
        MerkitError: A line is no JSON object; names it.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise MerkitError(f"{source}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise MerkitError(f"{source}: line {number} is {type(row).__name__}, expected an object")
        yield number, row


def read_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that is an object, with finite numbers alone.

    Raises:
        MerkitError: It is missing, no regular file, not UTF-8, too large, or no object of JSON.
    """
    with open_file(path) as file:
        content = file.read(_MOST_BYTES + 1)
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        values = parse_json(content.decode(), nan=False)
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}, expected an object")
    except ValueError as error:
        raise MerkitError(f"{path} is damaged ({str(error)[:120]}). Get it again.") from error
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        repeated = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise ValueError(f"the key {repeated[:40]!r} occurs twice in an object")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
