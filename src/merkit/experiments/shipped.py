"""Where the recipes and grids that come with merkit lie: inside an installed package, or in the source checkout."""

from pathlib import Path

import merkit


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes."""
    return _folder("recipes")


def grids_folder() -> Path:
    """Return the folder of the shipped grids."""
    return _folder("grids")


def _folder(name: str) -> Path:
    package = Path(merkit.__file__).parent
    installed = package / name
    return installed if installed.exists() else package.parent.parent / name
