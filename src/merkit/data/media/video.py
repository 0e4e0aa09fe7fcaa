"""Frames of a video by time: each is the one on the screen at that moment."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from jaxtyping import UInt8

from merkit.core.errors import MediaError
from merkit.data.media.ffmpeg import MOST_PIXELS, has_video, open_container, origin_s
from merkit.data.media.sources import END_SLIP_S, check_file

_AHEAD_S = 5.0  # jumps of at least this length seek; decoding on is cheaper for shorter ones
_MOST_BYTES = 1 << 30  # of all frames that are returned together
_ROUNDING_S = 0.001  # Matroska stores milliseconds: a frame may be late by half of one


def video_frames(path: Path, times_s: Sequence[float]) -> UInt8[npt.NDArray[np.uint8], "n height width 3"]:
    """Return the RGB frames that a player shows at the given seconds, in their order, as stored (never rotated).

    Decodes from the keyframe before each group of times, so far-apart moments of a long file are cheap.

    Raises:
        MediaError: The file is missing, not a video, damaged, or a time lies more than 0.1 s outside of the video; its
            codec has no decoder; or its frames are larger than 8K, or more than 1 GB together.
    """
    check_file(path)
    order = sorted(range(len(times_s)), key=lambda index: times_s[index])
    if not order:
        raise ValueError("times_s is empty")
    frames: list[npt.NDArray[np.uint8] | None] = [None] * len(times_s)
    with open_container(path) as container:
        if not has_video(container):
            raise MediaError(
                f"'{path}' has no video track. Choose another file, or leave the column 'video' empty for it"
            )
        stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        if stream.codec_context is None:
            raise MediaError(
                f"'{path}' has video of a codec that FFmpeg has no decoder for. Convert it to H.264 in MP4"
            )
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        stream.thread_type = "AUTO"
        shown = _Shown(path, container, stream)
        if 3 * shown.pixels * len(times_s) > _MOST_BYTES:
            raise MediaError(
                f"{len(times_s)} frames of {shown.pixels:,} pixels of '{path}' take more than "
                f"{_MOST_BYTES // 1_000_000} MB. Ask for fewer at once"
            )
        for index in order:
            frames[index] = shown.at(times_s[index])
    first = frames[0]
    if any(frame is None or first is None or frame.shape != first.shape for frame in frames):
        raise MediaError(f"'{path}' changes the size of its frames. Convert it to one size")
    return np.stack([frame for frame in frames if frame is not None])


class _Shown:
    """Decodes a video forward and returns the frame shown at each requested time."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self.path, self._container, self._stream = path, container, stream
        self._origin_s = origin_s(container)
        rate = stream.average_rate
        self._frame_s = float(1 / rate) if rate else 0.0
        self._frames = self._decode()
        self._current = self._next()
        if self._current is None:
            raise MediaError(f"'{path}' has a video track without frames. Is it damaged? Copy or export it again")
        self.pixels = self._current.width * self._current.height
        self._following = self._next()
        self._image: npt.NDArray[np.uint8] | None = None

    def at(self, time_s: float) -> npt.NDArray[np.uint8]:
        """Return the frame at a time not before the last one asked for."""
        if not math.isfinite(time_s) or time_s < 0:
            raise MediaError(f"'{self.path}' has no frame at {time_s} s. Times count from 0")
        assert self._current is not None
        if time_s > self._seconds(self._current) + _AHEAD_S:
            self._seek(time_s)
        while self._following is not None and self._seconds(self._following) <= time_s + _ROUNDING_S:
            self._current, self._following = self._following, self._next()
            self._image = None
        begin_s = self._seconds(self._current)
        if time_s < begin_s - END_SLIP_S:
            raise MediaError(
                f"'{self.path}' has its first frame at {begin_s:.3f} s, none at {time_s:.3f} s. Check the times"
            )
        if self._following is None and time_s > begin_s + self._frame_s + END_SLIP_S:
            raise MediaError(
                f"'{self.path}' has its last frame at {begin_s:.3f} s, none at {time_s:.3f} s. Check the times"
            )
        if self._image is None:
            self._image = np.asarray(self._current.to_ndarray(format="rgb24"), np.uint8)
        return self._image

    def _seek(self, time_s: float) -> None:
        assert self._stream.time_base is not None
        try:
            self._container.seek(math.floor((time_s + self._origin_s) / self._stream.time_base), stream=self._stream)
        except FFmpegError:
            return  # a file without an index: decode on
        self._frames = self._decode()
        self._current, self._following, self._image = self._next() or self._current, self._next(), None

    def _next(self) -> av.VideoFrame | None:
        return next(self._frames, None)

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            for frame in self._container.decode(self._stream):
                if isinstance(frame, av.VideoFrame):
                    yield frame
        except (FFmpegError, ValueError, MemoryError) as error:
            reason = error.strerror if isinstance(error, FFmpegError) else error
            raise MediaError(
                f"'{self.path}' has frames that cannot be decoded ({reason}). Copy or export it again, with at most "
                f"{MOST_PIXELS:,} pixels"
            ) from error

    def _seconds(self, frame: av.VideoFrame) -> float:
        return (0.0 if frame.time is None else frame.time) - self._origin_s
