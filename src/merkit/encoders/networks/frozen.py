"""A pretrained network that is not trained: its vectors are extracted once and stored."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, as_float32
from merkit.core.errors import MerkitError
from merkit.core.memory import keep_freed_memory
from merkit.core.once import once
from merkit.core.types import Turn
from merkit.encoders._stored_vectors import StoredVectors
from merkit.encoders.networks.architecture import Architecture
from merkit.encoders.networks.layers import LayerMix
from merkit.encoders.networks.loading import load_network, new_network
from merkit.nn.sequences import pad_sequences
from merkit.nn.standardization import moments, standardised


class FrozenNetwork(StoredVectors):
    """A network's vectors, ``[*batch, time, dim]``, or their means, ``[*batch, 1, dim]``, if ``pooled``.

    The network is no submodule: it is loaded when the first turn is extracted, and no part of a checkpoint's state.
    """

    def __init__(self, architecture: Architecture) -> None:
        config = architecture.config
        super().__init__(
            architecture.modality, architecture.dim, standardise=config.standardise, dropout=config.dropout
        )
        self.architecture = architecture
        self.context = architecture.context
        self.hop_s, self.centre_s = architecture.hop_s, architecture.centre_s
        self.mix = LayerMix(architecture.states_count) if config.layer == "mix" else None
        self.normalize_by_speaker = config.normalize is not None
        self.average: Tensor | None  # of the training split
        average = torch.zeros(self.blank().shape[1:]) if config.normalize == "speaker_mean" else None
        self.register_buffer("average", average)
        self._average = self.blank()[0]  # the same where arrays are read: a loader's process cannot ask a GPU
        self.register_load_state_dict_post_hook(FrozenNetwork._keep_average)  # type: ignore[no-untyped-call]
        self._device: Tensor  # where extraction runs: it follows .to()
        self.register_buffer("_device", torch.empty(0), persistent=False)

    @once
    def network(self) -> nn.Module:
        """The network in evaluation mode, loaded at its first use."""
        network = load_network(self.architecture.files, self.architecture.network_config).requires_grad_(False)
        self.architecture.prepare(network)
        return network

    def fingerprint(self) -> Mapping[str, Any]:
        network = self.architecture.files.identity(with_weights=True)
        chosen = self.architecture.config.model_dump(include={"layer", "combine", "pooled"}, exclude_none=True)
        return {**self.architecture.settings(), "network": network, **chosen}

    def content(self, turn: Turn) -> str | None:
        return self.architecture.content(turn)

    def duration_s(self, turn: Turn) -> float:
        return self.architecture.duration_s(turn)

    def unread(self, turn: Turn) -> tuple[int, int]:
        return self.architecture.unread(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        inputs = [self.architecture.read(turn) for turn in turns]
        network, device = self.placed_network()
        arrays: dict[int, Array] = {}
        for batch in batches_by_length([len(array) for array in inputs], self.architecture.max_positions):
            padded = pad_sequences([torch.from_numpy(inputs[index]) for index in batch]).to(device)
            with torch.inference_mode():
                vectors = self.architecture.vectors(network, padded)
            for index, data, mask in zip(batch, vectors.data.cpu(), vectors.mask.cpu(), strict=True):
                arrays[index] = self.finite(data[mask].numpy(), turns[index])
        return [arrays[index] for index in range(len(turns))]

    def placed_network(self) -> tuple[nn.Module, torch.device]:
        """Return the network where extraction runs, and that device."""
        network, device = self.network, self._device.device
        keep_freed_memory()
        if next(network.parameters()).device != device:  # ``to`` walks through the network even where nothing moves
            network.to(device)
        return network, device

    def finite(self, array: Array, turn: Turn) -> Array:
        """Return a turn's vectors as float32.

        Raises:
            MerkitError: Some are not finite.
        """
        if not np.isfinite(array).all():
            name, weights = turn.utterance.id, self.architecture.config.weights
            raise MerkitError(f"Utterance '{name}': '{weights}' gives values that are not finite")
        return as_float32(array)

    def blank(self) -> Array:
        states = () if self.mix is None else (self.architecture.states_count,)
        return np.zeros((1, *states, self.dim), dtype=np.float32)

    def compared(self, array: Array, mean: Array, std: Array, utterances: int) -> Array:
        if self.average is None:
            return super().compared(array, mean, std, utterances)
        compared: Array = array - (utterances * mean + self._average) / (utterances + 1)
        return compared.astype(array.dtype)

    def fit_average(self, arrays: Iterable[Array]) -> None:
        if self.average is not None:
            self.average.copy_(torch.from_numpy(moments(arrays, self.average.shape)[0]))
            self._keep_average()

    def _keep_average(self, _: object = None) -> None:
        if self.average is not None:
            self._average = self.average.cpu().numpy().copy()

    def forward(self, padded: Padded) -> Padded:
        vectors = standardised(padded, self.standardizer)
        return Padded(self.dropout(vectors.data if self.mix is None else self.mix(vectors.data)), vectors.mask)

    def frozen_parameters(self) -> int:
        with torch.device("meta"):  # counted without loading it: its vectors may all be stored
            network = new_network(self.architecture.network_config)
        return sum(parameter.numel() for parameter in network.parameters())

    def describe(self) -> Mapping[str, Any]:
        name = self.architecture.settings()["encoder"]
        return {"encoder": name, **self.architecture.files.describe(), "trained": False, "dim": self.dim}

    def save_assets(self, folder: Path) -> None:
        self.architecture.files.copy(folder, with_weights=True, with_tokenizer=self.modality == "text")


def batches_by_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Return numbers of sequences in batches of similar length, at most ``most`` positions with padding (or one)."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= most:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
