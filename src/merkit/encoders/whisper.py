"""The encoder of any Whisper network, frozen or trained with the model, and never moved by batch mates.

Whisper was trained on 30 s, padded with silence. A clip is run at its own length with one second of silence behind it,
which costs a ninth for clips of three seconds; the silence's states are dropped. A frozen network runs each clip alone;
a trained one masks padding in attention.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023, section 2.2.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderHome, EncoderSpec
from merkit.core.errors import ConfigError
from merkit.core.types import Turn
from merkit.data.strict_json import read_object
from merkit.encoders.networks.architecture import Architecture
from merkit.encoders.networks.config import NetworkConfig
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.frozen import FrozenNetwork, batches_by_length
from merkit.encoders.networks.loading import read_network_config
from merkit.encoders.networks.trained import TrainedNetwork
from merkit.encoders.sound.samples import RATE_HZ, audio_content, audio_duration_s, waveform_blocks
from merkit.nn.sequences import pad_sequences
from merkit.weights.known import WHISPER_BASE

_FFT, _HOP = 400, 160
_STRIDE = 2 * _HOP
"""Samples of a state: the second convolution halves the frames."""
_SILENCE_S, _LONGEST_S = 1, 30
_POSITIONS = _LONGEST_S * RATE_HZ // _STRIDE
_SILENCE = _SILENCE_S * RATE_HZ // _STRIDE
"""States of the appended silence."""
_OWN, _OVERLAP = 1000, 225
"""Of a recording longer than 29 s: states of a window, and those on either side that they attend to as well."""
_WINDOW = _OWN + 2 * _OVERLAP
_WINDOWS_AT_A_TIME = 8
_SHORT = 800
"""States up to which plain products of bf16 are faster than PyTorch's fused attention on a processor."""
_DYNAMIC_RANGE, _FLOOR = 8.0, 1e-10
"""In powers of ten, below the loudest band of a window; the library's."""


_BOUNDS = (
    *((name, 0.0, 1.0) for name in ("dropout", "attention_dropout", "activation_dropout")),
    ("encoder_attention_heads", 1, 1000),
    ("num_mel_bins", 1, 1000),
)
"""What the library does not check before it runs a network."""


class WhisperConfig(NetworkConfig):
    """Which network, and which of its weights are trained."""

    weights: str = WHISPER_BASE.name
    """``builtin:whisper-base``, a local folder or a hub id."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of a frozen network's weights and sums. ``bfloat16`` takes about half the time on processors that have it, and
    several times as long on others."""
    stride: int = Field(default=1, ge=1)
    """Frames averaged into one vector (a recording's last vector may be of fewer): 5 leaves ten vectors per second for
    attention to read. Needs ``frozen``, and not with ``pooled``."""

    @model_validator(mode="after")
    def _precision_fits(self) -> "WhisperConfig":
        if self.precision != "float32" and not self.frozen:
            raise ValueError("precision needs frozen = true; of a trained network, set training.precision")
        if self.stride > 1 and (self.pooled or not self.frozen):
            raise ValueError("stride needs frozen = true and pooled = false")
        return self


class Whisper(Architecture):
    """The encoder of Whisper networks: one vector per 20 ms, the first one centred at 0.

    Input is the log-mel energies ``[frames, mels]`` of the library's feature extractor, 100 per second, of the
    recording with one second of silence behind it. A recording of over 29 s is read in windows of 29 s that overlap by
    9 s, side by side in the input; each is a clip of its own, with its own silence. Only as many layers are run as the
    chosen states need. LayerDrop and SpecAugment are off.
    """

    modality = "audio"
    input_type = np.float32
    max_positions = _WINDOWS_AT_A_TIME * 2 * _POSITIONS
    stores_input = True  # a GPU would wait for them: one core computes 800 s of them in a second
    config: WhisperConfig

    def __init__(self, config: WhisperConfig, files: NetworkFiles) -> None:
        super().__init__(config, files, _settled(read_network_config(files), files))
        # the output's normalisation belongs to the last state alone
        self._normalised = max(self.numbers) == self.states_count - 1
        self.network_config.encoder_layers = max(self.numbers)
        self.network_config._attn_implementation = "sdpa" if config.precision == "float32" else _attention_by_length()
        mels = int(self.network_config.num_mel_bins)
        self.input_dim = (mels,)
        self._filters = _mel_filters(mels)
        self.hop_s = None if config.pooled else config.stride * _STRIDE / RATE_HZ
        self.centre_s = (config.stride - 1) / 2 * _STRIDE / RATE_HZ

    def settings(self) -> Mapping[str, Any]:
        return {"encoder": "whisper", "version": 1, "rate_hz": RATE_HZ, "mels": self.input_dim[0]}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def read(self, turn: Turn) -> npt.NDArray[np.float32]:
        return np.concatenate(list(self.windows(turn)))

    def windows(self, turn: Turn) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the log-mel energies ``[frames, mels]`` of a recording's windows, mostly one, in constant memory."""
        longest, step = _WINDOW * _STRIDE, _OWN * _STRIDE
        kept = np.zeros(0, dtype=np.float32)
        for block in waveform_blocks(turn):
            kept = np.concatenate([kept, block])
            while len(kept) > longest:
                yield log_mel(kept[:longest], self._filters)
                kept = kept[step:]
        yield log_mel(kept, self._filters)

    def prepare(self, network: nn.Module) -> None:
        parts: Any = network.to(getattr(torch, self.config.precision))
        parts.embed_positions.requires_grad_(False)  # sinusoids; the library says so too, but forgets it in loading

    def states(self, network: nn.Module, padded: Padded) -> Padded:
        pieces = [data[mask].split(2 * _POSITIONS) for data, mask in zip(padded.data, padded.mask, strict=True)]
        windows = [window for own in pieces for window in own]
        at_a_time = len(windows) * 2 * _POSITIONS if torch.is_grad_enabled() else self.max_positions
        found: dict[int, Tensor] = {}
        for batch in batches_by_length([len(window) for window in windows], at_a_time):
            states = self.window_states(network, pad_sequences([windows[index] for index in batch]))
            found.update(zip(batch, states, strict=True))
        rows, number = [], 0
        for own in pieces:
            parts = [
                found[number + index][own_states(len(window), first=index == 0, last=index == len(own) - 1)]
                for index, window in enumerate(own)
            ]
            rows.append(torch.cat(parts))
            number += len(own)
        return pad_sequences(rows)

    def window_states(self, network: nn.Module, windows: Padded) -> Tensor:
        """Return the chosen states of windows ``[rows, frames, mels]``, silence and padding included."""
        parts: Any = network
        mask = None if windows.mask.all() else windows.mask
        bands = windows.data.to(parts.conv1.weight.dtype).transpose(1, 2)
        hidden = nn.functional.gelu(parts.conv1(bands))
        # windows have an even number of frames: the second convolution never reads behind the end of one
        hidden = nn.functional.gelu(parts.conv2(hidden)).transpose(1, 2)
        hidden = hidden + parts.embed_positions.weight[: hidden.shape[1]]
        hidden = nn.functional.dropout(hidden, parts.dropout, parts.training)
        attended = None if mask is None else mask[:, None, None, ::2]
        states = [hidden]
        for layer in parts.layers:
            hidden = layer(hidden, attention_mask=attended)
            states.append(hidden)
        if self._normalised:
            states[-1] = parts.layer_norm(hidden)
        return self.chosen(states)


class FrozenWhisper(FrozenNetwork):
    """A frozen Whisper: each recording is run alone, window by window, in memory that its length does not change.

    (Vectors that are not pooled are returned whole, of course.)
    """

    architecture: Whisper

    def fingerprint(self) -> Mapping[str, Any]:
        config = self.architecture.config
        strided = {} if config.stride == 1 else {"stride": config.stride}
        return {**super().fingerprint(), "precision": config.precision, **strided}

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return [self.finite(self._vectors(turn), turn) for turn in turns]

    def _vectors(self, turn: Turn) -> Array:
        config = self.architecture.config
        moments, frames = _Moments(), []
        for states in self._states(turn):
            if config.pooled:
                moments.add(states)
            else:
                frames.append((states.mean(-2) if config.averages_states else states).cpu().numpy())
        if not config.pooled:
            return _means(np.concatenate(frames), config.stride)
        vector = moments.mean_and_std() if config.pooled == "mean_std" else moments.mean
        return (vector.mean(-2) if config.averages_states else vector)[np.newaxis]

    def _states(self, turn: Turn) -> Iterator[Float[Tensor, "time *states dim"]]:
        """Yield the chosen states of each window that are its own, in float32."""
        network, device = self.placed_network()
        waiting: tuple[npt.NDArray[np.float32], bool] | None = None
        for window in self.architecture.windows(turn):
            if waiting is not None:
                yield self._own(network, device, *waiting, last=False)
            waiting = window, waiting is None
        assert waiting is not None
        yield self._own(network, device, *waiting, last=True)

    def _own(
        self, network: nn.Module, device: torch.device, window: npt.NDArray[np.float32], first: bool, *, last: bool
    ) -> Float[Tensor, "time *states dim"]:
        padded = pad_sequences([torch.from_numpy(window).to(device)])
        with torch.inference_mode():
            states = self.architecture.window_states(network, padded)[0]
            return states[own_states(len(window), first=first, last=last)].float()


class _Moments:
    """Mean and standard deviation over time of states that come in parts, by Chan's update."""

    def __init__(self) -> None:
        self._count, self.mean, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, states: Float[Tensor, "time *states dim"]) -> None:
        count = len(states)
        mean = states.mean(0)
        squares = (states - mean).square_().sum(0).cpu().double().numpy()
        total = self._count + count
        difference = mean.cpu().double().numpy() - self.mean
        self.mean = self.mean + difference * (count / total)
        self._squares = self._squares + squares + difference**2 * (self._count * count / total)
        self._count = total

    def mean_and_std(self) -> Float[npt.NDArray[np.float64], "*states both"]:
        """Return the mean and the standard deviation (of the population), joined."""
        return np.concatenate([self.mean, np.sqrt(self._squares / self._count)], axis=-1)


def _means(frames: Array, stride: int) -> Array:
    """Return the means of each ``stride`` frames along the first axis; the last one may be of fewer."""
    starts = np.arange(0, len(frames), stride)
    sizes = np.minimum(stride, len(frames) - starts)
    return np.add.reduceat(frames, starts) / sizes.reshape(-1, *[1] * (frames.ndim - 1))


def own_states(frames: int, *, first: bool, last: bool) -> slice:
    """Return which states of a window of so many frames are its own: not the overlap's, nor the silence's."""
    return slice(0 if first else _OVERLAP, frames // 2 - _SILENCE if last else _OVERLAP + _OWN)


def log_mel(
    samples: npt.NDArray[np.float32], filters: Float[Tensor, "mels bins"]
) -> Float[npt.NDArray[np.float32], "frames mels"]:
    """Return Whisper's log-mel energies of a waveform at 16 kHz with one second of silence behind it, 100 per second.

    As the library's ``WhisperFeatureExtractor`` computes them of the same samples. The waveform is padded with zeros to
    whole states of 20 ms.
    """
    states = -(-len(samples) // _STRIDE) + _SILENCE
    padded = np.zeros(states * _STRIDE, dtype=np.float32)
    padded[: len(samples)] = samples
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(torch.from_numpy(padded), _FFT, _HOP, window=window, return_complex=True)[:, :-1]
    # operation by operation as the library: later layers magnify a difference in the last digit a thousandfold
    bands = (filters @ (spectrum.abs() ** 2).contiguous()).clamp(min=_FLOOR).log10()
    bands = torch.maximum(bands, bands.max() - _DYNAMIC_RANGE)
    return ((bands + 4.0) / 4.0).T.contiguous().numpy()


def _mel_filters(mels: int) -> Float[Tensor, "mels bins"]:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + _FFT // 2,
        num_mel_filters=mels,
        min_frequency=0.0,
        max_frequency=RATE_HZ / 2,
        sampling_rate=RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).to(torch.float32).T


def _settled(network_config: Any, files: NetworkFiles) -> Any:
    """Return the configuration without LayerDrop: dropout is the only randomness of training.

    Raises:
        ConfigError: The network is no Whisper, or works on another input than every published one.
    """
    if network_config.model_type != "whisper":
        raise ConfigError(f"'{files.weights}' is a network of type '{network_config.model_type}', expected 'whisper'")
    if network_config.max_source_positions != _POSITIONS:
        raise ConfigError(
            f"'{files.weights}' has {network_config.max_source_positions} positions (max_source_positions), "
            f"expected the {_POSITIONS} of {_LONGEST_S} s that every published Whisper has"
        )
    for name, low, high in _BOUNDS:
        if not low <= getattr(network_config, name) <= high:
            found = getattr(network_config, name)
            raise ConfigError(f"'{files.weights}': {name} is {found}, expected {low} to {high} (config.json)")
    expected = {
        "sampling_rate": RATE_HZ,
        "feature_size": network_config.num_mel_bins,
        "n_fft": _FFT,
        "hop_length": _HOP,
    }
    path = files.folder / "preprocessor_config.json"
    settings = read_object(path) if path.is_file() else {}
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise ConfigError(f"'{path}': {name} is {settings[name]}, expected {value} for this network")
    network_config.encoder_layerdrop = 0.0
    network_config.apply_spec_augment = False
    return network_config


def _attention_by_length() -> str:
    """Return the library's name of an attention for bf16: plain products, which take half the time of short windows."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.models.whisper.modeling_whisper import eager_attention_forward

    def attend(module: nn.Module, query: Tensor, *rest: Any, **settings: Any) -> Any:
        chosen = eager_attention_forward if query.shape[-2] <= _SHORT else sdpa_attention_forward
        return chosen(module, query, *rest, **settings)

    AttentionInterface.register("by_length", attend)
    return "by_length"


def build(config: WhisperConfig, modality: str, home: EncoderHome) -> Encoder:
    """Return the encoder; a frozen network's weights are read when the first recording is extracted.

    Raises:
        MerkitError: The network is missing or not what the configuration asks for.
    """
    architecture = Whisper(config, NetworkFiles(config.weights, config.revision, home.assets))
    return (
        FrozenWhisper(architecture) if config.frozen else TrainedNetwork(architecture, restored=home.assets is not None)
    )


SPEC = EncoderSpec(
    name="whisper",
    modalities=("audio",),
    summary="The encoder of any Whisper network, frozen or fine-tuned",
    config=WhisperConfig,
    build=build,
)
