"""Hashes of the source files that make a cell's result, so that results of other code are not mistaken for today's.

Counted are the modules of the plug-ins that a cell uses, the cell runner, and every merkit module that they import,
directly or not. Comments, docstrings and layout do not count. A process reads each file once.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from merkit.core import source
from merkit.core.errors import MerkitError
from merkit.core.lookup import PlugInSpec
from merkit.core.phrases import listed

_WITHOUT_EFFECT = frozenset(
    f"merkit.{name}"
    for name in (
        "core.errors",
        "core.lookup",
        "core.progress",
        "core.source",
        "experiments.code",
        "experiments.mistakes",
        "experiments.provenance",
        "experiments.resume",
        "io.card",
        "io.lock",
        "io.provenance",
    )
)
"""Modules that describe or find results and do not compute them."""


def code_hashes(plug_ins: Iterable[PlugInSpec]) -> dict[str, str]:
    """Return a hash of each source file that takes part in training and prediction with these plug-ins, by its name."""
    runner = source.PACKAGE / "experiments" / "run_cell.py"
    loaded = {spec.origin.file: spec.origin.content for spec in plug_ins if spec.origin}
    return source.code_hashes({runner: source.read(runner), **loaded}, _has_effect)


def _has_effect(module: str) -> bool:
    return module not in _WITHOUT_EFFECT


def check_code(folder: Path, stored: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a cell whose settings and data are today's and whose code is not.

    Raises:
        MerkitError: Names the files that differ.
    """
    differing = source.changed_files(stored, now)
    if differing:
        features = ""
        if any(name.startswith("merkit/encoders/") for name in differing):
            features = " Stored features are used again unless an encoder's version is raised or their folder removed."
        raise MerkitError(
            f"'{folder}' was made by other code, from the same settings and data: {listed(differing, 5)} "
            "changed since. Repeat the command with --again to train it anew, give another folder with --out, or "
            f"restore the files.{features}"
        )
