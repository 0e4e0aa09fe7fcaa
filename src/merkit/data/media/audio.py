"""Audio of recordings, at the requested rate and times.

Audio is returned as one channel of float32 (the mean of all channels unless one is chosen) at the requested rate. Files
are decoded and resampled in blocks, and an interval is read without decoding what comes before it. An interval equals
that slice of the whole file, to the precision of the resampler; only codecs that draw noise while decoding (AAC with
noise substitution) differ in the noise. Seconds count from where a player begins.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr
from jaxtyping import Float32

from merkit.core.errors import MediaError, MerkitError
from merkit.core.waveform import Channel, Track, Waveform, Whole, first_unusable
from merkit.data.files import file_hash
from merkit.data.media.decoding import counted_s, open_audio
from merkit.data.media.ffmpeg import container_name, has_video, open_container
from merkit.data.media.sources import END_SLIP_S, RecordingFile, Samples, Source, check_file

Recording = Whole | Channel
"""A file or one track of it, audio in memory, or one channel of these."""
LONGEST_S = 4 * 3600
"""An utterance may be no longer; a recording may, if a transcript cuts it."""
Wave = Float32[npt.NDArray[np.float32], " samples"]

_MOST_SAMPLES = 1 << 28  # of all channels of a recording that is held in memory: 1 GB
_CONTEXT_S = 0.1  # resampled on either side of an interval and discarded; soxr's filter is ten times shorter


@dataclass(frozen=True)
class MediaInfo:
    """What a recording's header says.

    ``rate_hz`` is ``None`` and ``channels`` 0 where it has no audio. ``container`` is ``wav``, ``flac``, ``ogg``,
    ``mp3``, ``mp4`` (M4A as well), ``matroska`` (WebM as well) or another name of soundfile's or FFmpeg's.
    ``duration_s`` is that of the audio where there is any; Matroska has only that of the whole file. ``notes`` say what
    was repaired in order to read it, or is not read.
    """

    duration_s: float
    rate_hz: int | None
    channels: int
    has_audio: bool
    has_video: bool
    container: str
    notes: tuple[str, ...] = ()


def recording_hash(recording: Recording) -> str:
    """Return hexadecimal digits that stand for a recording: of a file's bytes, or of a waveform's samples.

    Raises:
        MediaError: There is no such file, or it cannot be read.
    """
    if isinstance(recording, Channel):
        return f"{recording_hash(recording.recording)}:{recording.number}"
    if isinstance(recording, Track):
        return f"{recording_hash(recording.file)}/{recording.number}"
    if isinstance(recording, Waveform):
        return recording.content
    try:
        return file_hash(recording)
    except MerkitError as error:
        raise MediaError(str(error)) from error


def duration_s(recording: Recording) -> float:
    """Return a recording's length in seconds, as its header says.

    Raises:
        MediaError: See ``probe``.
    """
    if isinstance(recording, Channel):
        return duration_s(recording.recording)
    return recording.duration_s if isinstance(recording, Waveform) else probe(recording).duration_s


def media_notes(recording: Recording) -> tuple[str, ...]:
    """Return what was repaired in order to read a recording, or is not read; see ``MediaInfo.notes``.

    Raises:
        MediaError: See ``probe``.
    """
    if isinstance(recording, Channel):
        return media_notes(recording.recording)
    return () if isinstance(recording, Waveform) else probe(recording).notes


def count_channels(recording: Whole) -> int:
    """Return how many channels a recording has.

    Raises:
        MediaError: See ``probe``.
    """
    with closing(open_audio(recording)) as source:
        return source.channels


def rate_of(recording: Whole) -> int:
    """Return a recording's own rate in Hz.

    Raises:
        MediaError: See ``probe``.
    """
    with closing(open_audio(recording)) as source:
        return source.rate_hz


def decode(recording: RecordingFile) -> Waveform:
    """Return a whole recording at its own rate, with all its channels.

    Raises:
        MediaError: See ``audio_blocks``; or the samples of all channels would take more than 1 GB.
    """
    with closing(open_audio(recording)) as source:
        most = _MOST_SAMPLES // source.channels
        samples, count = bytearray(), 0
        blocks = source.read(0)
        promised = round((source.duration_s or 0) * source.rate_hz)
        while max(count, promised) <= most and (block := next(blocks, None)) is not None:
            _check_usable(recording, block, count, source.rate_hz)
            samples += block.tobytes()
            count += len(block)
        if max(count, promised) > most:
            raise MediaError(
                f"'{recording}' has {source.channels} channels of {source.rate_hz} Hz, of which at most "
                f"{most / source.rate_hz:.0f} s are held in memory. Cut it into parts"
            )
        if not samples:
            raise MediaError(f"'{recording}' holds no samples. Leave it out")
        return Waveform(np.frombuffer(samples, np.float32).reshape(-1, source.channels).T, source.rate_hz)


def probe(path: RecordingFile | Track) -> MediaInfo:
    """Return what a recording's header says. Damage to the content shows only when it is read.

    A file whose header does not say how long it is exactly (MP3 without a frame count, AAC, AMR, WMA and kin) is
    decoded once, and its length remembered in this process as long as the file's size and time stay the same.

    Raises:
        MediaError: Missing, empty, not a recording, or its header promises more than the file's size allows.
    """
    try:
        with closing(open_audio(path)) as source:
            seconds = counted_s(path, source) if source.duration_s is None else source.duration_s
            return MediaInfo(
                seconds, source.rate_hz, source.channels, True, source.has_video, source.container, source.notes
            )
    except MediaError as error:
        if isinstance(path, Track):
            raise
        check_file(path)
        try:
            container = open_container(path)
        except MediaError:
            raise error from None
        with container:
            if container.streams.audio or not has_video(container):
                raise
            seconds = (container.duration or 0) / 1e6  # FFmpeg's unit for whole files
            return MediaInfo(seconds, None, 0, False, True, container_name(container))


def read_audio(
    path: Recording,
    rate_hz: int,
    start_s: float | None = None,
    end_s: float | None = None,
    channel: int | None = None,
) -> Wave:
    """Return a recording, or the interval from ``start_s`` to ``end_s``, as one channel at ``rate_hz``.

    The mean of all channels, or one of them, counted from 0. Integer samples become -1 to 1; floating-point ones stay
    as they are. ``end_s`` may lie up to 0.1 s after the recording's end, which is then used.

    Raises:
        MediaError: See ``audio_blocks``.
    """
    samples = bytearray()  # grows in place, where joined blocks would take twice the memory
    for block in audio_blocks(path, rate_hz, start_s=start_s, end_s=end_s, channel=channel):
        samples += block.tobytes()
    return np.frombuffer(samples, np.float32)


def audio_blocks(
    path: Recording,
    rate_hz: int,
    start_s: float | None = None,
    end_s: float | None = None,
    channel: int | None = None,
) -> Iterator[Wave]:
    """Yield the samples of ``read_audio`` in blocks as they are decoded, in constant memory.

    Raises:
        MediaError: The file is missing, empty, not a recording, without audio or samples, damaged, shorter than it
            promises, or has NaN or infinite samples; the interval is empty, begins before 0, ends after the recording
            or is longer than ``LONGEST_S``; or there is no such channel. Some of these errors are raised only while
            reading.
    """
    if isinstance(path, Channel):
        return audio_blocks(path.recording, rate_hz, start_s, end_s, path.number)
    if rate_hz <= 0:
        raise ValueError(f"rate_hz must be positive, not {rate_hz}")
    begin = 0.0 if start_s is None else start_s
    if not begin >= 0 or not math.isfinite(begin) or (end_s is not None and not begin < end_s < math.inf):
        end = "its end" if end_s is None else f"{end_s} s"
        raise MediaError(
            f"'{path}': no interval from {begin} s to {end}. Expected 0 <= start_s < end_s; check the manifest"
        )
    return _part(path, rate_hz, begin, end_s, channel)


def channel_blocks(path: Whole, start_s: float | None = None, end_s: float | None = None) -> Iterator[Samples]:
    """Yield blocks ``[samples, channels]`` of a recording, or of an interval of it, at its own rate, as decoded.

    Raises:
        MediaError: See ``audio_blocks``; an interval that begins after the recording's end yields nothing.
    """
    with closing(open_audio(path)) as source:
        seen = round((start_s or 0.0) * source.rate_hz)
        last = math.inf if end_s is None else round(end_s * source.rate_hz)
        for block in source.read(seen):
            _check_usable(path, block, seen, source.rate_hz)
            piece = block[: int(min(last - seen, len(block)))]
            seen += len(block)
            if len(piece):
                yield piece
            if seen >= last:
                return


def _part(path: Whole, rate_hz: int, start_s: float, end_s: float | None, channel: int | None) -> Iterator[Wave]:
    with closing(open_audio(path)) as source:
        if channel is not None and not 0 <= channel < source.channels:
            raise MediaError(f"'{path}' has channels 0 to {source.channels - 1}, not {channel}. Name one of them")
        native_hz = source.rate_hz
        expected_s = source.duration_s if end_s is None or source.duration_s is None else min(end_s, source.duration_s)
        _check_length(path, (expected_s or 0) - start_s)
        common = math.gcd(native_hz, rate_hz)
        step_in, step_out = native_hz // common, rate_hz // common
        first = round(start_s * rate_hz)
        last = None if end_s is None else round(end_s * rate_hz)
        # Sample k * step_out of the result lies exactly on sample k * step_in of the file: resampling begins there.
        anchor = max(0, math.floor(first - _CONTEXT_S * rate_hz)) // step_out
        stop = None if last is None else math.ceil(last * native_hz / rate_hz + _CONTEXT_S * native_hz)
        count = 0
        seen = anchor * step_in

        def mono() -> Iterator[Wave]:
            nonlocal seen
            for block in source.read(seen):
                _check_usable(path, block, seen, native_hz)
                seen += len(block)
                yield block.mean(axis=1) if channel is None else np.ascontiguousarray(block[:, channel])
                if stop is not None and seen >= stop:
                    return

        offset = anchor * step_out
        for block in _resampled(mono(), native_hz, rate_hz):
            piece = block[max(0, first - offset) : None if last is None else max(0, last - offset)]
            offset += len(block)
            count += len(piece)
            _check_length(path, count / rate_hz)
            if len(piece):
                yield piece
        _check_part(source, path, seen, start_s, end_s, stop, count)


def _check_part(
    source: Source, path: Whole, seen: int, start_s: float, end_s: float | None, stop: int | None, count: int
) -> None:
    ended = stop is None or seen < stop
    length_s = seen / source.rate_hz
    beyond = end_s is not None and end_s > length_s + END_SLIP_S
    if ended and seen and (beyond or (start_s > 0 and not count)):
        if not count and source.duration_s is not None:
            length_s = source.duration_s
        until = "its end" if end_s is None else f"{end_s:.3f} s"
        raise MediaError(
            f"'{path}' ends at {length_s:.3f} s, but the interval from {start_s:.3f} s to {until} was requested. "
            "Check start_s and end_s in the manifest"
        )
    if not count:
        raise MediaError(
            f"'{path}' holds no samples in the requested interval ({seen} at {source.rate_hz} Hz seen). Leave it out"
        )


def _check_length(path: RecordingFile | Whole, seconds: float) -> None:
    if seconds > LONGEST_S:
        raise MediaError(
            f"'{path}': an utterance of {seconds / 3600:.1f} hours, expected at most {LONGEST_S // 3600}. "
            "Give a transcript with times, which cuts it"
        )


def _check_usable(path: RecordingFile | Whole, block: Samples, begin: int, rate_hz: int) -> None:
    if found := first_unusable(block):
        first_s = (begin + found[0]) / rate_hz
        raise MediaError(f"'{path}' has {found[1]}, the first one at {first_s:.3f} s. Export it again as 16-bit PCM")


def _resampled(blocks: Iterator[Wave], native_hz: int, rate_hz: int) -> Iterator[Wave]:
    if native_hz == rate_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(native_hz, rate_hz, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
