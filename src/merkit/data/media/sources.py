"""Recordings that can be opened: files, the bytes of files, and waveforms, each read as a stream of samples."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MediaError
from merkit.core.waveform import Waveform
from merkit.data.media.missing import spelling_hint

Samples = npt.NDArray[np.float32]

PREROLL_S = 1.0
"""Decoded and discarded before the requested interval: lossy codecs depend on earlier blocks (MP3 on up to ten)."""
BLOCK = 1 << 16
"""Samples per channel that are read at once."""
END_SLIP_S = 0.1
"""How far a requested end may lie after the recording's own: containers and annotations round."""
AGAIN = "Was it cut off while copying? Copy or export it again"


@dataclass(frozen=True, slots=True)
class EncodedRecording:
    """The bytes of an audio or video file, and the name that messages call it by."""

    data: bytes
    name: str = "recording"

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return the bytes as a file that is open for reading."""
        return io.BytesIO(self.data)

    def __str__(self) -> str:
        return self.name


RecordingFile = Path | EncodedRecording


class Source(ABC):
    """An open recording, of which only the header has been read."""

    rate_hz: int
    channels: int
    duration_s: float | None
    """According to the header; ``None`` where it has no duration."""
    container: str
    has_video: bool = False

    @abstractmethod
    def read(self, start: int) -> Iterator[Samples]:
        """Yield blocks ``[samples, channels]`` from sample number ``start`` to the end; may be called once.

        Raises:
            MediaError: The recording is damaged or ends before its promised end.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class WaveformSource(Source):
    """A waveform in memory."""

    container = "waveform"

    def __init__(self, waveform: Waveform) -> None:
        self._samples = np.atleast_2d(waveform.samples).T
        self.rate_hz, self.channels, self.duration_s = waveform.rate_hz, waveform.channels, waveform.duration_s

    def read(self, start: int) -> Iterator[Samples]:
        for begin in range(start, len(self._samples), BLOCK):
            yield self._samples[begin : begin + BLOCK]

    def close(self) -> None:
        """Do nothing: no file is open."""


def check_file(path: RecordingFile) -> None:
    """Raise ``MediaError`` where there is no readable, non-empty file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
    except FileNotFoundError:
        hint = (isinstance(path, Path) and spelling_hint(path)) or " Is its path right, and the corpus complete?"
        raise MediaError(f"No recording '{path}'.{hint}") from None
    except OSError as error:
        raise MediaError(f"Cannot read the recording '{path}': {error.strerror}") from error
    if size == 0:
        raise MediaError(f"'{path}' is empty (0 bytes). Copy or export it again")


def handle(path: RecordingFile) -> str | BinaryIO:
    """Return what soundfile and FFmpeg open."""
    return str(path) if isinstance(path, Path) else path.open()
