"""Eight measures of prosody by Praat: those published with MELD's clips.

Defined as in those files where they tell: an utterance without a voiced frame has no average pitch, and 0 as standard
deviation and range of its pitch; one without a syllable has no articulation rate.
"""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import EncoderConfig, EncoderHome, EncoderSpec
from merkit.core.errors import MerkitError
from merkit.encoders.sound.measures import SoundMeasures
from merkit.encoders.sound.samples import RATE_HZ

COLUMNS = (
    "duration",
    "avg_intensity",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)
"""s, dB, dB, Hz, Hz, Hz, syllables per second of phonation, dB."""

SHORTEST_S = 0.08
"""Praat's windows (64 ms for intensity from 100 Hz, 40 ms for pitch from 75 Hz) need about this much."""
_SHORTEST_SPEECH_S = 0.13
"""The same for the intensity from 50 Hz that syllables are counted on: 6.4 periods."""
# de Jong & Wempe (2009), "Praat script to detect syllable nuclei and measure speech rate automatically", Behavior
# Research Methods 41: silence 25 dB below the (nearly) loudest frame, dips of 2 dB, pauses of 0.3 s and more.
_SILENCE_DB = 25.0
_DIP_DB = 2.0
_SHORTEST_PAUSE_S = 0.3
_SHORTEST_SOUNDING_S = 0.1


def prosody(samples: npt.NDArray[np.floating[Any]], rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the measures ``[8]`` of a waveform ``[time]``, in the order of ``COLUMNS``; NaN where undefined.

    Below 80 ms only the duration is defined; below 130 ms there is no articulation rate. Samples are taken as pascals,
    as Praat reads files; frames below 0 dB, such as digital silence, count as 0 dB.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    duration_s = len(samples) / rate_hz
    if duration_s < SHORTEST_S:
        return np.array([duration_s] + [np.nan] * (len(COLUMNS) - 1))
    sound = load_parselmouth().Sound(samples.astype(np.float64), rate_hz)
    intensity = np.maximum(sound.to_intensity().values[0], 0.0)
    pitch = sound.to_pitch()
    frequency = pitch.selected_array["frequency"]
    voiced = frequency[frequency > 0.0]
    any_voiced = len(voiced) > 0
    harmonicity = sound.to_harmonicity_cc().values
    harmonic = harmonicity[harmonicity > -200.0]  # Praat's value of a frame without periodicity
    return np.array(
        [
            duration_s,
            intensity.mean(),
            intensity.std(),
            voiced.mean() if any_voiced else np.nan,
            voiced.std() if any_voiced else 0.0,
            np.ptp(voiced) if any_voiced else 0.0,
            articulation_rate(sound, pitch),
            harmonic.mean() if len(harmonic) else np.nan,
        ]
    )


def articulation_rate(sound: Any, pitch: Any) -> float:
    """Return syllables per second of phonation, NaN where there is no syllable (de Jong & Wempe 2009).

    A syllable's nucleus is a voiced peak of the intensity above the silence threshold, at least 2 dB above the dip
    between it and the peak before. Phonation is the time outside pauses of at least 0.3 s.
    """
    if sound.duration < _SHORTEST_SPEECH_S:
        return float("nan")
    intensity = sound.to_intensity(minimum_pitch=50.0)
    values, times = intensity.values[0], intensity.xs()
    loudest = float(np.quantile(values, 0.99))  # not the very loudest frame, which may be a click
    threshold = max(loudest - _SILENCE_DB, float(values.min()))
    inner = values[1:-1]
    tops = 1 + np.flatnonzero((inner > values[:-2]) & (inner >= values[2:]) & (inner > threshold))
    syllables = 0
    for number, top in enumerate(tops):
        previous = tops[number - 1] if number else 0
        dip = values[previous:top].min()
        if values[top] - dip > _DIP_DB and pitch.get_value_at_time(times[top]) > 0.0:
            syllables += 1
    phonation_s = _phonation_s(values >= threshold, times, sound.duration)
    return syllables / phonation_s if syllables and phonation_s > 0.0 else float("nan")


def _phonation_s(sounding: npt.NDArray[np.bool_], times: npt.NDArray[np.float64], duration_s: float) -> float:
    """Return the duration without pauses (silence of 0.3 s and more); sounds below 0.1 s count as silence."""
    edges: npt.NDArray[np.float64] = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2.0, [duration_s]])
    stretches = _stretches(sounding, edges)
    for start, end in stretches:
        if edges[end] - edges[start] < _SHORTEST_SOUNDING_S:
            sounding = sounding.copy()
            sounding[start:end] = False
    pauses = [edges[end] - edges[start] for start, end in _stretches(~sounding, edges)]
    return duration_s - float(sum(pause for pause in pauses if pause >= _SHORTEST_PAUSE_S))


def _stretches(flags: npt.NDArray[np.bool_], edges: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return first and one-past-last number of every run of ``True``."""
    steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def load_parselmouth() -> Any:
    """Return the library.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    try:
        import parselmouth
    except ImportError:
        raise MerkitError("Praat's measures need the extra 'prosody': pip install 'merkit[prosody]'") from None
    return parselmouth


def build(config: EncoderConfig, modality: str, home: EncoderHome) -> SoundMeasures:
    """Return the encoder; it needs no files."""
    return SoundMeasures("praat", 1, COLUMNS, partial(prosody, rate_hz=RATE_HZ))


SPEC = EncoderSpec(
    name="praat",
    modalities=("audio",),
    summary="Eight measures of prosody by Praat: duration, intensity, pitch, articulation rate, harmonicity",
    config=EncoderConfig,
    build=build,
    extra="prosody",
)
