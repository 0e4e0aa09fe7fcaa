"""The models that come with merkit: checkpoints, each in a folder of its own beside this file."""

from pathlib import Path

from merkit.core.errors import UnknownNameError
from merkit.core.lookup import unknown

PREFIX = "builtin:"
DEFAULT = "builtin:conversation-en"
"""What labels recordings where no checkpoint is named."""
_FOLDER = Path(__file__).parent
_CONFIG = "config.json"
"""Every checkpoint has it."""


def built_in_models() -> dict[str, Path]:
    """Return the checkpoint folders of the models that come with merkit, by names such as ``builtin:voice``."""
    paths = sorted(_FOLDER.glob(f"*/{_CONFIG}"))
    return {PREFIX + path.parent.name: path.parent for path in paths}


def built_in_model(name: str) -> Path:
    """Return the checkpoint folder of a model that comes with merkit.

    Raises:
        UnknownNameError: None has this name.
    """
    models = built_in_models()
    if name not in models:
        known = unknown("built-in model", name, models or ["none in this version"])
        raise UnknownNameError(f"{known}. For a model of your own give the folder 'checkpoint' of its run.")
    return models[name]
