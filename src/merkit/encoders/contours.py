"""The course of pitch and intensity by Praat: prosody where it happens, for models that look at words or moments."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderConfig, EncoderHome, EncoderSpec, as_float32
from merkit.core.types import Turn
from merkit.encoders._audio import RATE_HZ, audio_content, audio_duration_s, waveform
from merkit.encoders._standardize import Standardizer
from merkit.encoders.praat import SHORTEST_S, load_parselmouth

COLUMNS = ("pitch", "intensity", "voiced")
"""Semitones above 100 Hz, NaN where unvoiced; dB; 1 or 0."""

_STEP_S = 0.01
_REFERENCE_HZ = 100.0


class ContoursConfig(EncoderConfig):
    """What a recording's pitch and intensity are compared with."""

    relative: bool = True
    """Above the recording's own median, which hides whose voice it is and how near the microphone was. Otherwise as
    they are."""


class Contours(Encoder):
    """Pitch, intensity and voicing ``[*batch, frames, 3]``, 100 frames per second, standardised with the training part.

    Pitch is that of Praat's autocorrelation from 75 to 600 Hz; where there is none it becomes the training mean. A
    recording below 80 ms has neither pitch nor intensity.
    """

    may_be_undefined: ClassVar[bool] = True

    def __init__(self, config: ContoursConfig) -> None:
        super().__init__()
        self.modality = "audio"
        self.config = config
        self.width = len(COLUMNS)
        self.hop_s = _STEP_S
        self.centre_s = _STEP_S / 2
        self.standardizer = Standardizer(self.width)

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": "contours", "version": 1, "rate_hz": RATE_HZ, "relative": self.config.relative}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return [as_float32(contours(waveform(turn), RATE_HZ, relative=self.config.relative)) for turn in turns]

    def blank(self) -> Array:
        return np.zeros((1, self.width), dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        data = self.standardizer(padded.data)
        return Padded(torch.where(padded.mask.unsqueeze(-1), data, 0.0), padded.mask)

    def fit(self, arrays: Iterable[Array]) -> None:
        self.standardizer.fit(arrays)

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": "contours", "trained": False, "columns": list(COLUMNS)}


def contours(samples: npt.NDArray[np.floating[Any]], rate_hz: int, *, relative: bool) -> npt.NDArray[np.float64]:
    """Return ``[frames, 3]`` of a waveform ``[time]``, in the order of ``COLUMNS``: a frame for each 10 ms begun.

    Each frame has the pitch that Praat finds nearest to its middle, and the intensity interpolated there.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    duration_s = len(samples) / rate_hz
    times = _STEP_S * (np.arange(max(math.ceil(duration_s / _STEP_S - 1e-9), 1)) + 0.5)
    if duration_s < SHORTEST_S:
        return np.stack([np.full(len(times), np.nan)] * 2 + [np.zeros(len(times))], axis=1)
    sound = load_parselmouth().Sound(samples.astype(np.float64), rate_hz)
    pitch = sound.to_pitch(time_step=_STEP_S)
    frequency, middles = pitch.selected_array["frequency"], pitch.xs()
    nearest = np.rint((times - middles[0]) / _STEP_S).astype(np.int64)
    inside = (nearest >= 0) & (nearest < len(frequency))
    found = np.where(inside, frequency[nearest.clip(0, len(frequency) - 1)], 0.0)
    voiced = found > 0.0
    semitones = np.where(voiced, 12.0 * np.log2(np.where(voiced, found, 1.0) / _REFERENCE_HZ), np.nan)
    loudness = sound.to_intensity(time_step=_STEP_S)
    intensity = np.interp(times, loudness.xs(), np.maximum(loudness.values[0], 0.0))
    if relative:
        semitones = semitones - (np.median(semitones[voiced]) if voiced.any() else 0.0)
        intensity = intensity - np.median(intensity)
    return np.stack([semitones, intensity, voiced.astype(np.float64)], axis=1)


def build(config: ContoursConfig, modality: str, home: EncoderHome) -> Contours:
    """Return the encoder; it needs no files."""
    return Contours(config)


SPEC = EncoderSpec(
    name="contours",
    modalities=("audio",),
    summary="Pitch, intensity and voicing over time, by Praat",
    config=ContoursConfig,
    build=build,
    extra="prosody",
)
