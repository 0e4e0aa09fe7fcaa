"""Low-rank adapters (LoRA): a network's weights stay as published; small matrices beside some of them are trained.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, equation 3:
``h = W x + (alpha / rank) B A x`` with ``B`` zero at first, so that training begins with the published network. The
adapters are peft's. They are never merged into the weights: a checkpoint holds the adapters alone, and prediction adds
them as training did.
"""

from typing import Any

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.settings import Settings

_READ_DIRECTLY = {"wavlm": ("q_proj", "k_proj", "v_proj", "out_proj")}
"""By type of network: layers whose weights the network reads without calling the layer, so that adapters do nothing."""
_USUAL = (("q_proj", "v_proj"), ("query", "value"), ("q_lin", "v_lin"), ("query_proj", "value_proj"))
_USUAL_WITHOUT_ATTENTION = ("intermediate_dense", "output_dense")


class LoraConfig(Settings):
    """Which linear layers have adapters, and how large they are."""

    rank: PositiveInt = 8
    """[paper] Table 9, RoBERTa base."""
    alpha: PositiveInt = 8
    """[paper] Table 9, RoBERTa base; the adapter's output is scaled by ``alpha / rank``."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of an adapter's input. [paper] none."""
    targets: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Last parts of linear layers' names, such as ``["q_proj", "v_proj"]``. Unset: the attention's queries and values
    ([paper] section 4.2); of WavLM, whose attention takes no adapters, the feed-forward layers (ours)."""


def add_adapters(network: nn.Module, config: LoraConfig, kind: str) -> str:
    """Put adapters into a network, in place, train nothing else, and return a description of them.

    Args:
        network: With its published weights.
        config: Which layers and how large.
        kind: The network's ``model_type``.

    Raises:
        MerkitError: The extra ``lora`` is not installed.
        ConfigError: A target is no linear layer of the network, or one on which adapters do nothing.
    """
    linear = {name.rpartition(".")[2] for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    targets = _targets(config.targets, linear, kind)
    try:
        import peft
    except ModuleNotFoundError as error:
        raise MerkitError("'lora' of an encoder needs the extra 'lora': pip install 'merkit[lora]'") from error
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=sorted(targets),
    )
    peft.inject_adapter_in_model(settings, network)
    return f"rank {config.rank}, alpha {config.alpha} on {', '.join(sorted(targets))}"


def keep_adapters_alone(module: nn.Module, network: str) -> None:
    """Leave a frozen network's published weights out of a module's state, also when a state is loaded.

    Loading stays strict: a missing adapter is an error, and so is a published weight in the state.
    """
    inside = module.get_submodule(network)
    trained = {name for name, parameter in inside.named_parameters() if parameter.requires_grad}
    published = [f"{network}.{name}" for name in inside.state_dict() if name not in trained]

    def leave_out(_module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: Any) -> None:
        for name in published:
            del state[prefix + name]

    def fill_in(module: nn.Module, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        _, _, _, unexpected, _ = rest
        unexpected += [prefix + name for name in published if prefix + name in state]
        weights = module.get_submodule(network).state_dict()
        state.update({prefix + name: weights[name.removeprefix(f"{network}.")] for name in published})

    hooked: Any = module  # torch gives these methods no types
    hooked.register_state_dict_post_hook(leave_out)
    hooked.register_load_state_dict_pre_hook(fill_in)


def _targets(asked: tuple[str, ...] | None, linear: set[str], kind: str) -> set[str]:
    idle = _READ_DIRECTLY.get(kind, ())
    fitting = sorted(linear - set(idle))
    if asked is None:
        for names in (_USUAL_WITHOUT_ATTENTION,) if idle else _USUAL:
            if set(names) <= set(fitting):
                return set(names)
        raise ConfigError(f"lora.targets: name some of this network's linear layers: {', '.join(fitting)}")
    for name in asked:
        if name in idle:
            raise ConfigError(
                f"lora.targets: adapters on '{name}' do nothing in a network of type '{kind}', which reads that "
                f"layer's weights itself. Choose from {', '.join(fitting)}"
            )
        if name not in fitting:
            raise ConfigError(f"lora.targets: no linear layer '{name}'. Choose from {', '.join(fitting)}")
    return set(asked)
