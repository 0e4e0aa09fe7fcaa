"""The state of a training run between two epochs, from which a killed run resumes; no pickle."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from merkit.data.checksums import damaged_files, hash_files, seal, unseal
from merkit.data.files import atomic_path, link_or_copy

STATE = "state"
"""Name of the folder, in that of a cell."""
_MODEL = "model.safetensors"
_BEST = "best.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_PROGRESS = "progress.json"


@dataclass
class TrainingProgress:
    """How far training has proceeded."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Optimiser steps done."""
    best_epoch: int = 0
    """The selected one; 0: none yet."""
    best_value: float | None = None
    """Selection metric at ``best_epoch``."""
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)
    """Loss scale of fp16."""


def save_state(
    folder: Path, model_state: Mapping[str, Tensor], optimizer: Optimizer, progress: TrainingProgress
) -> None:
    """Write the state after an epoch as ``folder/epoch-<n>`` and remove the one before; a kill leaves one of the two.

    The best weights so far are stored with it: this epoch's if it is the best, else the earlier ones, linked.
    """
    before = _newest(folder)
    with atomic_path(folder / f"epoch-{progress.epoch:05d}") as temporary:
        temporary.mkdir(parents=True)
        # clones: safetensors refuses tensors that share memory, as those of a layer that is used twice
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model_state.items()}
        save_file(state, temporary / _MODEL)
        if progress.best_epoch == progress.epoch:
            link_or_copy(temporary / _MODEL, temporary / _BEST)
        elif before is not None and (before / _BEST).exists():
            link_or_copy(before / _BEST, temporary / _BEST)
        tensors = {
            f"{number}.{key}": torch.as_tensor(value).detach().cpu().contiguous()
            for number, values in optimizer.state_dict()["state"].items()
            for key, value in values.items()
            if value is not None
        }
        save_file(tensors, temporary / _OPTIMIZER)
        files = hash_files(temporary, temporary.glob("*.safetensors"))
        (temporary / _PROGRESS).write_text(seal({**vars(progress), "files": files}))
    if before is not None:
        shutil.rmtree(before)


def load_state(folder: Path, model: torch.nn.Module, optimizer: Optimizer) -> TrainingProgress:
    """Load the newest state into model and optimiser; a fresh ``TrainingProgress`` if none is stored."""
    newest = _newest(folder)
    if newest is None:
        return TrainingProgress()
    model.load_state_dict(load_file(newest / _MODEL), strict=True)
    tensors = load_file(newest / _OPTIMIZER)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    values = unseal(newest / _PROGRESS)
    del values["files"]
    return TrainingProgress(**values)


def finished_epochs(folder: Path) -> int | None:
    """Return after how many epochs training can resume; ``None`` if the newest state is damaged or there is none."""
    newest = _newest(folder)
    if newest is None:
        return None
    try:
        values = unseal(newest / _PROGRESS)
        fits = newest.name == f"epoch-{values['epoch']:05d}" and not damaged_files(newest, values["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return int(values["epoch"]) if fits else None


def load_best(folder: Path, model: torch.nn.Module) -> None:
    """Load the best weights so far into the model."""
    newest = _newest(folder)
    assert newest is not None, "no epoch was finished"
    model.load_state_dict(load_file(newest / _BEST), strict=True)


def _newest(folder: Path) -> Path | None:
    states = sorted(path for path in folder.glob("epoch-*") if path.name[6:].isdigit())
    return states[-1] if states else None
