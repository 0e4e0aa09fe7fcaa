"""The folder is the registry: a plug-in's name is its file's name, and nothing is imported until asked for."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from merkit.core.errors import UnknownNameError

KINDS = {
    "models": "model",
    "encoders": "encoder",
    "corpora": "corpus",
    "protocols": "protocol",
    "aligners": "aligner",
    "views": "view engine",
}
"""Package below ``merkit`` to the word for one of its members."""


def names(package: str) -> list[str]:
    """Return the names of all plug-ins of a package (``models``, ``encoders``, …), sorted.

    A file name's underscores are hyphens in the names of protocols (``crema_d6.py`` is ``crema-d6``).
    """
    folder = Path(__file__).parent.parent / package
    found = (
        module.name
        for module in pkgutil.iter_modules([str(folder)])
        if not (module.name.startswith("_") or module.ispkg)
    )
    return sorted(name.replace("_", "-") if package == "protocols" else name for name in found)


def load(package: str, name: str) -> Any:
    """Import one plug-in and return its ``SPEC``.

    Raises:
        UnknownNameError: No file carries the name; the message suggests the nearest one.
    """
    known = names(package)
    if name not in known:
        raise UnknownNameError(unknown(KINDS[package], name, known))
    module = importlib.import_module(f"merkit.{package}.{name.replace('-', '_')}")
    return module.SPEC


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that nothing carries.

    >>> unknown("model", "cmaht", ["ada2i", "cmath"])
    "No model named 'cmaht'. Did you mean 'cmath'? Known: ada2i, cmath"
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"No {kind} named '{name}'.{hint} Known: {', '.join(known)}"
