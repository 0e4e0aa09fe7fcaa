"""A family of pretrained networks: what it reads of an utterance, and how its states are computed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

from merkit.core.arrays import Array
from merkit.core.batch import Padded
from merkit.core.errors import ConfigError
from merkit.core.types import Turn
from merkit.encoders.networks.config import NetworkConfig
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.layers import state_numbers
from merkit.nn.sequences import mean_position


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
        numbers = () if isinstance(config.layer, str) else state_numbers(config.layer)
        for number in numbers:
            if not 0 <= number < self.states_count:
                raise ConfigError(f"layer is {number}, '{config.weights}' has 0 to {self.states_count - 1}")
        self.dim = int(network_config.hidden_size) * max(len(numbers), 1)

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
        """Return the chosen states ``[rows, time, dim]``, for ``mix`` all of them: ``[rows, time, states, dim]``."""

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

    def vectors(self, network: nn.Module, padded: Padded) -> Padded:
        """Return the chosen states, or their means if ``pooled``."""
        states = self.states(network, padded)
        return mean_position(states) if self.config.pooled else states
