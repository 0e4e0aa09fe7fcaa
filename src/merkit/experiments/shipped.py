"""Where the recipes that come with merkit lie."""

from pathlib import Path

import merkit


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes: inside an installed package, or in the source checkout."""
    package = Path(merkit.__file__).parent
    installed = package / "recipes"
    return installed if installed.exists() else package.parent.parent / "recipes"
