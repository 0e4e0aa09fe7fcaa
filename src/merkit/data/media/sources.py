"""Recordings that can be opened: files, the bytes of files, and waveforms, each read as a stream of samples."""

import io
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MediaError
from merkit.core.waveform import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS, Waveform
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


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes ``begin`` to ``end`` of a recording, read as a file of their own, with some bytes replaced."""

    whole: Path | EncodedRecording
    begin: int
    end: int
    replaced: tuple[tuple[int, bytes], ...] = ()

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return the part as a file that is open for reading."""
        return cast(BinaryIO, _PartReader(self))

    def __str__(self) -> str:
        return str(self.whole)


RecordingFile = Path | EncodedRecording | FilePart


class _PartReader(io.RawIOBase):
    def __init__(self, part: FilePart) -> None:
        self._part, self._file, self._at = part, part.whole.open("rb"), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._part.end - self._part.begin
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._part.begin + self._at)
        data = bytearray(self._file.read(max(0, min(len(buffer), self._part.end - self._part.begin - self._at))))
        for at, new in self._part.replaced:
            for place, byte in enumerate(new, start=at - self._at):
                if 0 <= place < len(data):
                    data[place] = byte
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class Source(ABC):
    """An open recording, of which only the header has been read."""

    rate_hz: int
    channels: int
    duration_s: float | None
    """According to the header; ``None`` where it has no exact duration."""
    container: str
    has_video: bool = False
    notes: tuple[str, ...] = ()
    """What was repaired in order to read it, or is not read."""

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


_KINDS = {
    stat.S_ISFIFO: "a pipe. Write its content to a file first",
    stat.S_ISSOCK: "a socket. Write its content to a file first",
    stat.S_ISCHR: "a device. Record to a file first",
    stat.S_ISBLK: "a device. Copy the recording to a file first",
}


def check_file(path: RecordingFile) -> None:
    """Raise ``MediaError`` where there is no readable, non-empty file; pipes and devices are not opened."""
    try:
        if isinstance(path, Path):
            mode = path.stat().st_mode
            if kind := next((words for is_kind, words in _KINDS.items() if is_kind(mode)), None):
                raise MediaError(f"'{path}' is no file but {kind}")
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
    except FileNotFoundError:
        hint = (isinstance(path, Path) and spelling_hint(path)) or " Is its path right, and the corpus complete?"
        raise MediaError(f"No recording '{path}'.{hint}") from None
    except OSError as error:
        raise MediaError(f"Cannot read the recording '{path}': {error.strerror}") from error
    except ValueError as error:  # a path with a zero byte
        raise MediaError(f"Cannot read the recording {str(path)!r}: {error}") from error
    if size == 0:
        raise MediaError(f"'{path}' is empty (0 bytes). Copy or export it again")


def check_not_text(path: RecordingFile) -> None:
    """Raise ``MediaError`` where a file of a format without any header holds text."""
    with path.open("rb") as file:
        begin = file.read(1024)
    if not begin.translate(None, bytes(range(32, 127)) + b"\t\r\n"):
        raise MediaError(f"'{path}' is not a recording but text (it begins with {begin[:12]!r}). Choose another file")


def check_cost(source: Source, path: RecordingFile) -> None:
    """Raise ``MediaError`` where a header claims a rate or channels that no speech recording has."""
    if not LOWEST_RATE_HZ <= source.rate_hz <= HIGHEST_RATE_HZ:
        raise MediaError(
            f"'{path}' has {source.rate_hz} samples a second, expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}. "
            "Is its header damaged? Export it again"
        )
    if not 0 < source.channels <= MOST_CHANNELS:
        raise MediaError(
            f"'{path}' has {source.channels} channels, expected 1 to {MOST_CHANNELS}. Export those that are needed"
        )
