"""Recordings of several channels: mixed, one of them, or one speaker per channel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MerkitError
from merkit.core.waveform import Channel, Waveform
from merkit.data.media.audio import Recording, channel_blocks, count_channels
from merkit.recordings.transcripts import Line

CHANNELS = ("mix", "left", "right", "split")
"""``mix``: the mean of all channels. ``split``: each channel is a speaker."""

_SAME = 1e-6
"""Channels whose difference has less than this share of their energy (-60 dB) are one signal."""


def assign_channels(
    recording: Path | Waveform, lines: Sequence[Line] | None, channels: str
) -> list[tuple[Line, Recording]]:
    """Return a recording's lines, in order, each with the sound it is read from.

    With ``split`` and without lines, each channel becomes one line of the whole recording. With lines, a speaker's
    sound is the channel that is louder during all of that speaker's lines; a line without a speaker is read from the
    channel that is louder during it, and its speaker becomes that channel.

    Args:
        recording: A file or a waveform.
        lines: Lines of a transcript; ``None``: there is no transcript.
        channels: How the channels are read.

    Raises:
        MerkitError: An unknown value of ``channels``, too few channels, two equal ones, or lines without times.
    """
    if channels not in CHANNELS:
        raise MerkitError(f"channels is {channels!r}, expected one of {', '.join(CHANNELS)}")
    whole = Line(None, None, "", None)
    if lines is not None and all(line == whole for line in lines):  # a transcript without words and times
        lines = None
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
    names = ["left", "right"] if count == 2 else [f"channel {n + 1}" for n in range(count)]
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


def _energies(recording: Path | Waveform, line: Line, channels: int) -> npt.NDArray[np.float64]:
    """Return the energy of each channel during a line."""
    energies: npt.NDArray[np.float64] = np.zeros(channels)  # all that a line after the recording's end has
    for block in channel_blocks(recording, line.start_s, line.end_s):
        energies = energies + np.square(block, dtype=np.float64).sum(axis=0)
    return energies


def _refuse_equal(recording: Path | Waveform) -> None:
    """Refuse a recording of which another channel is the same as the first."""
    first: float = 0.0
    different: npt.NDArray[np.float64] = np.zeros(1)
    for block in channel_blocks(recording):
        samples = block.astype(np.float64)
        first += float(np.square(samples[:, 0]).sum())
        different = different + np.square(samples[:, 1:] - samples[:, :1]).sum(axis=0)
    same = np.flatnonzero(different <= _SAME * first)
    if len(same):
        raise MerkitError(
            f"channels='split': channels 1 and {same[0] + 2} of '{recording}' are the same: use channels='mix'"
        )
