"""Optimisers and learning-rate schedules by the names that recipes use."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import unknown
from merkit.core.model import Model
from merkit.training.config import TrainingConfig

Layers = Mapping[str, Sequence[Sequence[nn.Parameter]]]
"""By modality: an encoder's weights by layer, lowest first, as ``Encoder.layers`` returns them."""

_PLATEAU_THRESHOLD = 1e-4


def groups_of(model: Model, names: Collection[str] = ()) -> dict[str, list[nn.Parameter]]:
    """Return a model's parameter groups; an encoder that ``names`` calls ``encoders.<modality>`` makes one of its own.

    Raises:
        MerkitError: They do not hold each of the model's trained weights once.
    """
    groups = model.parameter_groups()
    held = Counter(id(parameter) for group in groups.values() for parameter in group)
    wrong = [name for name, weight in model.named_parameters() if weight.requires_grad and held[id(weight)] != 1]
    if wrong:
        raise MerkitError(
            f"{type(model).__name__}.parameter_groups: {len(wrong)} trained weights are in no group or in several, "
            f"first '{wrong[0]}'; each belongs to one"
        )
    for modality, encoder in model.encoders.items():
        if (name := f"encoders.{modality}") in names:
            own = {id(parameter) for parameter in encoder.parameters()}
            parted = {name: [parameter for group in groups.values() for parameter in group if id(parameter) in own]}
            parted |= {base: [weight for weight in group if id(weight) not in own] for base, group in groups.items()}
            groups = {base: group for base, group in parted.items() if group}
    return groups


def layers_of(model: Model) -> Layers:
    """Return the layers of a model's encoders, those that have any."""
    layers = {name: encoder.layers() for name, encoder in model.encoders.items() if isinstance(encoder, Encoder)}
    return {name: stack for name, stack in layers.items() if stack}


def build_optimizer(
    groups: Mapping[str, list[nn.Parameter]], config: TrainingConfig, layers: Layers | None = None
) -> Optimizer:
    """Return the optimiser with one parameter group per name, in the names' order.

    With ``layer_decay`` below 1, those of a group's weights that ``layers`` knows make groups of their own:
    ``encoders.text.layer-12``, the last one, down to ``encoders.text.below``, what lies below the first. Vectors and
    scalars (biases, norms) are not decayed: weight decay is for matrices.

    Raises:
        ConfigError: A parameter group has no learning rate, a learning rate has no group, or there are no layers
            for ``layer_decay``.
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
    for base, name, factor, parameters in _by_layer(groups, layers or {}, config.layer_decay):
        rate = config.learning_rates[base] * factor
        for decayed in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) is decayed]
            if chosen:
                decay = config.weight_decay if decayed else 0.0
                settings.append({"params": chosen, "lr": rate, "initial_lr": rate, "weight_decay": decay, "name": name})
    # fused: one pass over each parameter; on the CPU, where it is not PyTorch's default, a step takes half the time
    if config.optimizer == "sgd":
        return torch.optim.SGD(settings, lr=0.0, momentum=config.momentum, fused=True)
    if config.optimizer == "adam":
        return torch.optim.Adam(settings, lr=0.0, fused=True)
    return torch.optim.AdamW(settings, lr=0.0, fused=True)


def _by_layer(
    groups: Mapping[str, list[nn.Parameter]], layers: Layers, decay: float
) -> Iterator[tuple[str, str, float, list[nn.Parameter]]]:
    """Yield each group, or the layers in it: the group's name, its own, the factor of its rate, and its weights."""
    if decay == 1.0:
        yield from ((name, name, 1.0, parameters) for name, parameters in groups.items())
        return
    layer_of: dict[int, tuple[str, float]] = {}
    for modality, stack in layers.items():
        for number, parameters in enumerate(stack):
            name = f"encoders.{modality}." + (f"layer-{number}" if number else "below")
            layer_of |= {id(parameter): (name, decay ** (len(stack) - 1 - number)) for parameter in parameters}
    if not any(id(parameter) in layer_of for parameters in groups.values() for parameter in parameters):
        raise ConfigError(
            f"training.layer_decay = {decay}: no encoder here is a trained network of layers; leave it out, or set "
            "frozen = false of one"
        )
    for base, parameters in groups.items():
        by_layer: dict[tuple[str, float], list[nn.Parameter]] = {}
        for parameter in parameters:
            by_layer.setdefault(layer_of.get(id(parameter), (base, 1.0)), []).append(parameter)
        for (name, factor), chosen in by_layer.items():
            yield base, name, factor, chosen


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
