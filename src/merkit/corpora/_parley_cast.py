"""Parley's voices, and how each class of prosody sounds in them."""

import numpy as np

from merkit.corpora._parley_voice import Manner, Voice

VOICES = (
    Voice("gmw/en-US+f2", "female", 2, 1.00, -3.8), Voice("gmw/en-US+m3", "male", 8, 1.02, -1.8),
    Voice("gmw/en+f4", "female", -3, 0.96, -4.5), Voice("gmw/en+m1", "male", 13, 1.04, -1.9),
    Voice("gmw/en-US+f1", "female", 4, 1.03, -3.6), Voice("gmw/en-US+m7", "male", 10, 0.97, -3.2),
    Voice("gmw/en-GB-scotland+f5", "female", -2, 1.00, -3.6), Voice("gmw/en-GB-scotland+m4", "male", 14, 0.98, -3.5),
    Voice("gmw/en-US+f3", "female", -4, 0.98, -2.4), Voice("gmw/en-US+m5", "male", 6, 1.03, -1.0),
    Voice("gmw/en-GB-x-rp+f2", "female", -5, 1.04, -4.4), Voice("gmw/en-GB-x-rp+m3", "male", 15, 1.00, -3.2),
    Voice("gmw/en-US-nyc+f4", "female", 5, 1.02, -5.0), Voice("gmw/en-US-nyc+m6", "male", 11, 0.96, -2.7),
    Voice("gmw/en-GB-x-gbclan+f1", "female", 0, 0.97, -5.6), Voice("gmw/en-GB-x-gbclan+m6", "male", 12, 1.01, -4.0),
    Voice("gmw/en+f3", "female", 3, 1.01, -3.4), Voice("gmw/en-US+adam", "male", 16, 0.99, -2.5),
    Voice("gmw/en-GB-scotland+f3", "female", -1, 1.03, -3.8), Voice("gmw/en+m7", "male", 7, 1.02, -3.6),
    Voice("gmw/en-GB-x-rp+f5", "female", 1, 0.98, -3.0), Voice("gmw/en-US+Reed", "male", 10, 1.00, -5.2),
    Voice("gmw/en-GB-scotland+f2", "female", 4, 0.99, -5.7), Voice("gmw/en+m5", "male", 8, 1.01, -2.0),
)  # fmt: skip
"""In the order of speakers; two neighbours make a session."""

JITTER = 0.04
"""Standard deviation between utterances of one class: of log rate, half of that of log volume, and of pitch and
range as shares of 100."""


STYLES = {
    "neutral": Manner(48, 32, 170, 48),
    "happy": Manner(70, 95, 215, 82),
    "angry": Manner(58, 40, 260, 125),
    "sad": Manner(38, 12, 124, 26),
}
"""The mean of each class: happy and angry are faster and louder; happy differs from angry in pitch and range, neutral
from sad in all."""


def draw_manner(style: str, voice: Voice, rng: np.random.Generator) -> Manner:
    """Draw how an utterance is spoken: the mean of its class, the speaker's habits, and random variation."""
    middle = STYLES[style]
    pitch, pitch_range, rate, volume = rng.normal(0, JITTER, size=4)
    return Manner(
        pitch=round(np.clip(middle.pitch + voice.pitch + 100 * pitch, 0, 99)),
        pitch_range=round(np.clip(middle.pitch_range + 100 * pitch_range, 0, 99)),
        rate_wpm=round(np.clip(middle.rate_wpm * voice.pace * np.exp(rate), 80, 450)),
        volume=round(np.clip(middle.volume * np.exp(2 * volume), 10, 150)),
    )
