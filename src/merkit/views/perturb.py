"""The recording with another speed, pitch and loudness, with noise and reverberation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import soxr
from pydantic import Field
from scipy.signal import fftconvolve, istft, stft

from merkit.core.view import RATE_HZ, AudioEngine, Speaking, ViewConfig, ViewSpec
from merkit.encoders.sound.samples import waveform
from merkit.views._audio import Wave, level, within_scale

_WINDOW, _HOP = 512, 128  # 32 ms and 8 ms
_DECAY = 3.0 * np.log(10.0)  # e^-6.9 is 60 dB down in amplitude, where the reverberation time ends


class PerturbConfig(ViewConfig):
    """The range of each change; 0 (or, for ``noise_db``, an empty list) leaves it out."""

    speed: float = Field(default=0.1, ge=0.0, lt=0.5)
    """Largest relative change of speed, and with it of pitch; 0.1 is that of Ko et al., "Audio Augmentation for Speech
    Recognition", Interspeech 2015."""
    pitch: float = Field(default=2.0, ge=0.0, le=12.0)
    """Largest change of pitch alone, in semitones."""
    gain_db: float = Field(default=6.0, ge=0.0, le=40.0)
    """Largest change of loudness."""
    noise_db: tuple[float, float] | tuple[()] = (15.0, 35.0)
    """Range of the ratio of speech to added white noise."""
    room_s: float = Field(default=0.3, ge=0.0, le=3.0)
    """Longest reverberation time (to -60 dB)."""


class Perturb(AudioEngine):
    """Speed, pitch, room, noise and gain in this order, each drawn uniformly from its range."""

    def __init__(self, config: PerturbConfig) -> None:
        self.config = config

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "perturb", "version": 1, **self.config.model_dump(mode="json")}

    def speak(self, speaking: Speaking) -> Wave:
        samples = waveform(speaking.turn)
        generator = np.random.default_rng(speaking.seed)
        speed, pitch, gain = generator.uniform(-1, 1, 3)
        room_s, noise = generator.uniform(0, 1, 2)
        if self.config.speed:
            samples = at_speed(samples, 1.0 + self.config.speed * speed)
        if self.config.pitch:
            samples = at_pitch(samples, self.config.pitch * pitch)
        if self.config.room_s:
            samples = in_room(samples, self.config.room_s * room_s, generator)
        if self.config.noise_db:
            least, most = self.config.noise_db
            samples = with_noise(samples, least + (most - least) * noise, generator)
        return within_scale(samples * np.float32(10 ** (self.config.gain_db * gain / 20)))


def at_speed(samples: Wave, factor: float) -> Wave:
    """Return the recording played ``factor`` times as fast: shorter and higher above 1."""
    return np.asarray(soxr.resample(samples, RATE_HZ * factor, RATE_HZ), dtype=np.float32)


def at_pitch(samples: Wave, semitones: float) -> Wave:
    """Return the recording higher by so many semitones and of the same length: stretched, then played faster."""
    factor = 2.0 ** (semitones / 12.0)
    moved = at_speed(stretched(samples, factor), factor)
    return np.pad(moved, (0, max(len(samples) - len(moved), 0)))[: len(samples)]


def stretched(samples: Wave, factor: float) -> Wave:
    """Return the recording ``factor`` times as long at the same pitch, by a phase vocoder (Flanagan & Golden 1966).

    Between two frames magnitudes are interpolated, and each bin's phase advances as it did in the recording.
    """
    if len(samples) < _WINDOW:
        return samples
    bins = stft(samples, RATE_HZ, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[2]
    positions = np.arange(0, bins.shape[1] - 1, 1.0 / factor)
    first = positions.astype(int)
    share = positions - first
    magnitude = (1 - share) * np.abs(bins[:, first]) + share * np.abs(bins[:, first + 1])
    advance = np.angle(bins[:, first + 1]) - np.angle(bins[:, first])
    expected = 2 * np.pi * _HOP * np.arange(len(bins))[:, None] / _WINDOW
    advance = expected + (advance - expected + np.pi) % (2 * np.pi) - np.pi
    phase = np.angle(bins[:, :1]) + np.cumsum(np.pad(advance[:, :-1], ((0, 0), (1, 0))), axis=1)
    output = istft(magnitude * np.exp(1j * phase), RATE_HZ, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[1]
    return np.asarray(output, dtype=np.float32)


def in_room(samples: Wave, seconds: float, generator: np.random.Generator) -> Wave:
    """Return the recording with a reverberation time (60 dB) of ``seconds``, of the same length and loudness.

    The impulse response is the direct sound and exponentially decaying noise of the same energy (after Polack's
    statistical model).
    """
    length = round(seconds * RATE_HZ)
    if length < 2:
        return samples
    tail = generator.normal(size=length) * np.exp(-_DECAY * np.arange(length) / length)
    response = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
    heard = fftconvolve(samples, response)[: len(samples)].astype(np.float32)
    before, after = level(samples), level(heard)
    return np.asarray(heard * np.float32(before / after) if after else heard, dtype=np.float32)


def with_noise(samples: Wave, ratio_db: float, generator: np.random.Generator) -> Wave:
    """Return the recording with white noise, softer by ``ratio_db``."""
    noise = generator.normal(size=len(samples)) * level(samples) * 10 ** (-ratio_db / 20)
    return (samples + noise).astype(np.float32)


SPEC = ViewSpec(
    name="perturb",
    modality="audio",
    summary="the recording with another speed, pitch, loudness, room and noise",
    config=PerturbConfig,
    build=Perturb,
)
