"""Loudness and pitch of a recording, for the audio engines."""

import numpy as np
import numpy.typing as npt

from merkit.core.view import RATE_HZ
from merkit.encoders.praat import load_parselmouth

Wave = npt.NDArray[np.float32]
Frequencies = npt.NDArray[np.float64]

_LOUDEST = 0.99
"""Highest peak, relative to full scale."""


def level(samples: Wave) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def at_level(samples: Wave, wanted: float) -> Wave:
    """Return the samples at a loudness (root mean square), or as near to it as full scale allows."""
    present = level(samples)
    return within_scale(samples * np.float32(wanted / present)) if present > 0.0 else samples


def within_scale(samples: Wave) -> Wave:
    """Return the samples, attenuated if a peak would be clipped."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples * np.float32(min(1.0, _LOUDEST / peak)) if peak else samples).astype(np.float32)


def pitch_hz(samples: Wave) -> Frequencies:
    """Return the fundamental frequencies in hertz of the voiced frames, by Praat; empty where there are none.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    if len(samples) < RATE_HZ // 10:  # Praat's window does not fit
        return np.zeros(0)
    frequency = load_parselmouth().Sound(samples.astype(np.float64), RATE_HZ).to_pitch().selected_array["frequency"]
    return np.asarray(frequency[frequency > 0.0], dtype=np.float64)
