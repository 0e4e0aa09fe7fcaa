"""What audio engines share: loudness, and a speaker's pitch."""

from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MerkitError
from merkit.core.view import RATE_HZ

Wave = npt.NDArray[np.float32]
Frequencies = npt.NDArray[np.float64]

_LOUDEST = 0.99
"""Of full scale: what would be louder is turned down."""


def level(samples: Wave) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def at_level(samples: Wave, wanted: float) -> Wave:
    """Return the samples at a loudness (root of the mean square), or as near to it as full scale allows."""
    found = level(samples)
    return within_scale(samples * np.float32(wanted / found)) if found > 0.0 else samples


def within_scale(samples: Wave) -> Wave:
    """Return the samples, turned down as a whole if any would be cut off."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples * np.float32(min(1.0, _LOUDEST / peak)) if peak else samples).astype(np.float32)


def pitch_hz(samples: Wave) -> Frequencies:
    """Return the fundamental frequencies in hertz of the voiced frames, by Praat; empty where there are none.

    Raises:
        MerkitError: The extra ``prosody`` is not installed.
    """
    if len(samples) < RATE_HZ // 10:  # Praat's window does not fit
        return np.zeros(0)
    found = praat().Sound(samples.astype(np.float64), RATE_HZ).to_pitch().selected_array["frequency"]
    return np.asarray(found[found > 0.0], dtype=np.float64)


def praat() -> Any:
    """Return Praat.

    Raises:
        MerkitError: It is not installed.
    """
    try:
        import parselmouth
    except ImportError as error:
        raise MerkitError("Voices are measured by Praat: pip install 'merkit[prosody]'") from error
    return parselmouth
