"""Any wav2vec 2.0, HuBERT or WavLM network, frozen or trained with the model, and never moved by its batch mates.

The convolutional front end of many of them (wav2vec 2.0 base, HuBERT base) normalises each channel over time, padding
included, which no attention mask corrects. So the front end runs on each recording alone, without padding; its frames
are padded, and the transformer, with its convolution for positions, sees padded frames as zeros that it does not attend
to.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import model_validator
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderHome, EncoderSpec, as_float32
from merkit.core.errors import ConfigError
from merkit.core.types import Turn
from merkit.data.strict_json import read_object
from merkit.encoders.networks.architecture import Architecture
from merkit.encoders.networks.config import NetworkConfig
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.frozen import FrozenNetwork
from merkit.encoders.networks.layers import transformer_layers
from merkit.encoders.networks.loading import ignore_mask_warnings, read_network_config
from merkit.encoders.networks.trained import TrainedNetwork
from merkit.encoders.sound.samples import RATE_HZ, audio_content, audio_duration_s, waveform
from merkit.nn.sequences import pad_sequences

_TYPES = ("wav2vec2", "hubert", "wavlm")
"""Types of network that are known to be independent of batch mates as they are run here; each is tested."""
_WINDOW_S, _OVERLAP_S = 20.0, 5.0
"""Of a recording longer than ``max_positions``. Together as long as the longest that the published networks trained
on (15 to 30 s)."""
_FRONT_END = ("conv_stride", "conv_kernel", "feat_extract_norm", "feat_extract_activation")
"""The settings that a front end's frames depend on, besides weights and their shapes."""


class Wav2Vec2Config(NetworkConfig):
    """Which network, and which of its weights are trained."""

    freeze_front_end: bool = True
    """Do not train the convolutional front end; ``false`` only where the whole network is trained."""
    cache_front_end: bool = False
    """Of a trained network: run the front end, which does not change, once per utterance, and train on its stored
    frames. They take 369 MB an hour of speech with the published 512 channels; training says so first."""
    unmasked_padding: bool = False
    """Run a batch as one block of waveforms padded with zeros, without a mask, as some released code does. Predictions
    then depend on batch mates: only for repeating such papers."""

    @model_validator(mode="after")
    def _front_end_fits(self) -> "Wav2Vec2Config":
        if not self.freeze_front_end and (self.frozen or self.trainable_layers is not None or self.lora is not None):
            raise ValueError("freeze_front_end = false needs frozen = false, no trainable_layers and no lora")
        if self.cache_front_end and self.frozen:
            raise ValueError("cache_front_end needs frozen = false: a frozen network's vectors are stored already")
        if self.cache_front_end and not self.freeze_front_end:
            raise ValueError("cache_front_end needs freeze_front_end = true: a trained one changes with every step")
        if self.unmasked_padding and (self.frozen or self.cache_front_end):
            raise ValueError(
                "unmasked_padding needs frozen = false and no cache_front_end: nothing stored depends on batch mates"
            )
        return self


@dataclass(frozen=True, slots=True)
class Window:
    """Frames ``first`` to ``stop`` of a recording, of which ``own``, counted from ``first``, are the window's."""

    first: int
    stop: int
    own: slice


class Wav2Vec2(Architecture):
    """Speech networks: one vector per frame of 20 ms.

    A recording of over two minutes is read by windows of 30 s, outside training: attention to all of it would take
    memory by the square of its length.

    Input is the waveform ``[samples]``; ``n`` samples give ``(n - 400) // 320 + 1`` frames, and a recording below 400
    samples is padded to them with zeros. The waveform is made zero-mean and unit-variance where the network's
    preprocessor says so. SpecAugment and LayerDrop are off.
    """

    modality = "audio"
    input_type = np.float32
    max_positions = 120 * RATE_HZ
    config: Wav2Vec2Config

    def __init__(self, config: Wav2Vec2Config, files: NetworkFiles) -> None:
        super().__init__(config, files, _settled(read_network_config(files)))
        self._normalise = _normalises(files)
        self._shortest = receptive_field(self.network_config)
        self._stride: int = math.prod(self.network_config.conv_stride)
        self.hop_s = None if config.pooled else self._stride / RATE_HZ
        self.centre_s = self._shortest / 2 / RATE_HZ

    def settings(self) -> Mapping[str, Any]:
        return {"encoder": "wav2vec2", "version": 1, "rate_hz": RATE_HZ, "normalise": self._normalise}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def read(self, turn: Turn) -> npt.NDArray[np.float32]:
        samples = waveform(turn)
        if self._normalise:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)  # 1e-7: as in the library
        return np.pad(samples, (0, max(self._shortest - len(samples), 0)))

    def count_frames(self, turn: Turn) -> int:
        """Return how many frames the front end makes of a turn."""
        samples = max(round(self.duration_s(turn) * RATE_HZ), self._shortest)
        return (samples - self._shortest) // self._stride + 1

    def prepare(self, network: nn.Module) -> None:
        parts: Any = network
        if self.config.freeze_front_end:
            parts.feature_extractor.requires_grad_(False)
        for layer in transformer_layers(network, self.network_config):
            layer.register_forward_pre_hook(_record_input, with_kwargs=True)
        ignore_mask_warnings()

    def states(self, network: nn.Module, padded: Padded) -> Padded:
        if torch.is_grad_enabled() or padded.data.shape[1] <= self.max_positions:
            return self._states(network, padded)
        return self._states_by_window(network, padded)

    def _states_by_window(self, network: nn.Module, padded: Padded) -> Padded:
        """Return the states of recordings too long for one pass, each window's own frames side by side.

        A window has ``_WINDOW_S`` of its own and ``_OVERLAP_S`` more on either side, which its frames attend to.
        """
        rows = []
        for data, mask in zip(padded.data, padded.mask, strict=True):
            samples = data[mask]
            states = []
            for window in self.windows(len(samples)):
                found = self._states(network, pad_sequences([samples[self.samples_of(window)]])).data[0]
                states.append(found[window.own])
            rows.append(torch.cat(states))
        return pad_sequences(rows)

    def windows(self, samples: int) -> list["Window"]:
        """Return the windows of a recording of so many samples, one of all frames where it is short enough."""
        count = (samples - self._shortest) // self._stride + 1
        if samples <= self.max_positions:
            return [Window(0, count, slice(0, count))]
        own, overlap = (round(seconds * RATE_HZ / self._stride) for seconds in (_WINDOW_S, _OVERLAP_S))
        windows = []
        for start in range(0, count, own):
            first, end = max(0, start - overlap), min(count, start + own)
            windows.append(Window(first, min(count, end + overlap), slice(start - first, end - first)))
        return windows

    def sample_counts(self, frames: Sequence[int]) -> list[int]:
        """Return from how many samples so many frames are computed at least."""
        return [(count - 1) * self._stride + self._shortest for count in frames]

    def samples_of(self, window: "Window") -> slice:
        """Return the samples that a window's frames are computed from."""
        return slice(window.first * self._stride, (window.stop - 1) * self._stride + self._shortest)

    def _states(self, network: nn.Module, padded: Padded) -> Padded:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_front_end):
            frames = self.frames(network, padded)
        return Padded(self.transform(network, frames.data, frames.mask), frames.mask)

    def frames(self, network: nn.Module, padded: Padded) -> Padded:
        """Return each recording's frames ``[rows, frames, channels]``, computed from it alone."""
        parts: Any = network
        waves = [data[mask] for data, mask in zip(padded.data, padded.mask, strict=True)]
        return pad_sequences([parts.feature_extractor(wave[None])[0].T for wave in waves])

    def transform(self, network: nn.Module, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Return the chosen states of the transformer on the front end's frames."""
        parts: Any = network
        projected = parts.feature_projection(frames)
        projected = projected[0] if isinstance(projected, tuple) else projected  # wav2vec 2.0 also returns its input
        entered: list[Tensor] = []
        token = _ENTERED.set(entered)
        try:
            last = parts.encoder(projected, attention_mask=mask).last_hidden_state
        finally:
            _ENTERED.reset(token)
        # what enters each layer, and the output after its last normalisation
        return self.chosen([*entered, last])


class UnmaskedWav2Vec2(Wav2Vec2):
    """Speech networks run on one block of waveforms, without a mask, as some released code does."""

    def frames(self, network: nn.Module, padded: Padded) -> Padded:
        """Return the frames of recordings padded with zeros, and which of them are a recording's own."""
        parts: Any = network
        data = parts.feature_extractor(padded.data.masked_fill(~padded.mask, 0.0)).transpose(1, 2)
        lengths = parts._get_feat_extract_output_lengths(padded.mask.sum(dim=1))
        return Padded(data, torch.arange(data.shape[1], device=data.device) < lengths.unsqueeze(1))

    def transform(self, network: nn.Module, frames: Tensor, mask: Tensor | None) -> Tensor:
        return super().transform(network, frames, None)


class CachedFrontEnd(TrainedNetwork):
    """A trained network whose frozen front end is run once per utterance (``cache_front_end``).

    ``extract`` returns the front end's frames ``[frames, channels]``; the network continues from them with the same
    numbers. They are stored while training; an encoder restored from a checkpoint stores none: prediction reads them
    once.
    """

    architecture: Wav2Vec2

    def __init__(self, architecture: Wav2Vec2, *, restored: bool) -> None:
        super().__init__(architecture, restored=restored)
        self.stored = not restored
        self._channels = int(architecture.network_config.conv_dim[-1])

    def fingerprint(self) -> Mapping[str, Any]:
        # known by its weights: a network in a checkpoint has no other name for it
        return {**super().fingerprint(), "front_end": _identity(self._front_end, self.architecture.network_config)}

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        arrays = []
        for turn in turns:
            wave = torch.from_numpy(self.architecture.read(turn)).to(self._device.device)
            # while training, frames are stored under a name that says nothing of windows
            by_window = not self.stored and len(wave) > self.architecture.max_positions
            windows = self.architecture.windows(len(wave)) if by_window else []
            parts = [(self.architecture.samples_of(window), window.own) for window in windows] or [(slice(None),) * 2]
            with torch.no_grad():
                frames = [self._front_end(wave[None, samples])[0].T[own] for samples, own in parts]
            arrays.append(as_float32(torch.cat(frames).cpu().numpy()))
        return arrays

    def blank(self) -> Array:
        return np.zeros((1, self._channels), dtype=np.float32)

    def vectors(self, padded: Padded) -> Padded:
        frames = torch.where(padded.mask.unsqueeze(-1), padded.data, 0.0)
        return self.architecture.joined(self._states(Padded(frames, padded.mask)))

    def _states(self, frames: Padded) -> Padded:
        """Return the states of the front end's frames, by window where `Wav2Vec2.states` works by window."""
        lengths = self.architecture.sample_counts(frames.mask.sum(dim=1).tolist())
        if torch.is_grad_enabled() or max(lengths) <= self.architecture.max_positions:
            return Padded(self.architecture.transform(self.network, frames.data, frames.mask), frames.mask)
        rows = []
        for data, length in zip(frames.data, lengths, strict=True):
            states = []
            for window in self.architecture.windows(length):
                part = data[None, window.first : window.stop]
                mask = torch.ones(part.shape[:2], dtype=torch.bool, device=part.device)
                states.append(self.architecture.transform(self.network, part, mask)[0, window.own])
            rows.append(torch.cat(states))
        return pad_sequences(rows)

    def stored_bytes(self, turn: Turn) -> int:
        return self.architecture.count_frames(turn) * self._channels * np.dtype(np.float32).itemsize

    @property
    def _front_end(self) -> nn.Module:
        front_end = self.network.feature_extractor
        assert isinstance(front_end, nn.Module)
        return front_end


_ENTERED: ContextVar[list[Tensor] | None] = ContextVar("entered", default=None)
"""What entered the layers of the network that the current thread runs."""


def _record_input(_: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Record what enters a layer; a hook that stays, because one that is set by each call would see all threads."""
    entered = _ENTERED.get()
    if entered is not None:
        entered.append(given[0] if given else named["hidden_states"])


def _identity(front_end: nn.Module, network_config: Any) -> str:
    """Return a hash of all that a front end's frames depend on: its weights and how it is built."""
    digest = hashlib.sha256(json.dumps([getattr(network_config, name) for name in _FRONT_END]).encode())
    for name, weight in sorted(front_end.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)}".encode() + weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _settled(network_config: Any) -> Any:
    """Return the configuration without SpecAugment and LayerDrop: dropout is the only randomness of training.

    Raises:
        ConfigError: The network is of an unknown type or has a part that is not supported.
    """
    if network_config.model_type not in _TYPES:
        known = ", ".join(_TYPES)
        raise ConfigError(f"No speech encoder of type '{network_config.model_type}' is known. Known: {known}")
    for option in ("add_adapter", "conv_pos_batch_norm"):
        if getattr(network_config, option, False):
            raise ConfigError(f"A network with '{option}' is not supported: choose a checkpoint without it")
    network_config.apply_spec_augment = False
    network_config.mask_time_prob = network_config.mask_feature_prob = 0.0
    network_config.layerdrop = 0.0
    return network_config


def _normalises(files: NetworkFiles) -> bool:
    """Return whether the network was trained on normalised waveforms; as in the library, yes where nothing says so.

    Raises:
        MerkitError: The preprocessor cannot be read, or the network is not for 16 kHz.
    """
    path = files.folder / "preprocessor_config.json"
    if not path.is_file():
        return True
    settings = read_object(path)
    normalise, rate_hz = bool(settings.get("do_normalize", True)), settings.get("sampling_rate", RATE_HZ)
    if rate_hz != RATE_HZ:
        raise ConfigError(f"'{files.weights}' works at {rate_hz} Hz, only {RATE_HZ} Hz is supported")
    return normalise


def receptive_field(network_config: Any) -> int:
    """Return how many samples a frame is computed from."""
    field = 1
    for kernel, stride in zip(reversed(network_config.conv_kernel), reversed(network_config.conv_stride), strict=True):
        field = (field - 1) * stride + kernel
    return int(field)


def build(config: Wav2Vec2Config, modality: str, home: EncoderHome) -> Encoder:
    """Return the encoder; a frozen network's weights are read when the first recording is extracted.

    Raises:
        MerkitError: The network is missing or not what the configuration asks for.
    """
    files = NetworkFiles(config.weights, config.revision, home.assets)
    architecture = (UnmaskedWav2Vec2 if config.unmasked_padding else Wav2Vec2)(config, files)
    if config.frozen:
        return FrozenNetwork(architecture)
    kind = CachedFrontEnd if config.cache_front_end else TrainedNetwork
    return kind(architecture, restored=home.assets is not None)


SPEC = EncoderSpec(
    name="wav2vec2",
    modalities=("audio",),
    summary="Any wav2vec 2.0, HuBERT or WavLM network, frozen or fine-tuned",
    config=Wav2Vec2Config,
    build=build,
)
