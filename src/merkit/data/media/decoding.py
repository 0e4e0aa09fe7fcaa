"""Open recordings as streams of samples at their own rate, with soundfile where it knows the format, else with FFmpeg.

Each source reads from any sample on, a block at a time, without decoding what comes before where the format allows
that; else what comes before is decoded and discarded. Time 0 is where a player begins. Files of one format that were
joined are read one after the other. A file that holds less than its header promises is an error, which is raised:

* WAV, AIFF, AU, CAF, NIST and other plain formats, AVI: when opened. A WAV's size that is 0, says "unknown" (as pipes
  write it) or is at most 0.1 s too large is read to the end, with a note;
* Ogg: when opened (the last page must bear the end mark);
* FLAC, MP3 with a frame count, MP4, Matroska: when reading runs into the missing end.

An MP3 without a frame count promises no length, so truncation cannot be seen; damage within a lossy file shows only
where its decoder does not conceal it. FFmpeg reads the first audio track that it can decode; a gap in a file's
timestamps (a track that begins after the video) is filled with silence, so that times stay right.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import soundfile as sf

from merkit.core.errors import MediaError
from merkit.core.waveform import Track, Waveform
from merkit.data.media.containers import HEADER_SLIP, NO_SIZE, UNKNOWN_SIZE, is_mpeg, layout
from merkit.data.media.ffmpeg import FFmpegSource
from merkit.data.media.sources import (
    AGAIN,
    BLOCK,
    PREROLL_S,
    EncodedRecording,
    FilePart,
    RecordingFile,
    Samples,
    Source,
    WaveformSource,
    check_cost,
    check_file,
    check_not_text,
)

_MPEG_NAME = re.compile(r"\.(mp[123]|m[12]a)", re.IGNORECASE)  # for which libsndfile takes any file
_FOR_FFMPEG = {"VOC", "MP3"}  # libsndfile reads the headers of a VOC's further blocks as samples
_UNKNOWN_FRAMES = 1 << 60  # a FLAC from a pipe
_HEADERLESS = {"raw": "Dialogic ADPCM", "g722": "G.722", "g729": "G.729", "g723_1": "G.723.1", "sln": "16-bit PCM"}
"""Formats that are known by the file's name alone."""


def open_audio(path: RecordingFile | Waveform | Track) -> Source:
    """Open a recording for reading; the caller closes it.

    Raises:
        MediaError: Missing, empty, not a recording, without an audio track, shorter than its header says, or with more
            channels or another rate than speech is recorded with.
    """
    if isinstance(path, Waveform):
        return WaveformSource(path)
    if isinstance(path, Track):
        check_file(path.file)
        source: Source = FFmpegSource(path.file, path.number)
        check_cost(source, path.file)
        return source
    check_file(path)
    if isinstance(path, FilePart):
        return _opened(path)
    found = layout(path)
    source = _opened(found.parts[0]) if len(found.parts) == 1 else JoinedSource(path, found.parts)
    source.notes = (*found.notes, *source.notes)
    return source


def _opened(path: RecordingFile) -> Source:
    source = _plain(path) or FFmpegSource(path)
    try:
        check_cost(source, path)
        if kind := _HEADERLESS.get(source.container):
            check_not_text(path)
            source.notes = (*source.notes, f"it has no header: read as {kind} of {source.rate_hz} Hz, as its name says")
    except MediaError:
        source.close()
        raise
    return source


def _plain(path: RecordingFile) -> "PlainSource | None":
    """Open a recording with soundfile, or return ``None`` where FFmpeg is to read it."""
    with path.open("rb") as begin:
        sample_dump = begin.read(2) == b"\xf0\x7e"
    named_mpeg = isinstance(path, Path) and _MPEG_NAME.fullmatch(path.suffix)
    if sample_dump or named_mpeg or is_mpeg(path):
        return None  # libsndfile's decoders of both write to the terminal, and that of MP3 stumbles at every seek
    try:
        file = sf.SoundFile(_handle(path))
    except (sf.LibsndfileError, TypeError):  # TypeError: headerless .raw
        return None
    headerless = file.format == "RAW" and file.subtype != "VOX_ADPCM"  # taken for one by its name alone
    unknown = file.frames >= _UNKNOWN_FRAMES
    if headerless or unknown or file.format in _FOR_FFMPEG or file.subtype.startswith("MPEG"):
        file.close()
        return None
    return PlainSource(path, file)


def counted_s(path: RecordingFile | Track, source: Source) -> float:
    """Return how long a recording is by decoding it, once in this process while the file stays the same."""
    whole = path.whole if isinstance(path, FilePart) else path.file if isinstance(path, Track) else path
    if isinstance(whole, EncodedRecording):
        return sum(len(block) for block in source.read(0)) / source.rate_hz
    stat = whole.stat()
    return _remembered_s(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _remembered_s(path: RecordingFile | Track, size: int, mtime_ns: int) -> float:
    with closing(open_audio(path)) as source:
        return sum(len(block) for block in source.read(0)) / source.rate_hz


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
        position = self._seek(max(0, start - int(PREROLL_S * rate)))  # Vorbis is wrong for a moment after a jump
        try:
            while len(block := self._file.read(BLOCK, dtype="float32", always_2d=True)):
                if position + len(block) > start:
                    yield block[max(0, start - position) :]
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

    def _seek(self, position: int) -> int:
        """Return the sample from which on is read: the file's first one where its codec cannot begin elsewhere."""
        try:
            return int(self._file.seek(position)) if position else 0
        except sf.LibsndfileError:  # GSM 06.10, G.721 and kin: each sample depends on all before it
            self._file.close()
            self._file = sf.SoundFile(_handle(self.path))
            return 0

    def _check_size(self) -> None:
        if self.container in {"wav", "wavex", "rf64"}:
            return
        # libsndfile corrects a wrong size by itself and only says so in its log; WAV is checked before
        log = self._file.extra_info
        sizes = [(int(new), int(old)) for old, new in re.findall(r"(\d+) \(?should be (\d+)", log)]
        sizes += [(int(new), int(old)) for new, old in re.findall(r"count (\d+) does not match .* of (\d+)\.", log)]
        if self.container == "nist":
            with self.path.open("rb") as file:
                found = re.search(rb"sample_count -i (\d+)", file.read(1024))
            sizes += [(self._file.frames, int(found[1]))] if found else []
        for actual, promised in sizes:
            if actual + HEADER_SLIP < promised < UNKNOWN_SIZE:
                raise MediaError(f"'{self.path}' promises {promised} in its header, but holds {actual}. {AGAIN}")
            if promised == 0 < actual:
                self.notes = (NO_SIZE,)


class JoinedSource(Source):
    """Files that were joined byte by byte, read one after the other."""

    def __init__(self, path: RecordingFile, parts: Sequence[RecordingFile]) -> None:
        self.path, self._parts = path, parts
        self._frames: list[int] = []
        for part in parts:
            with closing(_opened(part)) as source:
                if not self._frames:
                    self.rate_hz, self.channels, self.container = source.rate_hz, source.channels, source.container
                    self.has_video = source.has_video
                if (source.rate_hz, source.channels) != (self.rate_hz, self.channels):
                    raise MediaError(
                        f"'{path}' consists of joined files, of {self.rate_hz} Hz with {self.channels} channels and of "
                        f"{source.rate_hz} Hz with {source.channels} channels. Convert it to one of them"
                    )
                seconds = counted_s(part, source) if source.duration_s is None else source.duration_s
                self._frames.append(round(seconds * source.rate_hz))
        self.duration_s = sum(self._frames) / self.rate_hz
        self.notes = (f"it consists of {len(parts)} joined files: all of them are read",)

    def read(self, start: int) -> Iterator[Samples]:
        for part, frames in zip(self._parts, self._frames, strict=True):
            if start < frames:
                with closing(_opened(part)) as source:
                    yield from source.read(start)
            start = max(0, start - frames)

    def close(self) -> None:
        """Do nothing: no file is open between two blocks."""


def _handle(path: RecordingFile) -> str | BinaryIO:
    return str(path) if isinstance(path, Path) else path.open()
