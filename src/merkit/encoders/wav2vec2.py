"""Any wav2vec 2.0, HuBERT or WavLM network, frozen or trained with the model, and never moved by its batch mates.

The convolutional front end of many of them (wav2vec 2.0 base, HuBERT base) normalises each channel over time, padding
included, which no attention mask mends. So the front end runs on each recording alone, without padding; its frames are
padded, and the transformer, with its convolution for positions, sees padded frames as zeros that it does not attend to.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import model_validator
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, EncoderHome, EncoderSpec, as_float32
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.types import Turn
from merkit.encoders.networks.encoder import NetworkConfig, NetworkEncoder
from merkit.encoders.networks.files import NetworkFiles, known_warnings, layers_of, read_config
from merkit.encoders.sound.samples import RATE_HZ, audio_content, audio_duration_s, waveform
from merkit.nn.sequences import choose_states, stack

_TYPES = ("wav2vec2", "hubert", "wavlm")
"""Types of network whose parts are known to be safe as they are run here; each is tested."""
_FRONT_END = ("conv_stride", "conv_kernel", "feat_extract_norm", "feat_extract_activation")
"""What of a network's configuration decides its front end's frames, besides weights and their shapes."""


class Wav2Vec2Config(NetworkConfig):
    """Which network, and which of its weights are trained."""

    freeze_front_end: bool = True
    """Never train the convolutional front end, as usual; ``false`` only where all of the network is trained."""
    cache_front_end: bool = False
    """Of a trained network: run the front end, which never changes, once per utterance, and train from its stored
    frames. They take 369 MB an hour of speech with the published 512 channels; training announces it first."""
    hears_padding: bool = False
    """Run a batch as one block of waveforms filled up with zeros, without a mask, as some released code does. Batch
    mates then change an answer: for repeating such papers, never for use."""

    @model_validator(mode="after")
    def _front_end_fits(self) -> "Wav2Vec2Config":
        if not self.freeze_front_end and (self.frozen or self.trainable_layers is not None or self.lora is not None):
            raise ValueError("freeze_front_end = false needs frozen = false, no trainable_layers and no lora")
        if self.cache_front_end and self.frozen:
            raise ValueError("cache_front_end needs frozen = false: a frozen network's vectors are stored already")
        if self.cache_front_end and not self.freeze_front_end:
            raise ValueError("cache_front_end needs freeze_front_end = true: one that is trained changes at every step")
        if self.hears_padding and (self.frozen or self.cache_front_end):
            raise ValueError(
                "hears_padding needs frozen = false and no cache_front_end: what is stored never depends on batch mates"
            )
        return self


class Wav2Vec2(NetworkEncoder):
    """Vectors of frames, ``[*batch, frames, dim]``, one per 20 ms, or their mean, ``[*batch, 1, dim]``, if pooled.

    ``n`` samples give ``(n - 400) // 320 + 1`` frames; a recording below 400 samples is padded to them with zeros. The
    waveform is made zero-mean and unit-variance where the network's preprocessor says so. SpecAugment and LayerDrop are
    off. A trained network's ``extract`` gives the waveform ``[samples]``, which is not stored.

    With ``cache_front_end`` it gives the front end's frames ``[frames, channels]``, stored while training; the network
    continues from them with the same numbers. One out of a checkpoint stores none: who predicts reads them once.
    """

    most_steps = 120 * RATE_HZ

    def __init__(self, config: Wav2Vec2Config, files: NetworkFiles) -> None:
        super().__init__("audio", config, files, _settled(read_config(files)))
        self.config = config
        self._normalise = _normalises(files)
        self._shortest = receptive_field(self._network_config)
        self.hop_s = None if config.pooled else math.prod(self._network_config.conv_stride) / RATE_HZ
        self.centre_s = self._shortest / 2 / RATE_HZ
        if config.cache_front_end:
            self.input_dim = (int(self._network_config.conv_dim[-1]),)

    def load(self, *, restored: bool) -> None:
        super().load(restored=restored)
        if self.config.freeze_front_end:
            self._front_end.requires_grad_(False)
        self.stored = self.config.cache_front_end and not restored

    def fingerprint(self) -> Mapping[str, Any]:
        whole = {"encoder": "wav2vec2", "version": 1, "rate_hz": RATE_HZ, "normalise": self._normalise}
        if self.config.cache_front_end:  # known by its weights: a network in a checkpoint has no other name for it
            return {**whole, "front_end": _identity(self._front_end, self._network_config)}
        if not self.config.frozen:
            return whole
        gives = self.config.model_dump(include={"layer", "pooled"})
        return {**whole, "network": self._files.identity(with_weights=True), **gives}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def read(self, turn: Turn) -> npt.NDArray[np.float32]:
        samples = waveform(turn)
        if self._normalise:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)  # 1e-7: as in the library
        return np.pad(samples, (0, max(self._shortest - len(samples), 0)))

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        if not self.config.cache_front_end:
            return super().extract(turns)
        arrays = []
        for turn in turns:
            wave = torch.from_numpy(self.read(turn)).to(self._place.device)
            with torch.no_grad():
                arrays.append(as_float32(self._front_end(wave[None])[0].T.cpu().numpy()))
        return arrays

    def stored_bytes(self, turn: Turn) -> int:
        if not self.config.cache_front_end:
            return 0
        samples = max(round(self.duration_s(turn) * RATE_HZ), self._shortest)
        frames = (samples - self._shortest) // math.prod(self._network_config.conv_stride) + 1
        return int(frames * self.input_dim[0] * np.dtype(np.float32).itemsize)

    def states(self, network: nn.Module, padded: Padded) -> Padded:
        parts: Any = network
        if self.config.cache_front_end:
            frames = Padded(torch.where(padded.mask.unsqueeze(-1), padded.data, 0.0), padded.mask)
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_front_end):
                frames = self._unmasked(parts, padded) if self.config.hears_padding else self._unpadded(parts, padded)
        projected = parts.feature_projection(frames.data)
        projected = projected[0] if isinstance(projected, tuple) else projected  # wav2vec 2.0 also returns its input
        with known_warnings(), _entering(layers_of(network, self._network_config)) as entered:
            mask = None if self.config.hears_padding else frames.mask
            last = parts.encoder(projected, attention_mask=mask).last_hidden_state
        # what enters each layer, and the output after its last normalisation
        return Padded(choose_states([*entered, last], self.config.layer), frames.mask)

    @staticmethod
    def _unpadded(parts: Any, padded: Padded) -> Padded:
        """Return each recording's frames, computed from it alone."""
        waves = [data[mask] for data, mask in zip(padded.data, padded.mask, strict=True)]
        return stack([parts.feature_extractor(wave[None])[0].T for wave in waves])

    @staticmethod
    def _unmasked(parts: Any, padded: Padded) -> Padded:
        """Return the frames of recordings filled up with zeros, and which of them are a recording's own."""
        data = parts.feature_extractor(padded.data.masked_fill(~padded.mask, 0.0)).transpose(1, 2)
        lengths = parts._get_feat_extract_output_lengths(padded.mask.sum(dim=1))
        return Padded(data, torch.arange(data.shape[1], device=data.device) < lengths.unsqueeze(1))

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": "wav2vec2", **self._described()}

    @property
    def _front_end(self) -> nn.Module:
        front_end = self.network.feature_extractor
        assert isinstance(front_end, nn.Module)
        return front_end


def _identity(front_end: nn.Module, network_config: Any) -> str:
    """Return a hash of all that a front end's frames depend on: its weights and how it is built."""
    digest = hashlib.sha256(json.dumps([getattr(network_config, name) for name in _FRONT_END]).encode())
    for name, weight in sorted(front_end.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)}".encode() + weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _entering(layers: nn.ModuleList) -> Iterator[list[Tensor]]:
    """Collect what enters each layer while the network runs."""
    entered: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, given, named: entered.append(given[0] if given else named["hidden_states"]), with_kwargs=True
        )
        for layer in layers
    ]
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


def _settled(network_config: Any) -> Any:
    """Return the configuration without what would make training depend on chance beyond dropout.

    Raises:
        ConfigError: The network has a part that padding could reach or that is not run here.
    """
    if network_config.model_type not in _TYPES:
        known = ", ".join(_TYPES)
        raise ConfigError(f"No speech encoder of type '{network_config.model_type}' is known. Known: {known}")
    for part in ("add_adapter", "conv_pos_batch_norm"):
        if getattr(network_config, part, False):
            raise ConfigError(f"A network with '{part}' is not supported: choose a checkpoint without it")
    network_config.apply_spec_augment = False
    network_config.mask_time_prob = network_config.mask_feature_prob = 0.0
    network_config.layerdrop = 0.0
    return network_config


def _normalises(files: NetworkFiles) -> bool:
    """Tell whether the network was trained on normalised waveforms; without a preprocessor's word: yes, as the library.

    Raises:
        MerkitError: The preprocessor cannot be read, or the network is not for 16 kHz.
    """
    path = files.folder / "preprocessor_config.json"
    if not path.is_file():
        return True
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        normalise, rate_hz = bool(found.get("do_normalize", True)), found.get("sampling_rate", RATE_HZ)
    except (OSError, ValueError, AttributeError) as error:
        raise MerkitError(f"Cannot read '{path}': {error}") from error
    if rate_hz != RATE_HZ:
        raise ConfigError(f"'{files.weights}' works at {rate_hz} Hz, only {RATE_HZ} Hz is supported")
    return normalise


def receptive_field(network_config: Any) -> int:
    """Return the samples that one frame sees."""
    field = 1
    for kernel, stride in zip(reversed(network_config.conv_kernel), reversed(network_config.conv_stride), strict=True):
        field = (field - 1) * stride + kernel
    return int(field)


def build(config: Wav2Vec2Config, modality: str, home: EncoderHome) -> Wav2Vec2:
    """Return the encoder; a frozen network's weights are read when the first recording is extracted.

    Raises:
        MerkitError: The network is not there or not what the configuration asks for.
    """
    encoder = Wav2Vec2(config, NetworkFiles(config.weights, config.revision, home.assets))
    if not config.frozen:
        encoder.load(restored=home.assets is not None)
    return encoder


SPEC = EncoderSpec(
    name="wav2vec2",
    modalities=("audio",),
    summary="Any wav2vec 2.0, HuBERT or WavLM network, frozen or fine-tuned",
    config=Wav2Vec2Config,
    build=build,
)
