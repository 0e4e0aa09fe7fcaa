"""Where the recipes and grids that come with merkit lie: inside an installed package, or in the source checkout."""

from pathlib import Path

import merkit
from merkit.core.errors import UnknownNameError
from merkit.core.lookup import unknown


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes."""
    return _folder("recipes")


def find_recipe(recipe: str | Path) -> Path:
    """Return the file of a recipe: a path, or the name of a shipped one, such as ``concat/parley``.

    Raises:
        UnknownNameError: There is neither such a file nor such a name.
    """
    path = Path(recipe)
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = recipes_folder()
    found = shipped / f"{recipe}.toml"
    if not found.is_file():
        names = sorted(file.relative_to(shipped).with_suffix("").as_posix() for file in shipped.rglob("*.toml"))
        raise UnknownNameError(unknown("recipe", str(recipe), names))
    return found


def grids_folder() -> Path:
    """Return the folder of the shipped grids."""
    return _folder("grids")


def _folder(name: str) -> Path:
    package = Path(merkit.__file__).parent
    installed = package / name
    return installed if installed.exists() else package.parent.parent / name
