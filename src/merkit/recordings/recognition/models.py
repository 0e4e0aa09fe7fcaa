"""Recognisers by name: the built-in one, a folder, or a hub id with its revision."""

import importlib.util
import os
import re
from functools import lru_cache
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.io.joined import is_joined
from merkit.recordings.recognition.engine import Engine
from merkit.weights.folders import recognizer_folder, whereabouts
from merkit.weights.known import WHISPER_BASE, built_in

BUILTIN = WHISPER_BASE.name
"""Whisper base, multilingual (Radford et al. 2022), from the packages of the extra ``speech``."""
_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)@(.*)")


@lru_cache(maxsize=2)
def open_engine(name: str | Path = BUILTIN) -> Engine:
    """Return a recogniser, of which nothing is loaded yet; the same one for the same name.

    Args:
        name: A built-in name; the folder of a Whisper, as faster-whisper (``model.bin``) or Hugging Face
            (``model.safetensors``) has it; or ``org/name@REVISION`` of the hub, with the 40 digits of a commit.

    Raises:
        ConfigError: There is no such built-in recogniser, folder or revision.
        MerkitError: The package that it needs is not installed.
    """
    from merkit.recordings.recognition.faster_whisper import WEIGHTS, FasterWhisper
    from merkit.recordings.recognition.hugging_face import HuggingFaceWhisper

    name = os.fspath(name)
    folder = Path(name)
    hub = _HUB.fullmatch(name)
    if name.startswith("builtin:"):
        built_in(name)
        engine: Engine = FasterWhisper(name, lambda: recognizer_folder(name))
    elif folder.is_dir() and (folder / WEIGHTS).is_file():
        engine = FasterWhisper(name, lambda: folder)
    elif folder.is_dir() or hub is None:
        return HuggingFaceWhisper(name)
    else:
        return HuggingFaceWhisper(hub[1], hub[2])
    if not _can_run():
        raise MerkitError("Words are recognised with the extra 'asr': pip install 'merkit[asr,speech]'")
    return engine


def default_engine(checkpoint: Path) -> Engine | None:
    """Return what recognises words for a checkpoint if nothing is said of it.

    The built-in recogniser, where it is installed, for one that joins words and voice; ``None`` for all others.
    """
    installed = _can_run() and whereabouts(WHISPER_BASE) is not None
    return open_engine(BUILTIN) if installed and is_joined(checkpoint) else None


def _can_run() -> bool:
    return importlib.util.find_spec("faster_whisper") is not None
