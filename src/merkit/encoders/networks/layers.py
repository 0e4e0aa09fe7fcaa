"""The layers of a pretrained network: which of their states are read, which of their weights are trained."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from merkit.core.errors import ConfigError

_FINAL_NORMS = ("final_norm.", "final_layer_norm.", "encoder.final_layer_norm.")

Layer = Literal["last", "mean", "mix"] | int | tuple[int, ...]
"""``last``, ``mean``, ``mix``, or numbers of states: 0 is the input of the first layer, n the output of the n-th."""


class LayerMix(nn.Module):
    """Weigh a network's states with a learned softmax, equally at first."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(states))

    def forward(self, data: Float[Tensor, "*batch states dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the weighted sum of the states."""
        return (self.weights.softmax(0).unsqueeze(-1) * data).sum(-2)


def state_numbers(layer: Layer, count: int) -> tuple[int, ...]:
    """Return the numbers of the states that a layer setting names, of a network that has ``count``."""
    if isinstance(layer, str):
        return (count - 1,) if layer == "last" else tuple(range(count))
    return (layer,) if isinstance(layer, int) else layer


def choose_states(
    states: Sequence[Float[Tensor, "rows time dim"]], numbers: Sequence[int], *, side_by_side: bool
) -> Float[Tensor, "rows time *states chosen"]:
    """Return the states with these numbers, side by side or on an axis of their own."""
    chosen = [states[number] for number in numbers]
    return torch.cat(chosen, dim=-1) if side_by_side else torch.stack(chosen, dim=2)


def transformer_layers(network: nn.Module, config: Any) -> nn.ModuleList:
    """Return the network's stack of transformer layers.

    Where another list has the same length by chance (the seven convolutions of wav2vec 2.0), the one with more modules
    counts.

    Raises:
        ConfigError: There is none.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    stacks = [modules for modules in lists if len(modules) == config.num_hidden_layers]
    if stacks:
        return max(stacks, key=lambda stack: sum(1 for _ in stack.modules()))
    raise ConfigError(f"No stack of {config.num_hidden_layers} layers in a network of type '{config.model_type}'")


def train_last_layers(network: nn.Module, config: Any, count: int | None) -> None:
    """Train only the last ``count`` layers (``None``: the whole network).

    Raises:
        ConfigError: There are fewer layers.
    """
    if count is None:
        return
    layers = transformer_layers(network, config)
    if count > len(layers):
        raise ConfigError(f"trainable_layers is {count}, the network has {len(layers)} layers")
    network.requires_grad_(False)
    layers[len(layers) - count :].requires_grad_(True)


def parameters_by_layer(network: nn.Module, config: Any) -> list[list[nn.Parameter]]:
    """Return a network's weights by layer, lowest first, after those below the first layer.

    A normalisation after the last layer belongs to that layer; convolutions, projections and embeddings come first.
    """
    stack = [list(layer.parameters()) for layer in transformer_layers(network, config)]
    inside = {id(parameter) for layer in stack for parameter in layer}
    closing: tuple[str, ...] = _FINAL_NORMS
    if config.model_type == "whisper":
        closing = ("layer_norm.",)
    elif getattr(config, "do_stable_layer_norm", False):
        closing = (*_FINAL_NORMS, "encoder.layer_norm.")
    below: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if id(parameter) not in inside:
            (stack[-1] if name.startswith(closing) else below).append(parameter)
    return [below, *stack]


def checkpoint_layers(network: nn.Module, weights: str) -> None:
    """Make a network keep only the input of each layer in training, and compute the rest again in the backward pass.

    Gradients do not change: dropout draws the same numbers again.

    Raises:
        ConfigError: The network's class does not support it.
    """
    if not getattr(network, "supports_gradient_checkpointing", False):
        raise ConfigError(
            f"gradient_checkpointing: '{weights}' ({type(network).__name__}) does not support it; leave it out"
        )
    known: Any = network
    how = {"use_reentrant": False}
    if hasattr(known, "activation_checkpointing_enable"):  # what later releases of transformers 5 call it
        known.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        known.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
    # the library makes embeddings ask for gradients, which only re-entrant checkpoints need: with it, frozen layers
    # below trained ones would have a backward pass
    if getattr(known, "_require_grads_hooks", None):
        known.disable_input_require_grads()
