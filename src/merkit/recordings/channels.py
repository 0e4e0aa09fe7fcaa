"""Recordings of several channels: mixed, one of them, or one speaker per channel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MerkitError
from merkit.core.waveform import Waveform
from merkit.data.media.audio import Recording, decode
from merkit.recordings.transcripts import Line

CHANNELS = ("mix", "left", "right", "split")
"""``mix``: the mean of all channels. ``split``: each channel is a speaker."""

_SAME = 1e-6
"""Channels whose difference has less than this share of their energy (-60 dB) are one signal."""


def assign_channels(recording: Recording, lines: Sequence[Line] | None, channels: str) -> list[tuple[Line, Recording]]:
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
    if channels == "mix":
        return [(line, recording) for line in ([whole] if lines is None else lines)]
    sound = decode(recording) if isinstance(recording, Path) else recording
    if sound.channels < 2:
        raise MerkitError(f"channels='{channels}' needs two channels, '{recording}' has one: use channels='mix'")
    if channels != "split":
        if sound.channels > 2:
            raise MerkitError(f"channels='{channels}' needs two channels, '{recording}' has {sound.channels}")
        one = sound.channel(("left", "right").index(channels))
        return [(line, one) for line in ([whole] if lines is None else lines)]
    _refuse_equal(sound, recording)
    names = ["left", "right"] if sound.channels == 2 else [f"channel {n + 1}" for n in range(sound.channels)]
    separate = [sound.channel(number) for number in range(sound.channels)]
    if lines is None:
        return [(replace(whole, speaker=name), one) for name, one in zip(names, separate, strict=True)]
    if any(line.start_s is None for line in lines):
        raise MerkitError("channels='split' needs a transcript with times, to know who speaks on which channel")
    energies = [_energies(sound, line) for line in lines]
    by_speaker: dict[str, npt.NDArray[np.float64]] = {}
    for line, energy in zip(lines, energies, strict=True):
        by_speaker[line.speaker] = by_speaker.get(line.speaker, 0.0) + energy
    assigned: list[tuple[Line, Recording]] = []
    for line, energy in zip(lines, energies, strict=True):
        number = int(np.argmax(by_speaker[line.speaker] if line.speaker else energy))
        assigned.append((replace(line, speaker=line.speaker or names[number]), separate[number]))
    return assigned


def _energies(sound: Waveform, line: Line) -> npt.NDArray[np.float64]:
    """Return the energy of each channel during a line."""
    start = round((line.start_s or 0.0) * sound.rate_hz)
    end = None if line.end_s is None else round(line.end_s * sound.rate_hz)
    energies: npt.NDArray[np.float64] = np.square(sound.samples[:, start:end], dtype=np.float64).sum(axis=1)
    return energies


def _refuse_equal(sound: Waveform, recording: Recording) -> None:
    samples = sound.samples.astype(np.float64)
    for number in range(1, sound.channels):
        if np.square(samples[number] - samples[0]).sum() <= _SAME * np.square(samples[0]).sum():
            raise MerkitError(
                f"channels='split': channels 1 and {number + 1} of '{recording}' are the same: use channels='mix'"
            )
