"""The recording of a turn: its samples at 16 kHz, the hash of what is read, its duration."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MediaError
from merkit.core.types import Turn
from merkit.data.media.audio import audio_blocks, duration_s, read_audio, recording_hash

RATE_HZ = 16_000
"""The rate of all audio encoders: that of the published speech encoders."""


def audio_content(turn: Turn) -> str | None:
    """Return a hash of the recording and the times between which it is read, or ``None`` where there is no audio.

    Of a file the bytes are hashed, of a waveform the samples.

    Raises:
        MerkitError: The recording is missing.
    """
    recording, utterance = turn.recording, turn.utterance
    if recording is None:
        return None
    part = f"{recording_hash(recording)} {utterance.start_s} {utterance.end_s}"
    return hashlib.blake2b(part.encode(), digest_size=20).hexdigest()


def audio_duration_s(turn: Turn) -> float:
    """Return how many seconds of a recording this turn has."""
    recording, utterance = turn.recording, turn.utterance
    if recording is None:
        return 0.0
    start_s = utterance.start_s or 0.0
    end_s = duration_s(recording) if utterance.end_s is None else utterance.end_s
    return max(end_s - start_s, 0.0)


def waveform(turn: Turn) -> npt.NDArray[np.float32]:
    """Return a turn's samples ``[time]`` at 16 kHz, mono, full scale 1.

    Raises:
        MediaError: The recording cannot be read or holds values that are not finite; the message names the utterance.
    """
    recording, utterance = turn.recording, turn.utterance
    if recording is None:
        raise MediaError(f"Utterance '{utterance.id}' has no recording")
    try:
        samples = read_audio(recording, RATE_HZ, utterance.start_s, utterance.end_s)
    except MediaError as error:
        raise MediaError(f"Utterance '{utterance.id}': {error}") from error
    return np.asarray(samples, dtype=np.float32)


def waveform_blocks(turn: Turn) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples of ``waveform`` in blocks as they are decoded, in constant memory.

    Raises:
        MediaError: As of ``waveform``; also while reading.
    """
    recording, utterance = turn.recording, turn.utterance
    if recording is None:
        raise MediaError(f"Utterance '{utterance.id}' has no recording")
    try:
        yield from audio_blocks(recording, RATE_HZ, utterance.start_s, utterance.end_s)
    except MediaError as error:
        raise MediaError(f"Utterance '{utterance.id}': {error}") from error
