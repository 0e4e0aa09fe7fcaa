"""Where a result comes from: versions, code, machine."""

import importlib.metadata
import os
import platform
import resource
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import merkit
from merkit.core.errors import MerkitError
from merkit.data.checksums import damaged_files, hash_files, read_regular, seal, unseal
from merkit.data.files import write_texts

_LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "scikit-learn",
    "soundfile",
    "av",
    "praat-parselmouth",
    "opensmile",
)

RECIPE = "recipe.toml"
PROVENANCE = "provenance.json"

RUN_FORMAT = 2
"""Raised whenever the files of a run change; no other format is read."""


def check_run_format(run: Path, provenance: Mapping[str, Any]) -> None:
    """Refuse a run whose ``provenance.json`` names another format.

    Raises:
        MerkitError: It does; 1 is the format of those that name none.
    """
    stored = provenance.get("format", 1)
    if stored != RUN_FORMAT:
        raise MerkitError(
            f"'{run}' has run format {stored}, this merkit reads and writes {RUN_FORMAT}: train it again in another "
            "folder, or read it with the merkit that made it."
        )


def write_run_files(run: Path, recipe: str, provenance: Mapping[str, Any]) -> None:
    """Write a run's ``recipe.toml``, and its ``provenance.json`` with the recipe's hash."""
    write_texts({run / RECIPE: recipe})
    write_texts({run / PROVENANCE: seal({**provenance, "files": hash_files(run, [run / RECIPE])})})


def read_provenance(run: Path) -> dict[str, Any]:
    """Return a run's provenance.

    Raises:
        ValueError: It is damaged.
        OSError: It is missing or cannot be read.
    """
    provenance = unseal(run / PROVENANCE)
    data = provenance.get("data")
    if not isinstance(data, dict) or not all(isinstance(data.get(name), str) for name in ("path", "sha256")):
        raise ValueError("it does not name the data")
    return provenance


def find_provenance(run: Path) -> dict[str, Any] | None:
    """Return a run's provenance, or where it is damaged that of a checkpoint; ``None``: neither can be read."""
    with suppress(OSError, ValueError):
        provenance = read_provenance(run)
        check_recipe_file(run, provenance)
        return provenance
    for path in sorted(run.glob(f"fold-*/seed-*/checkpoint/{PROVENANCE}")):
        with suppress(OSError, ValueError):
            return read_provenance(path.parent)
    with suppress(OSError, ValueError):
        return read_provenance(run)
    return None


def check_recipe_file(run: Path, provenance: Mapping[str, Any]) -> None:
    """Check that a run's ``recipe.toml`` is the one that was written with its provenance.

    Raises:
        ValueError: It is damaged or missing.
    """
    if damaged_files(run, provenance.get("files", {})):
        raise ValueError(f"{RECIPE} is not what was written")


def train_command(run: Path) -> str:
    """Return the command that makes again what is damaged or missing in a run."""
    provenance = find_provenance(run) or {}
    command = str(provenance.get("command", ""))
    words = [word for word in command.split() if not word.startswith("-")]
    if words[:2] == ["merkit", "demo"] or (words[:2] == ["merkit", "train"] and "--data" in command):
        return command
    data = provenance["data"]["path"] if provenance else "DATA"
    recipe = run / RECIPE
    own: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        own = read_provenance(run)
    try:
        read_regular(recipe)
        check_recipe_file(run, own)
    except (OSError, ValueError):  # nothing could be made from it
        recipe = Path("RECIPE")
    return shlex.join(["merkit", "train", str(recipe), "--data", data, "--out", str(run)])


def describe_environment() -> dict[str, Any]:
    """Return versions of what computes, the code's commit and the machine, as JSON values."""
    return {
        "merkit": importlib.metadata.version("merkit"),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "commit": commit_of(Path(merkit.__file__).parent),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerators": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        },
    }


def peak_memory_bytes() -> int:
    """Return the most memory this process has held so far: of the accelerator if one is used, else resident memory."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit_of(package: Path) -> str | None:
    """Return the commit of the checkout of merkit that a package folder lies in, ending in ``-dirty`` where its source
    files differ from it.

    ``None`` for an installed package, even inside another repository.
    """
    top = _git(package, "rev-parse", "--show-toplevel")
    commit = _git(package, "rev-parse", "HEAD")
    if not top or not commit or package.resolve() != Path(top).resolve() / "src" / "merkit":
        return None
    try:
        project = tomllib.loads((Path(top) / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, KeyError, TypeError, ValueError):
        return None
    if project != "merkit":
        return None
    return f"{commit}-dirty" if _git(package, "status", "--porcelain", "--", ".") else commit


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; ``None`` where it fails or is not installed."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 (fixed words)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
