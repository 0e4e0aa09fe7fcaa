"""Sound that a speech detector takes for speech: a voice that sings syllables through the formants of vowels."""

import numpy as np
from scipy.signal import lfilter

RATE_HZ = 16_000
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Formants in Hz of a man's vowels in 'hod', 'heed', 'who'd', 'head' and 'hawed': Peterson & Barney 1952, table II."""
_WIDTHS = (60, 90, 120)


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Return babble ``[samples]`` at 16 kHz, of syllables of 180 ms with a hiss before each vowel."""
    generator = np.random.default_rng(seed)
    total = round(seconds * RATE_HZ)
    pieces: list[np.ndarray] = []
    done = phase = 0.0
    while done < total:
        hiss = 0.02 * np.diff(generator.standard_normal(round(0.04 * RATE_HZ) + 1))
        count = round(0.14 * RATE_HZ)
        start_hz, end_hz = generator.uniform(95, 150, 2)
        phases = phase + np.cumsum(np.linspace(start_hz, end_hz, count)) / RATE_HZ
        phase = phases[-1] % 1.0
        wave = np.diff(np.floor(phases), prepend=0.0) + 0.003 * generator.standard_normal(count)
        for formant, width in zip(_VOWELS[generator.integers(len(_VOWELS))], _WIDTHS, strict=True):
            radius = np.exp(-np.pi * width / RATE_HZ)
            turn = 2 * radius * np.cos(2 * np.pi * formant / RATE_HZ)
            wave = lfilter([1 - turn + radius**2], [1, -turn, radius**2], wave)
        rise = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.025 * RATE_HZ))
        pieces += [hiss, wave * rise]
        done += len(hiss) + count
    joined = np.concatenate(pieces)[:total] if pieces else np.zeros(0)
    return (0.3 * joined / max(np.abs(joined).max(initial=0.0), 1e-9)).astype(np.float32)
