"""Open recordings as streams of samples at their own rate, with soundfile where it knows the format, else with FFmpeg.

Each source reads from any sample on, a block at a time, without decoding what comes before. Time 0 is where a player
begins. A file that holds less than its header promises is an error, which is raised:

* WAV and other plain formats: when opened (a size that says "unknown", as pipes write it, is read to the end);
* Ogg: when opened (the last page must bear the end mark);
* FLAC, MP3 with a frame count, MP4, Matroska: when reading runs into the missing end.

An MP3 without a frame count promises no length, so truncation cannot be seen; damage within a lossy file shows only
where its decoder does not conceal it. FFmpeg reads the first audio track; a gap in a file's timestamps (a track that
begins after the video) is filled with silence, so that times stay right.
"""

import io
import re
from collections.abc import Iterator

import soundfile as sf

from merkit.core.errors import MediaError
from merkit.core.waveform import Waveform
from merkit.data.media.ffmpeg import FFmpegSource
from merkit.data.media.sources import (
    AGAIN,
    BLOCK,
    PREROLL_S,
    RecordingFile,
    Samples,
    Source,
    WaveformSource,
    check_file,
    handle,
)

_HEADER_SLIP = 64  # bytes: careless writers count the header as data
_UNKNOWN_SIZE = 0x7FFFF000  # sizes from here on are what pipes write before they know


def open_audio(path: RecordingFile | Waveform) -> Source:
    """Open a recording for reading; the caller closes it.

    Raises:
        MediaError: Missing, empty, not a recording, without an audio track, or shorter than its header says.
    """
    if isinstance(path, Waveform):
        return WaveformSource(path)
    check_file(path)
    try:
        file = sf.SoundFile(handle(path))
    except (sf.LibsndfileError, TypeError):  # TypeError: headerless .raw
        return FFmpegSource(path)
    if file.format == "MP3":  # soundfile seeks after each block, and libsndfile's MP3 decoder stumbles at every seek
        with file:
            return FFmpegSource(path, file.frames / file.samplerate)
    return PlainSource(path, file)


class PlainSource(Source):
    """A recording that soundfile reads: WAV, FLAC, Ogg and kin."""

    def __init__(self, path: RecordingFile, file: sf.SoundFile) -> None:
        self.path, self._file = path, file
        self.rate_hz = file.samplerate
        self.channels = file.channels
        self.duration_s = file.frames / file.samplerate
        self.container = file.format.lower()
        try:
            self._check_size()
        except MediaError:
            file.close()
            raise

    def read(self, start: int) -> Iterator[Samples]:
        frames, rate = self._file.frames, self.rate_hz
        if start >= frames:
            return
        position = max(0, start - int(PREROLL_S * rate))  # Vorbis is wrong for a moment after a jump
        try:
            if position:
                self._file.seek(position)
            while len(block := self._file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block[max(0, start - position) :] if position < start else block
                position += len(block)
        except sf.LibsndfileError as error:
            raise MediaError(
                f"'{self.path}' cannot be decoded beyond {position / rate:.3f} s of {frames / rate:.3f} s. {AGAIN}"
            ) from error
        if position < frames:
            raise MediaError(
                f"'{self.path}' promises {frames / rate:.3f} s, but breaks off at {position / rate:.3f} s. {AGAIN}"
            )

    def close(self) -> None:
        self._file.close()

    def _check_size(self) -> None:
        # libsndfile corrects a wrong size by itself and only says so in its log
        match = re.search(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", self._file.extra_info, re.MULTILINE)
        if match and self.container in {"wav", "wavex"}:
            promised, actual = int(match[1]), int(match[2])
            if actual + _HEADER_SLIP < promised < _UNKNOWN_SIZE:
                raise MediaError(
                    f"'{self.path}' promises {promised} bytes of samples in its header, but holds {actual}. {AGAIN}"
                )
        if self.container == "ogg" and not _ends_as_ogg(self.path):
            raise MediaError(f"'{self.path}' is an Ogg file without an end mark. {AGAIN}")


def _ends_as_ogg(path: RecordingFile) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, io.SEEK_END) - (1 << 17)))  # a page is shorter than 2**16 bytes
        tail = file.read()
    last = tail.rfind(b"OggS")  # RFC 3533, section 6: the header's byte 5 bears the flag 4 on the last page
    return 0 <= last < len(tail) - 5 and bool(tail[last + 5] & 4)
