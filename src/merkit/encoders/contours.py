"""Pitch and intensity over time by Praat, for models that read frames or words."""

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import EncoderConfig, EncoderHome, EncoderSpec
from merkit.encoders.praat import SHORTEST_S, load_parselmouth
from merkit.encoders.sound.measures import SoundMeasures
from merkit.encoders.sound.samples import RATE_HZ

COLUMNS = ("pitch", "intensity", "voiced")
"""Semitones, NaN where unvoiced; dB; 1 or 0."""

_HOP_S = 0.01
_REFERENCE_HZ = 100.0


class ContoursConfig(EncoderConfig):
    """The zero of the scales of pitch and intensity."""

    relative: bool = True
    """Relative to the recording's medians (of voiced frames for pitch, of all frames for intensity); otherwise to
    100 Hz and 0 dB."""


def contours(samples: npt.NDArray[np.floating[Any]], rate_hz: int, *, relative: bool) -> npt.NDArray[np.float64]:
    """Return ``[frames, 3]`` of a waveform ``[time]``, in the order of ``COLUMNS``; frames of 10 ms, rounded up.

    A frame has Praat's pitch (autocorrelation, 75 to 600 Hz) nearest to its middle, and the intensity interpolated
    there; before the middle of the first window and after that of the last it is that window's. Below 0 dB, as in
    digital silence, it is 0. Below 80 ms neither is defined.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    duration_s = len(samples) / rate_hz
    times = _HOP_S * (np.arange(max(math.ceil(duration_s / _HOP_S - 1e-9), 1)) + 0.5)
    if duration_s < SHORTEST_S:
        return np.stack([np.full(len(times), np.nan)] * 2 + [np.zeros(len(times))], axis=1)
    sound = load_parselmouth().Sound(samples.astype(np.float64), rate_hz)
    pitch = sound.to_pitch(time_step=_HOP_S)
    frequency, middles = pitch.selected_array["frequency"], pitch.xs()
    nearest = np.rint((times - middles[0]) / _HOP_S).astype(np.int64)
    inside = (nearest >= 0) & (nearest < len(frequency))
    pitch_hz = np.where(inside, frequency[nearest.clip(0, len(frequency) - 1)], 0.0)
    voiced = pitch_hz > 0.0
    semitones = np.where(voiced, 12.0 * np.log2(np.where(voiced, pitch_hz, 1.0) / _REFERENCE_HZ), np.nan)
    loudness = sound.to_intensity(time_step=_HOP_S)
    intensity = np.interp(times, loudness.xs(), np.maximum(loudness.values[0], 0.0))
    if relative:
        semitones = semitones - (np.median(semitones[voiced]) if voiced.any() else 0.0)
        intensity = intensity - np.median(intensity)
    return np.stack([semitones, intensity, voiced.astype(np.float64)], axis=1)


def build(config: ContoursConfig, modality: str, home: EncoderHome) -> SoundMeasures:
    """Return the encoder; it needs no files."""
    measure = partial(contours, rate_hz=RATE_HZ, relative=config.relative)
    encoder = SoundMeasures("contours", 1, COLUMNS, measure, {"relative": config.relative})
    encoder.hop_s, encoder.centre_s = _HOP_S, _HOP_S / 2
    return encoder


SPEC = EncoderSpec(
    name="contours",
    modalities=("audio",),
    summary="Pitch, intensity and voicing over time, by Praat",
    config=ContoursConfig,
    build=build,
    extra="prosody",
)
