"""Audio in memory: samples and their rate, checked once when the value is made; one track or channel of a recording."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from merkit.core.errors import MediaError

LOWEST_RATE_HZ = 1000
"""A smaller rate is a mistake, such as 16 for 16 kHz."""
HIGHEST_RATE_HZ = 768_000
"""The highest rate of audio interfaces; a larger one is a mistake or damage."""
MOST_CHANNELS = 64
"""More channels than this are refused: a block of audio holds all of them."""
LOUDEST = 2.0**31
"""Samples beyond this (full scale is 1) are no audio, but damage."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Waveform:
    """Samples ``[samples]`` or ``[channels, samples]`` at a rate in Hz; two are equal if their content is.

    Args:
        samples: A NumPy array, a torch tensor or nested lists. Integers are scaled to -1 to 1 by their type's range,
            floating-point samples stay as they are; all become float32. The samples are copied and cannot be changed.
        rate_hz: Samples per second of one channel.

    Raises:
        MediaError: The shape is another, there are no samples or more than 64 channels, some samples are NaN, infinite
            or beyond 2**31, or the rate is missing or no whole number from 1,000 to 768,000 Hz.
    """

    samples: Float32[npt.NDArray[np.float32], "*channels samples"]
    rate_hz: int

    def __init__(self, samples: Any, rate_hz: float | None) -> None:
        object.__setattr__(self, "rate_hz", _checked_rate(rate_hz))
        object.__setattr__(self, "samples", _checked_samples(samples))

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return 1 if self.samples.ndim == 1 else len(self.samples)

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return float(self.samples.shape[-1] / self.rate_hz)

    @cached_property
    def content(self) -> str:
        """40 hexadecimal digits (BLAKE2b) of samples, shape and rate."""
        digest = hashlib.blake2b(f"{self.rate_hz} {self.samples.shape}".encode(), digest_size=20)
        digest.update(self.samples.data)
        return digest.hexdigest()

    def channel(self, number: int) -> "Waveform":
        """Return one channel, counted from 0, as a waveform of its own."""
        return Waveform(np.atleast_2d(self.samples)[number], self.rate_hz)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Waveform) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __repr__(self) -> str:
        return f"Waveform({self.samples.shape}, {self.rate_hz} Hz)"

    def __str__(self) -> str:
        return f"waveform of {self.duration_s:.3f} s"


def first_unusable(samples: npt.NDArray[np.float32]) -> tuple[int, str] | None:
    """Return where in ``[samples]`` or ``[samples, channels]`` the first sample that is no audio is, and what is."""
    if not samples.size or -LOUDEST <= samples.min() <= samples.max() <= LOUDEST:  # false where there is a NaN
        return None
    usable = np.abs(samples) <= LOUDEST
    finite = np.isfinite(samples).all()
    what = f"samples beyond {LOUDEST:,.0f}, where full scale is 1" if finite else "NaN or infinite samples"
    return int(np.argmin(usable if usable.ndim == 1 else usable.all(axis=1))), what


@dataclass(frozen=True, slots=True)
class Track:
    """One audio track of a file that has several, counted from 1; nothing is read before its samples are."""

    file: Path
    number: int

    def __str__(self) -> str:
        return f"{self.file} (track {self.number})"


Whole = Path | Waveform | Track
"""A recording with all of its channels."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a recording, counted from 0; nothing is read before its samples are."""

    recording: Whole
    number: int

    def __str__(self) -> str:
        return f"{self.recording} (channel {self.number + 1})"


def _checked_rate(rate_hz: Any) -> int:
    if rate_hz is None:
        raise MediaError("A waveform needs its rate: give rate_hz, such as rate_hz=16000")
    try:
        whole = int(rate_hz)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if isinstance(rate_hz, bool) or whole != rate_hz or not LOWEST_RATE_HZ <= whole <= HIGHEST_RATE_HZ:
        raise MediaError(
            f"rate_hz is {rate_hz!r}, expected whole samples per second, such as 16000 for 16 kHz, from "
            f"{LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        )
    return whole


def _checked_samples(samples: Any) -> npt.NDArray[np.float32]:
    if hasattr(samples, "detach"):  # a torch tensor, perhaps of another device or of a type that NumPy does not know
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    try:
        array = np.asarray(samples)
    except ValueError:  # nested lists of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise MediaError(
            f"A waveform of type {array.dtype} was given, expected numbers: [samples] or [channels, samples]"
        )
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        raise MediaError(
            f"A waveform of type {array.dtype} was given, whose full scale is unknown: expected integers as "
            "recordings hold them (int16, int32), or floats from -1 to 1"
        )
    if array.ndim not in (1, 2):
        raise MediaError(
            f"A waveform of shape {list(array.shape)} was given, expected [samples] or [channels, samples]"
        )
    if not array.size:
        raise MediaError(f"The waveform holds no samples (shape {list(array.shape)})")
    if array.ndim == 2 and array.shape[0] > array.shape[1]:
        raise MediaError(
            f"A waveform of shape {list(array.shape)} was given, expected [channels, samples]: transpose it (.T)"
        )
    if array.ndim == 2 and array.shape[0] > MOST_CHANNELS:
        raise MediaError(f"The waveform has {array.shape[0]} channels, expected 1 to {MOST_CHANNELS}")
    scaled = _scaled(array)
    if found := first_unusable(scaled.T):
        raise MediaError(f"The waveform has {found[1]}, the first one at sample {found[0]}")
    scaled.flags.writeable = False
    return scaled


def _scaled(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a copy in float32; integers from -1 to 1, as a WAV file's are read."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32: infinite, which is refused
            return np.array(array, dtype=np.float32, order="C")
    bits = 8 * array.dtype.itemsize
    middle = 2.0 ** (bits - 1) if array.dtype.kind == "u" else 0.0
    return np.ascontiguousarray((array - middle) / 2.0 ** (bits - 1), dtype=np.float32)
