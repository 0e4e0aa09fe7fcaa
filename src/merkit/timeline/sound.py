"""The sound of a page: inside it, or a link to the recording."""

import base64
import io
import os
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import av
import numpy as np

from merkit.core.waveform import Track
from merkit.data.media.audio import audio_blocks

Audio = Literal["embed", "link", "none"]

_RATE_HZ, _BITS_PER_S = 24_000, 48_000
"""Of embedded sound, one channel: clear speech in 22 MB an hour, and 29 as text."""


def link(recording: Path, folder: Path) -> str:
    """Return the address of a recording for a page in a folder."""
    return quote(os.fsencode(os.path.relpath(recording.resolve(), folder.resolve())))


def embedded(recording: Path | Track) -> str:
    """Return a recording's channels together as MP3, which every browser plays and seeks in, in base64.

    Raises:
        MediaError: The recording cannot be read.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=_RATE_HZ, layout="mono")
        stream.bit_rate = _BITS_PER_S
        for block in audio_blocks(recording, _RATE_HZ):
            whole = np.round(np.clip(block, -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(whole.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = _RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return base64.b64encode(file.getvalue()).decode()
