"""Recordings of several channels: mixed, one of them, or one speaker per channel.

A call often has one speaker per channel, a room recorded in stereo has the same sound on both. The levels of the two
tell them apart: people take turns, so that one channel is loud where the other is not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MerkitError
from merkit.core.waveform import Channel, Whole
from merkit.data.media.audio import Recording, channel_blocks, count_channels, rate_of
from merkit.recordings.transcripts import Line

CHANNELS = ("auto", "split", "mix", "left", "right")
"""``auto``: see `choose_channels`. ``mix``: the mean of all channels. ``split``: each channel is a speaker."""
ONE_CHANNEL = "One channel."

_SAME = 1e-6
"""Channels whose difference has less than this share of their energy (-60 dB) are one signal."""
_SILENT = 1e-5
"""A channel with less than this share of the other's energy (-50 dB) is silent."""
_ONE_SOUND = 0.5
"""Channels that correlate by this much, in their samples or their levels, have the same sound."""
_CANCELLED = 0.1
"""Channels cancel where their mean has less than this share (-10 dB) of their mean energy."""
_LEVEL_S = 0.05
"""The level of a channel is taken over this: less than a syllable."""


@dataclass(frozen=True)
class ChannelChoice:
    """How the channels of a recording are read, and why."""

    how: str
    """``mix``, ``left``, ``right`` or ``split``."""
    sentence: str
    """What was found and done."""


def choose_channels(recording: Whole, channels: str, *, mix_because: str | None = None) -> ChannelChoice:
    """Return how the channels are read.

    With ``auto``, two channels that differ are two speakers, and two of the same sound are mixed, or only the left one
    is read where they would cancel out; of a recording with a silent channel the other one is read. More than two are
    mixed. The recording is read once, in constant memory, if it has two channels.

    Args:
        recording: A file or a waveform.
        channels: One of `CHANNELS`.
        mix_because: Why ``auto`` mixes channels that differ; ``None``: it does not.

    Raises:
        MerkitError: An unknown value of ``channels``, or the recording cannot be read.
    """
    if channels not in CHANNELS:
        raise MerkitError(f"channels is {channels!r}, expected one of {', '.join(CHANNELS)}")
    if channels != "auto":
        asked = {"mix": "The mean of all channels", "split": "Each channel is a speaker"}
        return ChannelChoice(channels, f"{asked.get(channels, f'The {channels} channel')}, as asked.")
    count = count_channels(recording)
    if count == 1:
        return ChannelChoice("mix", ONE_CHANNEL)
    if count > 2:
        return ChannelChoice("mix", f"{count} channels: mixed; --channels split reads each as a speaker.")
    return _chosen(_Comparison.of(recording), mix_because)


def _chosen(found: "_Comparison", mix_because: str | None) -> ChannelChoice:
    left, right = found.energies
    if not left + right:
        return ChannelChoice("mix", "Two silent channels: mixed.")
    if min(left, right) < _SILENT * max(left, right):
        heard, silent = ("left", "right") if left > right else ("right", "left")
        return ChannelChoice(heard, f"The {silent} channel is silent: the {heard} one is read.")
    if found.different <= _SAME * left:
        return ChannelChoice("mix", "Two equal channels: mixed.")
    if max(abs(found.correlation), found.level_correlation) >= _ONE_SOUND:
        if found.mean < _CANCELLED * (left + right) / 2:
            what = f"Two channels that cancel out when mixed (correlation {found.correlation:.2f})"
            return ChannelChoice("left", f"{what}: the left one is read.")
        what = f"Two channels of the same sound (correlation {found.correlation:.2f}, of levels "
        return ChannelChoice("mix", f"{what}{found.level_correlation:.2f}): mixed.")
    what = f"Two channels that differ (correlation {found.correlation:.2f}, of levels {found.level_correlation:.2f})"
    if mix_because is not None:
        return ChannelChoice("mix", f"{what}: mixed, since {mix_because}.")
    return ChannelChoice("split", f"{what}: one speaker each.")


@dataclass(frozen=True)
class _Comparison:
    """What two channels have in common."""

    energies: tuple[float, float]
    different: float
    """The energy of their difference."""
    mean: float
    """The energy of their mean."""
    correlation: float
    """Of their samples."""
    level_correlation: float
    """Of their levels over ``_LEVEL_S``; 0 where one is constant."""

    @classmethod
    def of(cls, recording: Whole) -> "_Comparison":
        size = round(_LEVEL_S * rate_of(recording))
        products = levels = np.zeros((3, 3))
        rest = np.zeros((0, 2), np.float32)
        for block in channel_blocks(recording):
            joined = np.concatenate([rest, block])
            whole = len(joined) - len(joined) % size
            rest = joined[whole:]
            products = products + _products(joined[:whole])
            energies = np.square(joined[:whole].reshape(-1, size, 2), dtype=np.float64).mean(axis=1)
            levels = levels + _products(np.sqrt(energies))
        products = products + _products(rest)
        (left, both, _), (_, right, _), _ = products.tolist()
        return cls(
            (left, right),
            left + right - 2 * both,
            (left + right + 2 * both) / 4,
            both / math.sqrt(left * right) if left * right else 0.0,
            _correlation(levels),
        )


def _products(pairs: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the sums of squares, products and values, and the count, of pairs ``[n, 2]``, as a matrix."""
    with_ones = np.concatenate([pairs.astype(np.float64), np.ones((len(pairs), 1))], axis=1)
    return np.asarray(with_ones.T @ with_ones)


def _correlation(sums: npt.NDArray[np.float64]) -> float:
    count = sums[2, 2]
    if not count:
        return 0.0
    means = sums[:2, 2] / count
    covariance = sums[:2, :2] / count - np.outer(means, means)
    variances = covariance.diagonal()
    if (variances <= 1e-6 * sums.diagonal()[:2] / count).any():  # constant, apart from rounding
        return 0.0
    return float(covariance[0, 1] / math.sqrt(variances[0] * variances[1]))


def assign_channels(recording: Whole, lines: Sequence[Line] | None, channels: str) -> list[tuple[Line, Recording]]:
    """Return a recording's lines, in order, each with the sound it is read from.

    With ``split`` and without lines, each channel becomes one line of the whole recording. With lines, a speaker's
    sound is the channel that is louder during all of that speaker's lines; a line without a speaker is read from the
    channel that is louder during it, and its speaker becomes that channel.

    Args:
        recording: A file or a waveform.
        lines: Lines of a transcript; ``None``: there is no transcript.
        channels: How the channels are read, as `choose_channels` returns it.

    Raises:
        MerkitError: Too few channels, two equal ones, or lines without times.
    """
    whole = Line(None, None, "", None)
    if channels == "mix":
        return [(line, recording) for line in ([whole] if lines is None else lines)]
    count = count_channels(recording)
    if count < 2:
        raise MerkitError(f"channels='{channels}' needs two channels, '{recording}' has one: use channels='mix'")
    if channels != "split":
        if count > 2:
            raise MerkitError(f"channels='{channels}' needs two channels, '{recording}' has {count}")
        one = Channel(recording, ("left", "right").index(channels))
        return [(line, one) for line in ([whole] if lines is None else lines)]
    _refuse_equal(recording)
    names = channel_names(count)
    separate = [Channel(recording, number) for number in range(count)]
    if lines is None:
        return [(replace(whole, speaker=name), one) for name, one in zip(names, separate, strict=True)]
    if any(line.start_s is None for line in lines):
        raise MerkitError("channels='split' needs a transcript with times, to know who speaks on which channel")
    energies = [_energies(recording, line, count) for line in lines]
    by_speaker: dict[str, npt.NDArray[np.float64]] = {}
    for line, energy in zip(lines, energies, strict=True):
        by_speaker[line.speaker] = by_speaker.get(line.speaker, 0.0) + energy
    assigned: list[tuple[Line, Recording]] = []
    for line, energy in zip(lines, energies, strict=True):
        number = int(np.argmax(by_speaker[line.speaker] if line.speaker else energy))
        assigned.append((replace(line, speaker=line.speaker or names[number]), separate[number]))
    return assigned


def channel_names(count: int) -> list[str]:
    """Return what the speakers of channels are called."""
    return ["left", "right"] if count == 2 else [f"channel {n + 1}" for n in range(count)]


class ChannelDifference:
    """By how much channels differ from the first one, over blocks of sound."""

    def __init__(self) -> None:
        self.energy: float = 0.0
        """Of the first channel."""
        self._different: npt.NDArray[np.float64] = np.zeros(1)

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Add a block ``[time, channels]``."""
        samples = block.astype(np.float64)
        self.energy += float(np.square(samples[:, 0]).sum())
        self._different = self._different + np.square(samples[:, 1:] - samples[:, :1]).sum(axis=0)

    def equal_channel(self) -> int | None:
        """Return the number, from 1, of a channel that is one signal with the first; ``None``: there is none."""
        equal = np.flatnonzero(self._different <= _SAME * self.energy)
        return int(equal[0]) + 2 if len(equal) else None


def _energies(recording: Whole, line: Line, channels: int) -> npt.NDArray[np.float64]:
    """Return the energy of each channel during a line."""
    energies: npt.NDArray[np.float64] = np.zeros(channels)  # all that a line after the recording's end has
    for block in channel_blocks(recording, line.start_s, line.end_s):
        energies = energies + np.square(block, dtype=np.float64).sum(axis=0)
    return energies


def _refuse_equal(recording: Whole) -> None:
    """Refuse a recording of which another channel is the same as the first."""
    difference = ChannelDifference()
    for block in channel_blocks(recording):
        difference.add(block)
    equal = difference.equal_channel()
    if equal is not None:
        raise MerkitError(f"channels='split': channels 1 and {equal} of '{recording}' are the same: use channels='mix'")
