"""Voice conversion by Praat: pitch, its range, formants and loudness of another speaker."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from merkit.core.view import RATE_HZ, AudioEngine, Speaking, ViewConfig, ViewSpec
from merkit.encoders.praat import load_parselmouth
from merkit.encoders.sound.samples import waveform
from merkit.views._audio import Frequencies, Wave, at_level, level, pitch_hz

_FLOOR_HZ, _CEILING_HZ = 75.0, 600.0  # Praat's own limits of the voice


class VoiceConversionConfig(ViewConfig):
    """The relation of formants to pitch."""

    formants: float = Field(default=0.3, ge=0.0, le=1.0)
    """Exponent from the ratio of two voices' pitches to that of their formants: between the men and women of
    Hillenbrand et al. (JASA 1995) pitch differs by about 1.7 and formants by about 1.17, 1.7^0.3. [ours]"""


class VoiceConversion(AudioEngine):
    """Praat's "Change gender" to the donor's median pitch and pitch range, then the donor's loudness.

    Words and timing stay. Where one of the recordings has no voiced frame, only the loudness changes.
    """

    needs_donor: ClassVar[bool] = True

    def __init__(self, config: VoiceConversionConfig) -> None:
        self.config = config

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "voice", "version": 1, **self.config.model_dump()}

    def speak(self, speaking: Speaking) -> Wave:
        assert speaking.donor is not None
        samples, donor = waveform(speaking.turn), waveform(speaking.donor)
        own_hz, donor_hz = pitch_hz(samples), pitch_hz(donor)
        if len(own_hz) and len(donor_hz):
            wanted = float(np.median(donor_hz))
            ratio = wanted / float(np.median(own_hz))
            spread = _spread(donor_hz) / max(_spread(own_hz), 0.1)
            praat = load_parselmouth()
            moved = praat.praat.call(
                praat.Sound(samples.astype(np.float64), RATE_HZ),
                "Change gender",
                _FLOOR_HZ,
                _CEILING_HZ,
                float(np.clip(ratio**self.config.formants, 0.7, 1.4)),
                wanted,
                float(np.clip(spread, 0.3, 3.0)),
                1.0,
            )
            samples = np.asarray(moved.values[0], dtype=np.float32)
        return at_level(samples, level(donor))


def _spread(frequencies_hz: Frequencies) -> float:
    """Return the standard deviation of a pitch in semitones."""
    return float(np.std(12.0 * np.log2(frequencies_hz)))


SPEC = ViewSpec(
    name="voice",
    modality="audio",
    summary="the recording in another training speaker's pitch, formants and loudness, same emotion (Praat)",
    config=VoiceConversionConfig,
    build=VoiceConversion,
)
