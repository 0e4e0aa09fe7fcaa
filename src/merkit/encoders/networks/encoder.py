"""What encoders made of a pretrained network share: frozen ones extract vectors, trained ones are part of the model."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderConfig, as_float32
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.types import Turn
from merkit.encoders.networks.files import (
    NetworkFiles,
    Unregistered,
    checkpoint_layers,
    layers_of,
    load_network,
    new_network,
    parameters_by_layer,
    train_last_layers,
)
from merkit.encoders.networks.lora import LoraConfig, add_adapters, keep_adapters_alone
from merkit.nn.layers import Dropout
from merkit.nn.sequences import Layer, LayerMix, mean_step, numbers_of, parts_by_length, present_rows, put_back, stack
from merkit.nn.standardization import Standardizer


class NetworkConfig(EncoderConfig):
    """Which network, and which of its weights are trained."""

    weights: str
    """A local folder or a hub id."""
    revision: str | None = None
    """Commit of a hub id, 40 hexadecimal digits."""
    frozen: bool = True
    """Frozen: vectors are extracted once and stored. Otherwise the network is trained with the model."""
    trainable_layers: int | None = Field(default=None, ge=0)
    """Train only the last so many layers; unset: all of the network. Those below take no dropout. Not with
    ``frozen``."""
    lora: LoraConfig | None = None
    """Train low-rank adapters in place of the network's weights, which stay as published. Not with ``frozen``."""
    gradient_checkpointing: bool = False
    """In training, compute each layer a second time in place of keeping what it computed: less memory, more time."""
    layer: Layer = "last"
    """``last``, a learned ``mix`` of all states, or (``frozen``) one state's number, or several side by side such as
    ``[3, 6]``: 0 is what enters layer 1."""
    pooled: bool = False
    """One vector per utterance, the mean over its steps, in place of one per step."""
    standardise: bool = False
    """Standardise the vectors, column by column, with the training part's statistics. A few of BERT's columns are many
    times as wide as the others. For a network that is trained the statistics are those of the published weights, taken
    in one pass over the training part before training."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of a frozen network's vectors: wide ones are soon memorised."""

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkConfig":
        if self.frozen and self.trainable_layers is not None:
            raise ValueError("trainable_layers needs frozen = false")
        if self.lora is not None and (self.frozen or self.trainable_layers is not None):
            raise ValueError("lora needs frozen = false and no trainable_layers: its adapters are what is trained")
        if self.gradient_checkpointing and self.frozen:
            raise ValueError("gradient_checkpointing needs frozen = false: a frozen network keeps nothing")
        if not self.frozen and not isinstance(self.layer, str):
            raise ValueError(f"layer = {self.layer} needs frozen = true; a trained network gives 'last' or 'mix'")
        if isinstance(self.layer, tuple) and len(set(self.layer)) < max(len(self.layer), 1):
            raise ValueError("layer: a list names at least one state and none twice")
        if self.dropout and not self.frozen:
            raise ValueError("dropout needs frozen = true; a trained network has its own")
        if self.standardise and self.layer == "mix":
            raise ValueError('standardise needs chosen layers, not layer = "mix"')
        return self


class NetworkEncoder(Encoder):
    """A pretrained network's vectors, ``[*batch, time, dim]``, or their mean, ``[*batch, 1, dim]``, if pooled.

    A kind of network is a subclass with ``read`` (an utterance to the network's input) and ``states``.
    """

    input_dim: tuple[int, ...] = ()
    """Axes of the network's input after time."""
    input_type: type[np.generic] = np.float32
    most_steps: int
    """Steps of input, padding included, that a frozen network takes at a time."""

    def __init__(self, modality: str, config: NetworkConfig, files: NetworkFiles, network_config: Any) -> None:
        super().__init__()
        self.modality = modality
        self.stored = config.frozen
        self.dim = int(network_config.hidden_size) * (len(config.layer) if isinstance(config.layer, tuple) else 1)
        self._choice = config
        self._files = files
        self._network_config = network_config
        self._states = int(network_config.num_hidden_layers) + 1
        for number in () if isinstance(config.layer, str) else numbers_of(config.layer):
            if not 0 <= number < self._states:
                raise ConfigError(f"layer is {number}, '{config.weights}' has 0 to {self._states - 1}")
        self.mix = LayerMix(self._states) if config.layer == "mix" else None
        self.standardizer = Standardizer(self.dim) if config.standardise else None
        self.dropout = Dropout(config.dropout)
        self._adapters: str | None = None
        self._frozen = Unregistered(files, network_config) if config.frozen else None
        self._place: Tensor  # where extraction runs: it follows .to()
        self.register_buffer("_place", torch.empty(0), persistent=False)

    def load(self, *, restored: bool) -> None:
        """Make the network that is trained, with its published weights or (``restored``) for those of a checkpoint.

        With adapters the published weights are needed in both cases: a checkpoint holds the adapters alone.
        """
        choice = self._choice
        filled = restored and choice.lora is None
        network = new_network(self._network_config) if filled else load_network(self._files, self._network_config)
        train_last_layers(network, self._network_config, choice.trainable_layers)
        if choice.lora is not None:
            self._adapters = add_adapters(network, choice.lora, str(self._network_config.model_type))
        if choice.gradient_checkpointing:
            checkpoint_layers(network, choice.weights)
        self.network = network
        self.train()
        if choice.lora is not None:
            keep_adapters_alone(self, "network")

    def train(self, mode: bool = True) -> "NetworkEncoder":
        super().train(mode)
        if mode and self._choice.trainable_layers is not None:
            self.network.eval()
            for layer in layers_of(self.network, self._network_config):
                layer.train(any(weight.requires_grad for weight in layer.parameters()))
        return self

    @abstractmethod
    def read(self, turn: Turn) -> Array:
        """Return the network's input for an utterance, ``[time, *input_dim]``."""

    @abstractmethod
    def states(self, network: nn.Module, padded: Padded) -> Padded:
        """Return the chosen state ``[rows, time, dim]``, for ``mix`` all of them: ``[rows, time, states, dim]``."""

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        inputs = [self.read(turn) for turn in turns]
        if self._frozen is None:
            return inputs
        arrays: dict[int, Array] = {}
        for part in parts_by_length([len(array) for array in inputs], self.most_steps):
            padded = stack([torch.from_numpy(inputs[index]) for index in part]).to(self._place.device)
            with torch.inference_mode():
                found = self._run(self._frozen.on(self._place.device), padded)
            for index, data, mask in zip(part, found.data.cpu(), found.mask.cpu(), strict=True):
                arrays[index] = as_float32(data[mask].numpy())
                if not np.isfinite(arrays[index]).all():
                    name = turns[index].utterance.id
                    raise MerkitError(f"Utterance '{name}': '{self._choice.weights}' gives values that are not finite")
        return [arrays[index] for index in range(len(turns))]

    def blank(self) -> Array:
        if self._frozen is None:
            return np.zeros((1, *self.input_dim), dtype=self.input_type)
        shape = (1, self.dim) if self.mix is None else (1, self._states, self.dim)
        return np.zeros(shape, dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        if self._frozen is not None:
            dim = padded.data.dim() - padded.mask.dim()
            data = padded.data if self.standardizer is None else self.standardizer(padded.data)
            data = torch.where(padded.mask.reshape(*padded.mask.shape, *[1] * dim), data, 0.0)
            return Padded(self.dropout(data if self.mix is None else self.mix(data)), padded.mask)
        present, rows = present_rows(padded)
        batch = padded.mask.shape[:-1]
        if not rows.any():
            return self.nothing(padded)
        found = self._run(self.network, present)
        data = found.data if self.standardizer is None else self.standardizer.scaled(found.data)
        return put_back(Padded(data if self.mix is None else self.mix(data), found.mask), rows, batch)

    def nothing(self, padded: Padded) -> Padded:
        """Return one masked step for each utterance of a batch in which there is none."""
        data = torch.zeros(*padded.mask.shape[:-1], 1, self.dim, device=padded.data.device)
        return Padded(data, torch.zeros_like(data[..., 0], dtype=torch.bool))

    def layers(self) -> list[list[nn.Parameter]]:
        return [] if self._frozen is not None else parameters_by_layer(self.network, self._network_config)

    def fit(self, arrays: Iterable[Array]) -> None:
        if self.standardizer is not None:
            self.standardizer.fit(arrays if self._frozen is not None else self._vectors(arrays))

    def _vectors(self, arrays: Iterable[Array]) -> Iterator[Array]:
        """Yield what the network, as it is, makes of its input, without dropout.

        Raises:
            MerkitError: The network gives values that are not finite.
        """
        training = self.training
        self.eval()
        try:
            for array in arrays:
                with torch.no_grad():
                    found = self._run(self.network, stack([torch.from_numpy(array).to(self._place.device)]))
                vectors = as_float32(found.data[found.mask].cpu().numpy())
                if not np.isfinite(vectors).all():
                    raise MerkitError(f"'{self._choice.weights}' gives values that are not finite")
                yield vectors
        finally:
            self.train(training)

    def save_assets(self, folder: Path) -> None:
        self._files.copy(folder, with_weights=self._choice.frozen or self._choice.lora is not None)

    def _described(self) -> dict[str, Any]:
        """Return what a model card says of any network."""
        adapters = {} if self._adapters is None else {"lora": self._adapters}
        trained = not self._choice.frozen
        return {**self._files.describe(), "trained": trained, **adapters, "dim": self.dim}

    def _run(self, network: nn.Module, padded: Padded) -> Padded:
        found = self.states(network, padded)
        return mean_step(found) if self._choice.pooled else found
