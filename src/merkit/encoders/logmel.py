"""Log-mel energies and a small convolutional network trained from scratch: an audio encoder without a download."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderConfig, EncoderHome, EncoderSpec
from merkit.core.types import Turn
from merkit.encoders.sound.augmentation import mask_bands, mask_frames, warp
from merkit.encoders.sound.samples import RATE_HZ, audio_content, audio_duration_s, waveform
from merkit.nn.sequences import absent, present_rows, put_back
from merkit.nn.standardization import Standardizer

_WINDOW = 400
_HOP = 160
_BINS = 512
_LOWEST_HZ = 50.0
_BLOCK = 1024
"""Frames that are worked on at a time: a spectrum takes 40 times the memory of its bands."""
_AT_A_TIME, _FEWEST = 16384, 64
"""Frames that are convolved at a time outside training, of all rows together, and vectors of a row at least."""
_FLOOR = 1e-8
"""Added to energies before the logarithm: 20 dB below the rounding noise of 16-bit recordings."""


class LogMelConfig(EncoderConfig):
    """The network's size, and the augmentation of recordings in training."""

    n_mels: int = Field(default=64, ge=8, le=128)
    channels: int = Field(default=8, ge=1)
    """Of the first two convolutions, which halve both time and bands."""
    layers: int = Field(default=3, ge=1)
    """Convolutions over time after these."""
    dim: int = Field(default=64, ge=1)
    kernel: int = Field(default=5, ge=1)
    """Frames of a convolution over time; odd."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    output_norm: bool = False
    """Batch normalisation of the output. Sums of ReLUs are positive everywhere; beside that common offset, means over
    frames differ little between recordings, and a fusion learns slowly from them."""
    normalize: Literal["corpus", "speaker"] = "corpus"
    """``speaker`` standardises first with all recordings of the speaker, test ones included; uses no label."""
    subtract: Literal["nothing", "level", "bands"] = "level"
    """From each recording: its mean level, or the mean of each band, which removes voice and microphone timbre."""
    mel_shift: float = Field(default=4.0, ge=0.0)
    """Bands by which a recording is shifted at most, as by another pitch and vocal tract."""
    stretch: float = Field(default=0.15, ge=0.0, lt=1.0)
    """Fraction by which a recording is made longer or shorter at most."""
    time_masks: int = Field(default=2, ge=0)
    time_mask: int = Field(default=20, ge=0)
    """Frames of a mask at most."""
    mel_masks: int = Field(default=2, ge=0)
    mel_mask: int = Field(default=8, ge=0)
    """Bands of a mask at most."""

    @field_validator("kernel")
    @classmethod
    def _kernel_is_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("kernel must be odd, so that a frame is in the middle of its window")
        return kernel


class LogMel(Encoder):
    """Log-mel energies ``[frames, n_mels]``, 100 frames per second, to vectors ``[*batch, frames / 4, dim]``.

    Windows of 25 ms at 16 kHz; a shorter recording is padded with zeros to one. Energies are standardised per band with
    the training split's statistics. Two convolutions over time and bands find patterns (a rising harmonic, an onset)
    anywhere on the mel scale; convolutions over time follow. The input of each is zero where there is no recording, and
    batch normalisation runs over real frames alone, so that padding changes nothing; outside training its statistics
    are fixed, so that batch mates change nothing either. (Layer normalisation of each frame would remove how loud it is
    relative to its neighbours.)
    """

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.modality = "audio"
        self.config = config
        self.dim = config.dim
        self.normalize_by_speaker = config.normalize == "speaker"
        # a stretched recording no longer keeps the times of its words
        self.hop_s = None if config.stretch else 4 * _HOP / RATE_HZ
        self.centre_s = _WINDOW / 2 / RATE_HZ
        self.standardizer = Standardizer(config.n_mels)
        self.planes = nn.ModuleList([_Plane(1, config.channels, 5), _Plane(config.channels, config.channels, 3)])
        inputs = [config.channels * _quarter(config.n_mels)] + [config.dim] * (config.layers - 1)
        self.blocks = nn.ModuleList(
            _Block(channels, config.dim, config.kernel, dropout=config.dropout) for channels in inputs
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.BatchNorm1d(config.dim) if config.output_norm else None

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": "logmel", "version": 1, "rate_hz": RATE_HZ, "n_mels": self.config.n_mels}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return [log_mel(waveform(turn), self.config.n_mels) for turn in turns]

    def blank(self) -> Array:
        return np.zeros((1, self.config.n_mels), dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        present, rows = present_rows(padded)
        batch = padded.mask.shape[:-1]
        if not rows.any():
            return absent(batch, self.dim, padded.data.device)
        mask = present.mask
        data = self.standardizer(_without_mean(present.data, mask, self.config.subtract))
        data = torch.where(mask.unsqueeze(-1), data, 0.0)  # augmentation needs finite values
        if self.training:
            data, mask = self._augmented(data, mask)
        data, mask = self._convolved(data, mask) if self.training else self._convolved_by_window(data, mask)
        return put_back(Padded(data, mask), rows, batch)

    def _convolved_by_window(
        self, data: Float[Tensor, "rows time bands"], mask: Bool[Tensor, "rows time"]
    ) -> tuple[Float[Tensor, "rows quarter dim"], Bool[Tensor, "rows quarter"]]:
        """Return what ``_convolved`` returns outside training, in memory that is bounded: a window at a time.

        A window has as many frames more on either side as its own vectors are computed from.
        """
        count = -(-data.shape[1] // 4)
        own = max(_FEWEST, _AT_A_TIME // (4 * len(data)))
        beside = 1 + self.config.layers * (self.config.kernel // 2)
        if count <= own + beside:
            return self._convolved(data, mask)
        vectors = []
        for start in range(0, count, own):
            first, stop = max(0, start - beside), min(count, start + own)
            frames = slice(4 * first, 4 * (stop + beside))
            found, _ = self._convolved(data[:, frames], mask[:, frames])
            vectors.append(found[:, start - first : stop - first])
        return torch.cat(vectors, dim=1), mask[:, ::4]

    def _convolved(
        self, data: Float[Tensor, "rows time bands"], mask: Bool[Tensor, "rows time"]
    ) -> tuple[Float[Tensor, "rows quarter dim"], Bool[Tensor, "rows quarter"]]:
        plane = torch.where(mask.unsqueeze(-1), data, 0.0).unsqueeze(-1)
        for convolution in self.planes:
            plane, mask = convolution(plane, mask)
        data = self.dropout(plane.flatten(2))
        for block in self.blocks:
            data = block(data, mask)
        if self.norm is not None:
            data = _normalised(self.norm, data, mask)
        return data, mask

    def fit(self, arrays: Iterable[Array]) -> None:
        axes = {"nothing": (), "level": (0, 1), "bands": (0,)}[self.config.subtract]
        self.standardizer.fit(array - array.mean(axes, keepdims=True) if axes else array for array in arrays)

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": "logmel", "trained": True, "n_mels": self.config.n_mels, "dim": self.dim}

    def _augmented(
        self, data: Float[Tensor, "rows time bands"], mask: Bool[Tensor, "rows time"]
    ) -> tuple[Float[Tensor, "rows new bands"], Bool[Tensor, "rows new"]]:
        config = self.config
        if config.mel_shift or config.stretch:
            data, mask = warp(data, mask, shift=config.mel_shift, stretch=config.stretch)
        for _ in range(config.time_masks):
            data = mask_frames(data, mask, config.time_mask)
        for _ in range(config.mel_masks):
            data = mask_bands(data, config.mel_mask)
        return data, mask


class _Plane(nn.Module):
    """Convolution over time and bands that halves both, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(
        self, data: Float[Tensor, "rows time bands inputs"], mask: Bool[Tensor, "rows time"]
    ) -> tuple[Float[Tensor, "rows half lower outputs"], Bool[Tensor, "rows half"]]:
        output = self.convolution(data.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mask = mask[:, ::2]
        return torch.relu(_normalised(self.norm, output, mask)), mask


class _Block(nn.Module):
    """Convolution over time, batch normalisation, ReLU, dropout; added to its input where dimensions agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.residual = inputs == outputs

    def forward(
        self, data: Float[Tensor, "rows time inputs"], mask: Bool[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time outputs"]:
        output = self.convolution(data.transpose(1, 2)).transpose(1, 2)
        new: Tensor = self.dropout(torch.relu(_normalised(self.norm, output, mask)))
        return new + data if self.residual else new


def _normalised(
    norm: nn.BatchNorm1d, data: Float[Tensor, "rows time *bands channels"], mask: Bool[Tensor, "rows time"]
) -> Float[Tensor, "rows time *bands channels"]:
    """Normalise real frames, per channel; the others become 0, which ReLU and dropout keep."""
    frames = data[mask]
    real = frames.reshape(-1, frames.shape[-1])
    if norm.training and len(real) == 1:  # one frame has no variance: use the running statistics
        real = nn.functional.batch_norm(real, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    else:
        real = norm(real)
    output = torch.zeros_like(data, dtype=real.dtype)
    output[mask] = real.reshape(frames.shape)
    return output


def _quarter(bands: int) -> int:
    """Return how many bands are left after halving twice, rounded up."""
    return -(-bands // 4)


def log_mel(samples: npt.NDArray[np.float32], n_mels: int) -> npt.NDArray[np.float32]:
    """Return the logarithms of mel-band energies from 50 Hz to 8 kHz, ``[frames, n_mels]``, of a waveform at 16 kHz."""
    padded = np.pad(samples, (0, max(_WINDOW - len(samples), 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    shape, filters = np.hanning(_WINDOW + 1)[:-1], _filters(n_mels)
    bands = np.empty((len(windows), n_mels), dtype=np.float32)
    for start in range(0, len(windows), _BLOCK):
        spectrum = np.fft.rfft(windows[start : start + _BLOCK] * shape, _BINS)
        bands[start : start + _BLOCK] = np.log(np.abs(spectrum) ** 2 @ filters + _FLOOR)
    return bands


def _filters(n_mels: int) -> npt.NDArray[np.float64]:
    """Return triangles of height 1, equally wide on the mel scale of HTK: ``[bins, n_mels]``."""
    edges = 700.0 * (np.exp(np.linspace(_mel(_LOWEST_HZ), _mel(RATE_HZ / 2), n_mels + 2)) - 1.0)
    frequencies = np.linspace(0.0, RATE_HZ / 2, _BINS // 2 + 1)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0.0)


def _mel(frequency_hz: float) -> float:
    return float(np.log1p(frequency_hz / 700.0))


def _without_mean(
    data: Float[Tensor, "rows time bands"], mask: Bool[Tensor, "rows time"], of: Literal["nothing", "level", "bands"]
) -> Float[Tensor, "rows time bands"]:
    """Subtract each recording's mean over real frames, for its level over the bands too."""
    if of == "nothing":
        return data
    mean = torch.where(mask.unsqueeze(-1), data, 0.0).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
    return data - (mean.mean(2, keepdim=True) if of == "level" else mean)


def build(config: LogMelConfig, modality: str, home: EncoderHome) -> LogMel:
    """Return the encoder with random weights."""
    return LogMel(config)


SPEC = EncoderSpec(
    name="logmel",
    modalities=("audio",),
    summary="Log-mel energies and a small convolutional network, trained from scratch",
    config=LogMelConfig,
    build=build,
)
