"""Recordings that FFmpeg (PyAV) reads, from any sample on, a block at a time."""

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from merkit.core.errors import MediaError
from merkit.core.phrases import number_of
from merkit.data.media.containers import frame_count
from merkit.data.media.sources import AGAIN, BLOCK, PREROLL_S, RecordingFile, Samples, Source

_GAP_S = 0.05  # larger than any rounding of timestamps (Matroska: 1 ms), smaller than a syllable
_TRUNCATED_S = 0.25  # MP4 and Matroska round durations to frames of video and audio
_EXACT = {"mp4", "matroska", "tta", "wv"}  # formats whose headers say how long they are
_INDEPENDENT = "aac mp1 mp2 mp3 ac3 eac3 dts opus vorbis flac alac wavpack tta wmav1 wmav2 pcm_"
"""Beginnings of the names of codecs that forget what came more than ``PREROLL_S`` before; others are read from 0."""
_SELF_TIMED = {"mp3", "aac", "loas"}  # bare frames of a codec, which FFmpeg counts from 0
_REFUSED = re.compile(
    # playlists and descriptions, which name other files; pictures; text; samples without any header
    "concat|hls|dash|sdp|rtsp|rtp|sap|imf|image2|.*_pipe|webm_dash_manifest|vobsub|tty|lavfi|ffmetadata|mlv|"
    "alaw|mulaw|vidc|daud|dfpwm|[sfu](8|16|24|32|64)([lb]e)?|fbdev|x11grab|alsa|oss|kmsgrab|video4linux2,v4l2"
)
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(sorted(name for name in av.formats_available if not _REFUSED.fullmatch(name))),
}
MOST_PIXELS = 8192 * 4320
"""Larger frames than those of 8K video are not decoded."""


def open_container(path: RecordingFile) -> InputContainer:
    """Open a file with FFmpeg, which opens no other file and no network address that the file may name.

    Raises:
        MediaError: FFmpeg does not know the format.
    """
    cause: Exception | None = None
    # FFmpeg decodes a frame of some formats to know more about them; others refuse options before they are opened.
    bounded: Any = [{"max_pixels": str(MOST_PIXELS)}] * 8
    for options in (bounded, None):
        file = f"file:{path}" if isinstance(path, Path) else path.open()
        try:
            return av.open(file, "r", container_options=_OPTIONS, stream_options=options, metadata_errors="replace")
        except ValueError as error:
            cause = error
            if isinstance(error, FFmpegError):
                break
        except (FFmpegError, MemoryError) as error:
            cause = error
            break
    with path.open("rb") as opened:
        begin = opened.read(12)
    raise MediaError(
        f"'{path}' is not a recording that soundfile or FFmpeg can read (it begins with {begin!r}). "
        "Is it another kind of file, or cut off?"
    ) from cause


class FFmpegSource(Source):
    """A recording that FFmpeg reads: MP3, MP4, M4A, Matroska, WebM and whatever else it knows."""

    def __init__(self, path: RecordingFile, track: int | None = None) -> None:
        """Open a file.

        Args:
            path: The file.
            track: The number of its audio track, from 1; ``None``: the first that has a decoder.
        """
        self.path = path
        self._container = open_container(path)
        try:
            self.has_video = has_video(self._container)
            self.container = container_name(self._container)
            self._choose_track(track)
            codec = self._stream.codec_context
            self.rate_hz, self.channels = codec.sample_rate, codec.layout.nb_channels
            if not self.rate_hz or not self.channels or self._stream.time_base is None:
                raise MediaError(f"'{path}': FFmpeg found an audio track, but not its rate and channels. {AGAIN}")
            self._time_base: Fraction = self._stream.time_base
            count = frame_count(path) if self.container == "mp3" else None
            self._promised_s = None if count is None else count.duration_s
            exact = self.container in _EXACT
            self.duration_s = _duration_s(self._container, self._stream) if exact else self._promised_s
        except MediaError:
            self._container.close()
            raise
        self._origin_s = origin_s(self._container)
        self._last_s = 0.0

    def _choose_track(self, wanted: int | None) -> None:
        tracks = self._container.streams.audio
        if not tracks:
            found = "video, but no audio track" if self.has_video else "neither audio nor video"
            raise MediaError(
                f"'{self.path}' has {found}. Choose another file, or leave the column 'audio' empty for it"
            )
        if wanted is not None and not 0 < wanted <= len(tracks):
            raise MediaError(f"'{self.path}' has {number_of(len(tracks), 'audio track')}, no number {wanted}")
        chosen = list(enumerate(tracks)) if wanted is None else [(wanted - 1, tracks[wanted - 1])]
        number = next((n for n, track in chosen if track.codec_context is not None), None)
        if number is None:
            raise MediaError(
                f"'{self.path}' has audio of a codec that FFmpeg has no decoder for. Convert it to WAV, FLAC or MP4"
            )
        if len(tracks) > 1:
            self.notes = (f"it has {len(tracks)} audio tracks: number {number + 1} is read",)
        self._number, self._stream = number, tracks[number]

    def read(self, start: int) -> Iterator[Samples]:
        frames = self._from(start) if start > 1.5 * PREROLL_S * self.rate_hz else None
        position: int | None = 0 if frames is None else None
        gap = 0 if frames is None else round(_GAP_S * self.rate_hz)
        held = np.zeros((0, self.channels), np.float32)  # one block late, for the last one may end in padding
        for at, block in frames or self._decode(None):
            if position is None:
                position = at
            if len(held):
                yield held
            if at - position > gap:
                yield from self._silence(max(start, position), at)
                position = at
            gap = round(_GAP_S * self.rate_hz)
            block = block[max(0, -at) :]  # what a player skips
            held = block[max(0, start - position) :]
            position += len(block)
        end = self._end()
        surplus = 0 if end is None or position is None else position - end
        if len(held):
            yield held[: len(held) - surplus] if 0 < surplus < len(held) else held
        self._check_end()

    def close(self) -> None:
        self._container.close()

    def _from(self, start: int) -> Iterator[tuple[int, Samples]] | None:
        """Return blocks from shortly before a sample on, or ``None`` where all of the file has to be decoded."""
        if not self._stream.codec_context.codec.canonical_name.startswith(tuple(_INDEPENDENT.split())):
            return None
        if self.container in {"mp4", "matroska"} or self._promised_s is not None:
            return self._jump(start)
        return self._decode(None, start) if self.container in _SELF_TIMED else None

    def _jump(self, start: int) -> Iterator[tuple[int, Samples]] | None:
        """Return blocks from shortly before a sample on, or ``None`` where its exact position cannot be determined."""
        coarse = self._time_base * self.rate_hz > 1
        grid = self._grid() if coarse else (0, 1)
        if grid is None:
            return None
        seconds = start / self.rate_hz - PREROLL_S + self._origin_s
        try:
            self._container.seek(math.floor(seconds / self._time_base), stream=self._stream)
            frames = self._decode(grid)
            first = next(frames, None)
        except (FFmpegError, MediaError):
            first = None
        if first is None or first[0] < 0 or first[0] > start - PREROLL_S / 2 * self.rate_hz:
            self._container.close()
            self._container = open_container(self.path)
            self._stream = self._container.streams.audio[self._number]
            return None
        return chain([first], frames)

    def _grid(self) -> tuple[int, int] | None:
        """Return where the second block begins and the size of all further ones, or ``None`` where they differ.

        Matroska's milliseconds are too coarse for samples, but blocks of one size can only begin on this grid.
        """
        with open_container(self.path) as container:
            frames = zip(container.decode(audio=self._number), range(4), strict=False)
            first = [(frame.pts, frame.samples) for frame, _ in frames]
        if len(first) < 4 or first[0][0] is None or len({size for _, size in first[1:]}) > 1:
            return None
        return self._place(first[0][0]) + first[0][1], first[1][1]

    def _place(self, timestamp: int) -> int:
        return round((timestamp * self._time_base - Fraction(self._origin_s)) * self.rate_hz)

    def _decode(self, grid: tuple[int, int] | None, start: int = 0) -> Iterator[tuple[int, Samples]]:
        """Yield blocks with the sample they begin at, without decoding what lies well before ``start``.

        After a jump, with a grid given: without the first block, from which the decoder may have skipped what it
        skips at a file's beginning; the second is moved onto the grid, to -1 where it is too far off.
        """
        expected = 0
        skip = grid is not None
        try:
            for packet in self._container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    last = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self._last_s = max(self._last_s, last)
                if packet.stream.index != self._stream.index:
                    continue
                if start and packet.pts is not None and self._place(packet.pts) < start - PREROLL_S * self.rate_hz:
                    continue
                for frame in packet.decode():
                    if not isinstance(frame, av.AudioFrame):
                        continue
                    if frame.sample_rate != self.rate_hz or frame.layout.nb_channels != self.channels:
                        raise MediaError(
                            f"'{self.path}' changes from {self.rate_hz} Hz, {self.channels} channels to "
                            f"{frame.sample_rate} Hz, {frame.layout.nb_channels} channels. Convert it to one of them"
                        )
                    at = expected if frame.pts is None else self._place(frame.pts)
                    if skip:
                        skip = False
                        continue
                    if grid is not None:
                        at, grid = self._snap(at, grid), None
                    expected = at + frame.samples
                    yield at, _floats(frame)
        except (FFmpegError, ValueError, MemoryError) as error:
            reason = error.strerror if isinstance(error, FFmpegError) else error
            raise MediaError(
                f"'{self.path}' cannot be decoded beyond {expected / self.rate_hz:.3f} s ({reason}). {AGAIN}"
            ) from error

    def _snap(self, at: int, grid: tuple[int, int]) -> int:
        begin, size = grid
        nearest = begin + round((at - begin) / size) * size
        return nearest if abs(nearest - at) <= 1.5 * self._time_base * self.rate_hz else -1

    def _silence(self, start: int, stop: int) -> Iterator[Samples]:
        while start < stop:
            yield np.zeros((min(BLOCK, stop - start), self.channels), np.float32)
            start += BLOCK

    def _end(self) -> int | None:
        guessed = self.container not in _EXACT and self._promised_s is None  # by the bit rate
        if guessed or self._stream.duration is None or self._time_base * self.rate_hz > 1:
            return None
        return self._place((self._stream.start_time or 0) + self._stream.duration)

    def _check_end(self) -> None:
        promised_s = self._promised_s
        if promised_s is None:
            if self._container.duration is None or self.container not in _EXACT:
                return  # FFmpeg guesses it by the bit rate
            promised_s = self._container.duration / av.time_base
        last_s = self._last_s - (self._origin_s if self.container != "matroska" else 0)  # its duration counts from 0
        if last_s < promised_s - _TRUNCATED_S:
            raise MediaError(f"'{self.path}' promises {promised_s:.3f} s, but breaks off at {last_s:.3f} s. {AGAIN}")


def container_name(container: InputContainer) -> str:
    """Return FFmpeg's name of the format, its family's best known one where there are several."""
    names = container.format.name.split(",")
    return "mp4" if "mp4" in names else names[0]


def has_video(container: InputContainer) -> bool:
    """Return whether there is a video track; an attached cover image is none."""
    cover = av.stream.Disposition.attached_pic
    return any(not stream.disposition & cover for stream in container.streams.video)


def origin_s(container: InputContainer) -> float:
    """Return the timestamp at which a player begins: parts cut from a longer file may keep its timestamps."""
    return max(0, container.start_time or 0) / av.time_base


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        begin = float((stream.start_time or 0) * stream.time_base)
        return begin + float(stream.duration * stream.time_base) - origin_s(container)
    return container.duration / av.time_base if container.duration and container.duration > 0 else None


def _floats(frame: av.AudioFrame) -> Samples:
    data: npt.NDArray[Any]
    if frame.format.name in {"s64", "s64p"}:  # PyAV does not convert them
        size = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
        data = np.stack([np.frombuffer(memoryview(plane), np.int64, size) for plane in frame.planes])
    else:
        data = frame.to_ndarray()
    samples = data.T if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - np.float32(128)) / np.float32(128)
    if np.issubdtype(samples.dtype, np.integer):
        return (samples * 2.0 ** (1 - 8 * samples.itemsize)).astype(np.float32)
    return samples.astype(np.float32)
