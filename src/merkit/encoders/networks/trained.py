"""A pretrained network that is trained with the model: it, or its adapters, are part of the model's state."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, as_float32
from merkit.core.errors import MerkitError
from merkit.core.types import Turn
from merkit.encoders.networks.architecture import Architecture
from merkit.encoders.networks.layers import (
    LayerMix,
    checkpoint_layers,
    parameters_by_layer,
    train_last_layers,
    transformer_layers,
)
from merkit.encoders.networks.loading import load_network, new_network
from merkit.encoders.networks.lora import add_adapters, keep_adapters_alone
from merkit.nn.sequences import absent, pad_sequences, present_rows, put_back
from merkit.nn.standardization import Standardizer


class TrainedNetwork(Encoder):
    """A network's vectors, ``[*batch, time, dim]``, or their means, ``[*batch, 1, dim]``, if ``pooled``.

    ``extract`` returns the network's input.

    Args:
        architecture: What the network reads and how it is run.
        restored: Whether its weights come from a checkpoint's state; otherwise they are the published ones. With
            adapters the published weights are loaded in both cases: a checkpoint holds the adapters alone.
    """

    def __init__(self, architecture: Architecture, *, restored: bool) -> None:
        super().__init__()
        config, network_config = architecture.config, architecture.network_config
        self.architecture = architecture
        self.modality = architecture.modality
        self.stored = architecture.stores_input
        self.dim = architecture.dim
        self.context = architecture.context
        self.hop_s, self.centre_s = architecture.hop_s, architecture.centre_s
        self.mix = LayerMix(architecture.states_count) if config.layer == "mix" else None
        self.standardizer = Standardizer(self.dim) if config.standardise else None
        self._device: Tensor  # where ``fit`` runs: it follows .to()
        self.register_buffer("_device", torch.empty(0), persistent=False)
        filled = restored and config.lora is None
        network = new_network(network_config) if filled else load_network(architecture.files, network_config)
        train_last_layers(network, network_config, config.trainable_layers)
        self._adapters: str | None = None
        if config.lora is not None:
            self._adapters = add_adapters(network, config.lora, str(network_config.model_type))
        if config.gradient_checkpointing:
            checkpoint_layers(network, config.weights)
        architecture.prepare(network)
        self.network = network
        self.train()
        if config.lora is not None:
            keep_adapters_alone(self, "network")

    def train(self, mode: bool = True) -> "TrainedNetwork":
        super().train(mode)
        if mode and self.architecture.config.trainable_layers is not None:
            self.network.eval()
            for layer in transformer_layers(self.network, self.architecture.network_config):
                layer.train(any(weight.requires_grad for weight in layer.parameters()))
        return self

    def fingerprint(self) -> Mapping[str, Any]:
        return self.architecture.input_fingerprint()

    def content(self, turn: Turn) -> str | None:
        return self.architecture.content(turn)

    def duration_s(self, turn: Turn) -> float:
        return self.architecture.duration_s(turn)

    def unread(self, turn: Turn) -> tuple[int, int]:
        return self.architecture.unread(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return [self.architecture.read(turn) for turn in turns]

    def blank(self) -> Array:
        return np.zeros((1, *self.architecture.input_dim), dtype=self.architecture.input_type)

    def vectors(self, padded: Padded) -> Padded:
        """Return the vectors ``[rows, time, …]`` of inputs ``[rows, time, *input_dim]`` that are all present."""
        return self.architecture.vectors(self.network, padded)

    def forward(self, padded: Padded) -> Padded:
        batch = padded.mask.shape[:-1]
        present, rows = present_rows(padded)
        if not rows.any():
            return absent(batch, self.dim, padded.data.device)
        vectors = self.vectors(present)
        data = vectors.data if self.standardizer is None else self.standardizer.scaled(vectors.data)
        return put_back(Padded(data if self.mix is None else self.mix(data), vectors.mask), rows, batch)

    def layers(self) -> list[list[nn.Parameter]]:
        return parameters_by_layer(self.network, self.architecture.network_config)

    def fit(self, arrays: Iterable[Array]) -> None:
        if self.standardizer is not None:
            self.standardizer.fit(self._vectors_of(arrays))

    def _vectors_of(self, arrays: Iterable[Array]) -> Iterator[Array]:
        """Yield the vectors of single inputs by the network as it is, without dropout.

        Raises:
            MerkitError: The network gives values that are not finite.
        """
        training = self.training
        self.eval()
        try:
            for array in arrays:
                with torch.no_grad():
                    padded = self.vectors(pad_sequences([torch.from_numpy(array).to(self._device.device)]))
                vectors = as_float32(padded.data[padded.mask].cpu().numpy())
                if not np.isfinite(vectors).all():
                    raise MerkitError(f"'{self.architecture.config.weights}' gives values that are not finite")
                yield vectors
        finally:
            self.train(training)

    def describe(self) -> Mapping[str, Any]:
        name = self.architecture.settings()["encoder"]
        adapters = {} if self._adapters is None else {"lora": self._adapters}
        return {"encoder": name, **self.architecture.files.describe(), "trained": True, **adapters, "dim": self.dim}

    def save_assets(self, folder: Path) -> None:
        architecture = self.architecture
        with_weights = architecture.config.lora is not None
        architecture.files.copy(folder, with_weights=with_weights, with_tokenizer=architecture.modality == "text")
