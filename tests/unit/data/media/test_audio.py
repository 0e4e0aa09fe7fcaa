"""Recordings of every kind, whole, in part, and broken."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf

from merkit.core.errors import MediaError
from merkit.data.media.audio import MediaInfo, audio_blocks, probe, read_audio
from merkit.data.media.video import video_frames

SECONDS = 3.0
PLAIN = {
    "a.wav": 44100,
    "eight.wav": 8000,
    "odd.wav": 11127,
    "a.flac": 44100,
    "a.ogg": 22050,
    "a.mp3": 44100,
}
FFMPEG = {
    "a.m4a": ("aac", 44100),
    "lossless.m4a": ("alac", 44100),
    "a.mp4": ("aac", 48000),
    "flac.mp4": ("flac", 16000),
    "a.mkv": ("flac", 44100),
    "pcm.mkv": ("pcm_s16le", 22050),
    "mp3.mkv": ("libmp3lame", 44100),
    "aac.mkv": ("aac", 44100),
    "a.webm": ("libopus", 48000),
}
LOSSY = {"a.ogg": 0.06, "a.mp3": 0.03, "a.m4a": 0.03, "a.mp4": 0.03, "mp3.mkv": 0.03, "aac.mkv": 0.03, "a.webm": 0.03}
assert set(LOSSY) < set(PLAIN) | set(FFMPEG)


def wave(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """Return a tone that rises from 200 Hz, so that no moment is like another."""
    t = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 + 150 * t) * t)).astype(np.float32)


def encode(
    path: Path,
    codec: str,
    rate: int,
    samples: np.ndarray,
    pictures: int = 0,
    delay_s: float = 0.0,
    options: dict[str, str] | None = None,
    blocks: Sequence[int] = (1000,),
    picture_delay_s: float = 0.0,
) -> None:
    """Write samples ``[time]`` or ``[time, channels]`` and pictures (10 a second, number ``i`` of grey ``8 i``)."""
    with av.open(str(path), "w", options=options or {}) as container:
        if len(samples):
            channels = 1 if samples.ndim == 1 else samples.shape[1]
            layout = {1: "mono", 2: "stereo"}[channels]
            sound: Any = container.add_stream(codec, rate=rate, layout=layout)
            if codec == "aac":
                sound.codec_context.options = {"aac_pns": "0"}
                sound.codec_context.bit_rate = 128000
        if pictures:
            picture: Any = container.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", rate=10)
            picture.width, picture.height, picture.pix_fmt = 32, 16, "yuv420p"
            for i in range(pictures):
                frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 8 * i, np.uint8), format="rgb24")
                frame.pts, frame.time_base = i + round(10 * picture_delay_s), Fraction(1, 10)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        start = 0
        for size in itertools.cycle(blocks):
            if start >= len(samples):
                break
            part = samples[start : start + size].reshape(-1, channels).T
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
            block.sample_rate, block.time_base = rate, Fraction(1, rate)
            block.pts = start + round(delay_s * rate)
            container.mux(sound.encode(block))
            start += size
        if len(samples):
            container.mux(sound.encode(None))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for name, rate in PLAIN.items():
        sf.write(folder / name, wave(rate), rate)
    for name, (codec, rate) in FFMPEG.items():
        encode(folder / name, codec, rate, wave(rate), pictures=30 if name in {"a.mp4", "a.webm"} else 0)
    return folder


@pytest.mark.parametrize("name", [*PLAIN, *FFMPEG])
def test_every_container_gives_the_waveform_that_went_in(recordings: Path, name: str) -> None:
    found = read_audio(recordings / name, 16000)

    expected = wave(16000)
    assert found.dtype == np.float32
    assert abs(len(found) - len(expected)) <= 16000 * 0.03
    inner = slice(800, 45000)
    limit = LOSSY.get(name, 2e-3)  # 16-bit rounding, and the filter's passband
    assert np.abs(found[inner] - expected[inner]).max() < limit


@pytest.mark.parametrize("name", sorted({*PLAIN, *FFMPEG} - {"aac.mkv"}))
def test_what_a_codec_adds_at_either_end_is_not_part_of_the_recording(recordings: Path, name: str) -> None:
    assert len(read_audio(recordings / name, 16000)) == SECONDS * 16000


@pytest.mark.parametrize("name", [*PLAIN, *FFMPEG])
@pytest.mark.parametrize(("start_s", "end_s"), [(None, 0.5), (0.4, 0.7), (1.2345, 1.3), (2.1, 2.9), (2.5, None)])
def test_a_part_is_the_slice_of_the_whole(
    recordings: Path, name: str, start_s: float | None, end_s: float | None
) -> None:
    whole = read_audio(recordings / name, 16000)

    part = read_audio(recordings / name, 16000, start_s, end_s)

    first = round((start_s or 0) * 16000)
    last = len(whole) if end_s is None else round(end_s * 16000)
    assert len(part) == last - first
    tolerance = 5e-4 if name == "a.webm" else 2e-5  # Opus forgets what came before it only by and by
    assert np.abs(part - whole[first:last]).max() < tolerance


def test_a_part_deep_in_a_long_file_is_the_slice_of_the_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(44100 * 40).astype(np.float32) / 10
    for name, codec in (("a.mkv", "flac"), ("a.mp4", "alac")):
        encode(tmp_path / name, codec, 44100, noise)
        whole = read_audio(tmp_path / name, 16000)

        part = read_audio(tmp_path / name, 16000, 30.123, 31.0)

        assert np.abs(part - whole[round(30.123 * 16000) : 31 * 16000]).max() < 2e-5


def test_reading_a_late_part_does_not_decode_what_lies_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(tmp_path / "a.mkv", "flac", 16000, wave(16000, 30.0))
    decoded: list[int] = []
    monkeypatch.setattr("merkit.data.media.ffmpeg._floats", _counting(decoded))

    read_audio(tmp_path / "a.mkv", 16000, 28.0, 28.5)

    assert 0 < sum(decoded) < 16000 * 10


def _counting(decoded: list[int]) -> Any:
    from merkit.data.media import ffmpeg

    original = ffmpeg._floats

    def counting(frame: Any) -> Any:
        decoded.append(frame.samples)
        return original(frame)

    return counting


@pytest.mark.parametrize("name", ["a.wav", "a.mp4", "odd.wav"])
def test_blocks_join_to_the_whole_and_are_small(recordings: Path, name: str) -> None:
    blocks = list(audio_blocks(recordings / name, 16000))

    assert all(0 < len(block) <= 1 << 16 for block in blocks)
    assert np.array_equal(np.concatenate(blocks), read_audio(recordings / name, 16000))


def test_channels_are_averaged_unless_one_is_named(tmp_path: Path) -> None:
    eight = np.stack([np.full(1600, i / 16, np.float32) for i in range(8)], axis=1)
    sf.write(tmp_path / "eight.wav", eight, 16000, subtype="FLOAT")

    assert np.allclose(read_audio(tmp_path / "eight.wav", 16000), 3.5 / 16)
    assert np.allclose(read_audio(tmp_path / "eight.wav", 16000, channel=5), 5 / 16)
    with pytest.raises(MediaError, match=r"eight\.wav' has channels 0 to 7, not 8"):
        read_audio(tmp_path / "eight.wav", 16000, channel=8)


@pytest.mark.parametrize("name", ["two.mp4", "two.mkv"])
def test_a_channel_of_a_video_is_read_by_itself(tmp_path: Path, name: str) -> None:
    left = wave(48000, 1.0)
    encode(tmp_path / name, "flac" if name == "two.mp4" else "pcm_s16le", 48000, np.stack([left, 0 * left], axis=1))

    assert np.abs(read_audio(tmp_path / name, 48000, channel=0) - left).max() < 1e-4
    assert np.abs(read_audio(tmp_path / name, 48000, channel=1)).max() == 0
    assert np.abs(read_audio(tmp_path / name, 48000) - left / 2).max() < 1e-4


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
def test_every_kind_of_sample_is_scaled_to_one(tmp_path: Path, subtype: str) -> None:
    sf.write(tmp_path / "a.wav", wave(16000), 16000, subtype=subtype)

    assert np.abs(read_audio(tmp_path / "a.wav", 16000) - wave(16000)).max() < 0.02


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_f64le"])
def test_every_kind_of_sample_in_a_video_is_scaled_to_one(tmp_path: Path, codec: str) -> None:
    encode(tmp_path / "a.mkv", codec, 16000, wave(16000))

    assert np.abs(read_audio(tmp_path / "a.mkv", 16000) - wave(16000)).max() < 0.02


def test_headers_are_told_without_decoding(recordings: Path) -> None:
    assert probe(recordings / "eight.wav") == MediaInfo(SECONDS, 8000, 1, True, False, "wav")
    assert probe(recordings / "a.m4a") == MediaInfo(SECONDS, 44100, 1, True, False, "mp4")
    assert probe(recordings / "a.mp4") == MediaInfo(SECONDS, 48000, 1, True, True, "mp4")
    webm = probe(recordings / "a.webm")
    assert (webm.container, webm.rate_hz, webm.has_video) == ("matroska", 48000, True)
    assert webm.duration_s == pytest.approx(SECONDS, abs=0.05)


def test_sound_that_begins_after_the_picture_keeps_its_seconds(tmp_path: Path) -> None:
    encode(tmp_path / "late.mkv", "pcm_s16le", 16000, wave(16000, 1.0), pictures=20, delay_s=0.5)

    found = read_audio(tmp_path / "late.mkv", 16000)

    assert np.array_equal(found[:8000], np.zeros(8000, np.float32))
    assert np.abs(found[8000:] - wave(16000, 1.0)).max() < 1e-3
    assert np.array_equal(read_audio(tmp_path / "late.mkv", 16000, 0.4, 0.6), found[6400:9600])


def test_timestamps_of_a_longer_recording_are_counted_from_the_part_s_beginning(tmp_path: Path) -> None:
    encode(tmp_path / "cut.mkv", "pcm_s16le", 16000, wave(16000, 1.0), delay_s=60.0)

    assert np.abs(read_audio(tmp_path / "cut.mkv", 16000) - wave(16000, 1.0)).max() < 1e-3


def test_one_sample_and_a_few_milliseconds_are_recordings_too(tmp_path: Path) -> None:
    sf.write(tmp_path / "one.wav", np.array([0.5]), 16000)
    sf.write(tmp_path / "short.wav", wave(44100, 0.003), 44100)

    assert read_audio(tmp_path / "one.wav", 16000).tolist() == [0.5]
    assert len(read_audio(tmp_path / "short.wav", 16000)) == 48


def test_an_end_slightly_behind_the_recording_is_its_end(recordings: Path) -> None:
    for name in ("a.wav", "a.mp4", "a.mkv"):
        part = read_audio(recordings / name, 16000, 2.0, SECONDS + 0.09)

        assert np.abs(part - read_audio(recordings / name, 16000, 2.0)).max() < 1e-6


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.webm", "lossless.m4a"])
@pytest.mark.parametrize(("start_s", "end_s"), [(1.0, 3.5), (3.5, 4.0), (3.5, None), (None, 100.0)])
def test_a_part_behind_the_end_is_an_error_that_tells_the_end(
    recordings: Path, name: str, start_s: float | None, end_s: float | None
) -> None:
    with pytest.raises(
        MediaError, match=rf"{name}' ends at 3\.0.. s, but the interval from .* was requested\. Check start_s"
    ):
        read_audio(recordings / name, 16000, start_s, end_s)


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 1.0), (1.0, 1.0), (-0.1, 1.0), (math.nan, 1.0), (0.0, math.nan)])
def test_a_part_that_is_none_is_an_error(recordings: Path, start_s: float, end_s: float) -> None:
    with pytest.raises(MediaError, match=r"a\.wav': no interval from .* check the manifest"):
        read_audio(recordings / "a.wav", 16000, start_s, end_s)


def test_a_part_shorter_than_a_sample_is_an_error(recordings: Path) -> None:
    with pytest.raises(MediaError, match="holds no samples in the requested interval"):
        read_audio(recordings / "a.wav", 16000, 1.0, 1.000001)


def test_a_rate_of_nothing_is_a_mistake_of_the_caller(recordings: Path) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        audio_blocks(recordings / "a.wav", 0)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    for read in (probe, lambda path: read_audio(path, 16000), lambda path: video_frames(path, [0.0])):
        with pytest.raises(MediaError, match=r"No recording '.*gone\.wav'"):
            read(tmp_path / "gone.wav")


def test_a_folder_is_not_a_recording(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"Cannot read the recording .*Is a directory"):
        read_audio(tmp_path, 16000)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("zero.wav", b"", "is empty"),
        ("zero.mp4", b"", "is empty"),
        ("text.wav", b"This is a transcript.\n" * 50, "is not a recording.*This is a tr"),
        ("page.mp3", b"<html>404</html>" * 50, "is not a recording"),
        ("page.mp4", b"<html>404</html>" * 50, "is not a recording"),
        ("text.raw", b"This is a transcript.\n" * 50, "is not a recording"),
        ("text.txt", b"This is a transcript.\n" * 50, "is not a recording"),
    ],
)
def test_what_is_no_recording_is_told_apart(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)

    for read in (probe, lambda path: read_audio(path, 16000)):
        with pytest.raises(MediaError, match=rf"{name}' {told}"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["none.wav", "none.flac"])
def test_a_recording_without_samples_is_an_error(tmp_path: Path, name: str) -> None:
    sf.write(tmp_path / name, np.zeros(0), 16000)

    with pytest.raises(MediaError, match=rf"{name}'"):
        read_audio(tmp_path / name, 16000)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    encode(tmp_path / "mute.mp4", "aac", 16000, np.zeros(0), pictures=10)

    with pytest.raises(MediaError, match=r"mute\.mp4' has video, but no audio track"):
        read_audio(tmp_path / "mute.mp4", 16000)
    assert probe(tmp_path / "mute.mp4") == MediaInfo(1.0, None, 0, False, True, "mp4")


def cut(path: Path, share: float = 0.6) -> Path:
    """Write the first part of a file's bytes beside it."""
    content = path.read_bytes()
    short = path.with_name(f"cut_{path.name}")
    short.write_bytes(content[: int(len(content) * share)])
    return short


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "a.mp4", "a.mkv", "aac.mkv", "a.webm"])
def test_a_truncated_recording_is_an_error_not_a_shorter_recording(recordings: Path, name: str) -> None:
    with pytest.raises(MediaError, match=f"cut_{name}'"):
        read_audio(cut(recordings / name), 16000)


@pytest.mark.parametrize("codec", ["aac", "alac"])
def test_an_mp4_whose_index_is_whole_but_whose_samples_are_cut_is_an_error(tmp_path: Path, codec: str) -> None:
    encode(tmp_path / "a.mp4", codec, 16000, wave(16000), options={"movflags": "faststart"})

    with pytest.raises(MediaError, match=r"cut_a\.mp4'"):
        read_audio(cut(tmp_path / "a.mp4"), 16000)


def test_a_truncated_ogg_lacks_its_end_mark(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.ogg", np.random.default_rng(0).standard_normal(16000 * 20) / 10, 16000)
    assert len(read_audio(tmp_path / "a.ogg", 16000)) == 16000 * 20

    for read in (probe, lambda path: read_audio(path, 16000, 0.0, 1.0)):
        with pytest.raises(MediaError, match=r"cut_a\.ogg' is an Ogg file without an end mark"):
            read(cut(tmp_path / "a.ogg"))


def test_a_late_part_of_a_truncated_recording_is_an_error(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", "alac", 16000, wave(16000, 10.0), options={"movflags": "faststart"})

    with pytest.raises(MediaError, match=r"cut_a\.mp4'"):
        read_audio(cut(tmp_path / "a.mp4"), 16000, 9.0, 9.5)


def test_blocks_of_uneven_size_are_placed_to_the_sample_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(22050 * 5).astype(np.float32) / 10
    encode(tmp_path / "uneven.mkv", "pcm_s16le", 22050, noise, blocks=(700, 900, 1100))

    part = read_audio(tmp_path / "uneven.mkv", 22050, 4.0, 4.5)

    assert np.abs(part - noise[88200:99225]).max() < 1e-4


def test_a_live_stream_without_duration_and_index_is_read_whole_and_in_part(tmp_path: Path) -> None:
    encode(tmp_path / "live.webm", "libopus", 48000, wave(48000, 6.0), options={"live": "1"})

    assert probe(tmp_path / "live.webm").duration_s == pytest.approx(6.0, abs=0.05)
    whole = read_audio(tmp_path / "live.webm", 16000)
    assert np.abs(read_audio(tmp_path / "live.webm", 16000, 5.0, 5.5) - whole[80000:88000]).max() < 5e-4


def test_a_format_that_promises_no_duration_is_read_to_its_end(tmp_path: Path) -> None:
    encode(tmp_path / "a.aac", "aac", 16000, wave(16000))

    assert len(read_audio(tmp_path / "a.aac", 16000)) / 16000 == pytest.approx(SECONDS, abs=0.15)


def with_size(path: Path, size: int) -> Path:
    """Change what a WAV file's header says of the samples' bytes."""
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_header_that_promises_more_than_there_is_is_an_error(tmp_path: Path) -> None:
    sf.write(tmp_path / "lie.wav", wave(16000), 16000)
    with_size(tmp_path / "lie.wav", 200000)

    for read in (probe, lambda path: read_audio(path, 16000)):
        with pytest.raises(
            MediaError, match=r"lie\.wav' promises 200000 bytes of samples in its header, but holds 96000"
        ):
            read(tmp_path / "lie.wav")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 96000 + 44])
def test_a_size_that_says_unknown_or_counts_the_header_is_read_to_the_end(tmp_path: Path, size: int) -> None:
    sf.write(tmp_path / "pipe.wav", wave(16000), 16000)

    found = read_audio(with_size(tmp_path / "pipe.wav", size), 16000)

    assert len(found) == 48000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_an_error(tmp_path: Path, bad: float) -> None:
    samples = wave(16000)
    samples[20000] = bad
    sf.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")

    with pytest.raises(MediaError, match=r"nan\.wav' has NaN or infinite samples, the first one at 1\.250 s"):
        read_audio(tmp_path / "nan.wav", 16000)
    assert len(read_audio(tmp_path / "nan.wav", 16000, 2.0, 3.0)) == 16000


def test_noise_within_a_flac_is_an_error(recordings: Path, tmp_path: Path) -> None:
    content = bytearray((recordings / "a.flac").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    (tmp_path / "bad.flac").write_bytes(content)

    with pytest.raises(MediaError, match=r"bad\.flac' cannot be decoded beyond"):
        read_audio(tmp_path / "bad.flac", 16000)


def greys(pictures: np.ndarray) -> list[int]:
    return [round(float(picture.mean()) / 8) for picture in pictures]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    encode(path, "aac", 16000, wave(16000), pictures=30)
    return path


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [([0.0], [0]), ([0.0, 0.05, 0.1, 2.95], [0, 0, 1, 29]), ([2.0, 0.0, 2.0, 1.25], [20, 0, 20, 12]), ([3.05], [29])],
)
def test_pictures_are_those_on_the_screen_at_the_time(
    video: Path, times_s: Sequence[float], expected: list[int]
) -> None:
    pictures = video_frames(video, times_s)

    assert pictures.shape == (len(times_s), 16, 32, 3)
    assert pictures.dtype == np.uint8
    assert greys(pictures) == expected


def test_a_picture_deep_in_a_long_video_is_found_by_a_jump(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "long.mp4"), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for i in range(120):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 2 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 2)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    pictures = video_frames(tmp_path / "long.mp4", [50.3, 0.6, 20.0])

    assert [round(float(picture.mean()) / 2) for picture in pictures] == [100, 1, 40]


@pytest.mark.parametrize("time_s", [3.3, 60.0, -0.1, math.nan])
def test_a_time_outside_of_the_video_is_an_error(video: Path, time_s: float) -> None:
    with pytest.raises(MediaError, match=r"grey\.mp4' has .*frame"):
        video_frames(video, [0.0, time_s])


def test_pictures_that_begin_late_are_not_shown_before(tmp_path: Path) -> None:
    encode(tmp_path / "late.mkv", "pcm_s16le", 16000, wave(16000), pictures=10, picture_delay_s=1.0)

    assert greys(video_frames(tmp_path / "late.mkv", [0.95, 1.15])) == [0, 1]
    with pytest.raises(MediaError, match=r"has its first frame at 1\.000 s, none at 0\.500 s"):
        video_frames(tmp_path / "late.mkv", [0.5])


def test_a_video_track_without_pictures_is_an_error(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        sound: Any = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        block.sample_rate = 16000
        container.mux(sound.encode(block))

    with pytest.raises(MediaError, match=r"none\.mkv' has a video track without frames"):
        video_frames(tmp_path / "none.mkv", [0.0])


def test_pictures_of_a_sound_recording_are_an_error(recordings: Path) -> None:
    with pytest.raises(MediaError, match=r"a\.m4a' has no video track"):
        video_frames(recordings / "a.m4a", [0.0])
    with pytest.raises(ValueError, match="times_s is empty"):
        video_frames(recordings / "a.mp4", [])
