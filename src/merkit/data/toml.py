"""Reading TOML, with every error a ``tomllib.TOMLDecodeError``."""

import tomllib
from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """Return the values of a TOML document.

    Raises:
        tomllib.TOMLDecodeError: It is no TOML, or nested more deeply than Python can follow.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
