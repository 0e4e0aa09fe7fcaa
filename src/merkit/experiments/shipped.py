"""Recipes and grids that come with merkit, found by name: in an installed package, or in the source checkout."""

from pathlib import Path

import merkit
from merkit.core.errors import ConfigError
from merkit.core.lookup import unknown

KINDS = {"recipes": "recipe", "grids": "grid"}


def shipped_folder(name: str) -> Path:
    """Return the folder of the shipped recipes, grids or results."""
    package = Path(merkit.__file__).parent
    installed = package / name
    return installed if installed.exists() else package.parent.parent / name


def shipped(kind: str) -> dict[str, Path]:
    """Return the shipped files of a kind (``recipes`` or ``grids``) by name, such as ``concat/parley``."""
    folder = shipped_folder(kind)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))}


def find_file(kind: str, named: str | Path) -> Path:
    """Return the file that a user names: a path, or the name of a shipped one.

    Raises:
        ConfigError: Neither exists; the message suggests the nearest name.
    """
    if Path(named).is_file():
        return Path(named)
    known = shipped(kind)
    name = Path(named).as_posix().removesuffix(".toml").removeprefix(f"{kind}/")
    if name in known:
        return known[name]
    message = unknown(KINDS[kind], str(named), known).partition(" Known:")[0]
    raise ConfigError(f"{message} Give a file, or a name that 'merkit list {kind}' prints.")
