"""Where a result comes from: versions, code, machine."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

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


def describe_environment() -> dict[str, Any]:
    """Return versions of what computes, the code's commit and the machine, as JSON values."""
    return {
        "merkit": importlib.metadata.version("merkit"),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "commit": _commit(),
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


def _commit() -> str | None:
    """Return the commit of a source checkout, marked where files differ from it; ``None`` for an installed package."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607 (git from the path, as the user runs it)
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return described.stdout.strip() or None
