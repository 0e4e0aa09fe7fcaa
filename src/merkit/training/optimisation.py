"""Optimisers and learning-rate schedules by the names that recipes use."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from merkit.core.errors import ConfigError
from merkit.core.lookup import unknown
from merkit.training.config import TrainingConfig

_PLATEAU_THRESHOLD = 1e-4


def build_optimizer(groups: Mapping[str, list[nn.Parameter]], config: TrainingConfig) -> Optimizer:
    """Return the optimiser with one parameter group per name, in the names' order.

    Vectors and scalars (biases, norms) are not decayed: weight decay is for matrices.

    Raises:
        ConfigError: A parameter group has no learning rate, or a learning rate has no group.
    """
    for name in config.learning_rates:
        if name not in groups:
            raise ConfigError("training.learning_rates: " + unknown("parameter group", name, groups))
    missing = [name for name in groups if name not in config.learning_rates]
    if missing:
        raise ConfigError(
            f"training.learning_rates: no learning rate for {', '.join(missing)}; "
            f"give one for each of {', '.join(groups)}, or freeze what should not learn"
        )
    settings = []
    for name, parameters in groups.items():
        rate = config.learning_rates[name]
        for decayed in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) is decayed]
            if chosen:
                decay = config.weight_decay if decayed else 0.0
                settings.append({"params": chosen, "lr": rate, "initial_lr": rate, "weight_decay": decay, "name": name})
    if config.optimizer == "sgd":
        return torch.optim.SGD(settings, lr=0.0, momentum=config.momentum)
    # fused: one pass over each parameter; on the CPU, where it is not PyTorch's default, a step takes half the time
    if config.optimizer == "adam":
        return torch.optim.Adam(settings, lr=0.0, fused=True)
    return torch.optim.AdamW(settings, lr=0.0, fused=True)


def schedule_factor(step: int, steps: int, config: TrainingConfig) -> float:
    """Return what the learning rates are multiplied by at a step (counted from 0) of ``steps`` in all."""
    rising = math.ceil(config.warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    if config.schedule == "linear":
        return 1.0 - done
    if config.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    return 1.0


def plateau_factor(losses: Sequence[float], config: TrainingConfig) -> float:
    """Return what the schedule ``plateau`` multiplies the learning rates by after epochs with these validation losses.

    The rule of PyTorch's ``ReduceLROnPlateau``: an epoch is better if it lowers the lowest loss by a ten-thousandth of
    it; after more than ``plateau_patience`` epochs that are not, the rates fall and the count begins anew.
    """
    factor, lowest, waited = 1.0, math.inf, 0
    for loss in losses:
        if loss < lowest * (1.0 - _PLATEAU_THRESHOLD):
            lowest, waited = loss, 0
        else:
            waited += 1
        if waited > config.plateau_patience:
            factor, waited = factor * config.plateau_factor, 0
    return factor


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to ``factor`` times its recipe's."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
