"""A family of pretrained networks: what it reads of an utterance, and how its states are computed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from merkit.core.arrays import Array
from merkit.core.batch import Padded
from merkit.core.errors import ConfigError
from merkit.core.types import Turn
from merkit.encoders.networks.config import NetworkConfig
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.layers import choose_states, state_numbers
from merkit.nn.sequences import mean_position, mean_std_position


class Architecture(ABC):
    """What ``FrozenNetwork`` and ``TrainedNetwork`` need to know of a network; holds no weights.

    Raises:
        ConfigError: ``layer`` names a state that the network does not have.
    """

    modality: ClassVar[str]
    input_type: ClassVar[type[np.generic]]
    max_positions: ClassVar[int]
    """Positions of input, padding included, that a frozen network takes at a time."""
    stores_input: ClassVar[bool] = False
    """Whether the input of a trained network is worth storing."""
    input_dim: tuple[int, ...] = ()
    """Axes of the network's input after time."""
    context: int = 0
    """How many previous turns are read."""
    hop_s: float | None = None
    centre_s: float = 0.0
    """As of ``Encoder``."""

    def __init__(self, config: NetworkConfig, files: NetworkFiles, network_config: Any) -> None:
        self.config = config
        self.files = files
        self.network_config = network_config
        self.states_count = int(network_config.num_hidden_layers) + 1
        self.numbers = state_numbers(config.layer, self.states_count)
        for number in self.numbers:
            if not 0 <= number < self.states_count:
                raise ConfigError(f"layer is {number}, '{config.weights}' has 0 to {self.states_count - 1}")
        self._side_by_side = config.layer != "mix" and not config.averages_states
        self.state_dim = int(network_config.hidden_size) * (len(self.numbers) if self._side_by_side else 1)
        self.dim = self.state_dim * (2 if config.pooled == "mean_std" else 1)

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return the encoder's name, a version of this code, and the settings that its input depends on."""

    @abstractmethod
    def content(self, turn: Turn) -> str | None:
        """Return a hash of what ``read`` reads; ``None`` where the turn lacks the modality."""

    @abstractmethod
    def read(self, turn: Turn) -> Array:
        """Return the network's input for an utterance, ``[time, *input_dim]``."""

    @abstractmethod
    def states(self, network: nn.Module, padded: Padded) -> Padded:
        """Return what ``chosen`` returns of the network's states, and which positions are real."""

    def input_fingerprint(self) -> Mapping[str, Any]:
        """Return what the input of a trained network depends on besides the turn; see ``Encoder.fingerprint``."""
        return self.settings()

    def duration_s(self, turn: Turn) -> float:
        """Return the cost of reading this turn; see ``Encoder.duration_s``."""
        return 1.0

    def unread(self, turn: Turn) -> tuple[int, int]:
        """Return how many tokens of a turn's own text are not read, and how many it has; see ``Encoder.unread``."""
        return 0, 0

    def prepare(self, network: nn.Module) -> None:
        """Make a network that was just loaded ready for ``states``."""
        return

    def chosen(self, states: Sequence[Tensor]) -> Tensor:
        """Return the chosen states ``[rows, time, state_dim]``; those to be averaged or mixed have an axis before dim.

        Args:
            states: What enters each layer, and the network's output, each ``[rows, time, dim]``.
        """
        if self.config.layer == "last":
            return states[-1]
        return choose_states(states, self.numbers, side_by_side=self._side_by_side)

    def vectors(self, network: nn.Module, padded: Padded) -> Padded:
        """Return the vectors of padded inputs; see ``joined``."""
        return self.joined(self.states(network, padded))

    def joined(self, states: Padded) -> Padded:
        """Return chosen states pooled over time, if asked for, and averaged over the states, if asked for."""
        if self.config.pooled:
            states = mean_std_position(states) if self.config.pooled == "mean_std" else mean_position(states)
        return Padded(states.data.mean(-2), states.mask) if self.config.averages_states else states
