"""The view's words spoken by eSpeak NG, with pitch, pitch range, rate and loudness of a donor of the same emotion."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from merkit.core.errors import MerkitError
from merkit.core.view import RATE_HZ, AudioEngine, Speaking, ViewConfig, ViewSpec
from merkit.corpora._parley_cast import VOICES
from merkit.corpora._parley_voice import Manner, Voice, engine, speak
from merkit.encoders.sound.samples import waveform
from merkit.views._audio import Frequencies, Wave, at_level, level, pitch_hz

_POINTS_PER_OCTAVE = 64  # of eSpeak's scale of pitch
_MIDDLE = 50  # of its scales of pitch and range: the voice's own
_RATE_WPM = (80, 450)  # what it can speak
_HIGHEST = 99  # of its scales of pitch and range
_CORRECTIONS = 2  # range and pitch influence each other a little
_TRIES = 4  # voices, where one is too high or too low for the donor


class EspeakConfig(ViewConfig):
    """Which voices speak."""

    voices: tuple[str, ...] = Field(default=tuple(voice.name for voice in VOICES), min_length=1)
    """Accent and variant of eSpeak NG, such as ``gmw/en-US+f2``; one is drawn. By default English ones; for another
    language: ``zlw/pl+f2`` and so on."""


class Espeak(AudioEngine):
    """Speaks a view in a randomly drawn voice, first at its own pitch to measure it, then near the donor's.

    The donor determines the median pitch, its standard deviation, words per minute and loudness; eSpeak NG cannot copy
    a timbre. Each of its voices spans about 1.5 octaves: where one cannot reach the donor's pitch, the next is tried.
    """

    needs_donor: ClassVar[bool] = True
    reads_text: ClassVar[bool] = True

    def __init__(self, config: EspeakConfig) -> None:
        self.config = config

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "espeak", "version": 1, "espeakng_loader": engine()[2], **self.config.model_dump(mode="json")}

    def speak(self, speaking: Speaking) -> Wave:
        name = speaking.turn.utterance.id
        if speaking.donor is None or not speaking.text or not any(c.isalnum() for c in speaking.text):
            raise MerkitError(f"Utterance '{name}': eSpeak NG needs words to speak and a donor, found neither or one")
        words, donor = speaking.text.split(), waveform(speaking.donor)
        donor_words = (speaking.donor.utterance.text or "").split()
        rate = 60.0 * len(donor_words) * RATE_HZ / len(donor) if donor_words else 175.0  # eSpeak's own
        manner = Manner(_MIDDLE, _MIDDLE, round(float(np.clip(rate, *_RATE_WPM))), 100)
        wanted_hz, voices = pitch_hz(donor), self.config.voices
        for attempt in range(min(_TRIES, len(voices))):
            voice = Voice(voices[(speaking.seed + attempt) % len(voices)], gender="")
            samples, reached = _tuned(words, voice, manner, wanted_hz)
            if reached:
                break
        return at_level(samples, level(donor))


def _tuned(words: Sequence[str], voice: Voice, manner: Manner, wanted_hz: Frequencies) -> tuple[Wave, bool]:
    """Return the words spoken as near to a pitch as the voice can, and whether it was within its scale."""
    samples = speak(words, voice, manner).samples
    for _ in range(_CORRECTIONS):
        spoken_hz = pitch_hz(samples)
        if len(wanted_hz) and len(spoken_hz):
            manner = _nearer(manner, wanted_hz, spoken_hz)
            samples = speak(words, voice, manner).samples
    return samples, 0 < manner.pitch < _HIGHEST


def _nearer(manner: Manner, wanted_hz: Frequencies, spoken_hz: Frequencies) -> Manner:
    """Return the manner with pitch and range corrected towards the wanted ones."""
    octaves = np.log2(np.median(wanted_hz) / np.median(spoken_hz))
    lively = np.std(np.log2(wanted_hz)) / max(float(np.std(np.log2(spoken_hz))), 0.01)
    pitch = int(np.clip(round(manner.pitch + _POINTS_PER_OCTAVE * octaves), 0, _HIGHEST))
    spread = int(np.clip(round(max(manner.pitch_range, 1) * lively), 0, _HIGHEST))
    return Manner(pitch, spread, manner.rate_wpm, manner.volume)


SPEC = ViewSpec(
    name="espeak",
    modality="audio",
    summary="the view's words spoken by eSpeak NG with a donor's pitch, pitch range, rate and loudness, same emotion",
    config=EspeakConfig,
    build=Espeak,
)
