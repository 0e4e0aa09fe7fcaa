"""Recordings as services, recorders and careless tools leave them: read with a note, or refused in one line."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf
from tests.unit.data.media.test_audio import cut, encode, wave, with_size

from merkit.core.errors import MediaError
from merkit.core.waveform import Channel, Track, Waveform
from merkit.data.media import audio, video
from merkit.data.media.audio import decode, probe, read_audio, recording_hash
from merkit.data.media.sources import EncodedRecording


def assert_read(path: Path, expected: np.ndarray, rate_hz: int, limit: float = 1e-3) -> None:
    """Its length is told, and it is the expected sound as a whole and in parts, which are slices of the whole."""
    whole = read_audio(path, rate_hz)
    assert len(whole) == len(expected)
    assert probe(path).duration_s == pytest.approx(len(expected) / rate_hz, abs=1e-6)
    assert np.abs(whole - expected).max() < limit
    for begin_s, end_s in ((0.25, 0.5), (1.7, 1.9), (2.5, 2.9)):
        part = read_audio(path, rate_hz, begin_s, end_s)
        assert np.abs(part - whole[round(begin_s * rate_hz) : round(end_s * rate_hz)]).max() < 1e-6


def edited(path: Path, *edits: tuple[bytes | int, int, bytes]) -> Path:
    """Replace bytes: each edit names a mark or a place, how far behind it, and the new bytes."""
    content = bytearray(path.read_bytes())
    for mark, behind, new in edits:
        at = (mark if isinstance(mark, int) else content.index(mark) + len(mark)) + behind
        content[at : at + len(new)] = new
    path.write_bytes(content)
    return path


def mp3(path: Path, samples: np.ndarray, rate_hz: int, counted: bool = True, variable: bool = True) -> bytes:
    """Write an MP3 with or without the frame that counts the others; return it without its tag."""
    with av.open(str(path), "w", format="mp3", options={"write_xing": str(int(counted)), "id3v2_version": "0"}) as file:
        sound: Any = file.add_stream("libmp3lame", rate=rate_hz, layout="mono")
        if variable:
            sound.codec_context.options = {"flags": "+qscale", "global_quality": "600"}
        block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        block.sample_rate, block.time_base, block.pts = rate_hz, Fraction(1, rate_hz), 0
        file.mux(sound.encode(block))
        file.mux(sound.encode(None))
    return path.read_bytes()


def tag(frames: bytes) -> bytes:
    """Return an ID3v2 tag."""
    return b"ID3\x03\x00\x00" + bytes((len(frames) >> shift) & 127 for shift in (21, 14, 7, 0)) + frames


def cover() -> bytes:
    """Return an ID3v2 tag with a picture of 8 by 8 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = zlib.compress((b"\0" + bytes(24)) * 8)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    body = b"\0image/png\0\x03\0" + png
    return tag(b"APIC" + struct.pack(">IH", len(body), 0) + body)


def decoded(path: Path) -> np.ndarray:
    """Return what FFmpeg itself decodes."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.gsm", "GSM610"),
        ("a.wav", "GSM610"),
        ("a.aiff", "GSM610"),
        ("a.au", "G721_32"),
        ("b.wav", "G721_32"),
        ("a.au", "G723_24"),
        ("c.wav", "NMS_ADPCM_32"),
        ("d.wav", "IMA_ADPCM"),
        ("e.wav", "MS_ADPCM"),
        ("a.vox", "VOX_ADPCM"),
    ],
)
def test_telephone_codecs_that_cannot_be_entered_anywhere_are_cut_exactly(
    tmp_path: Path, name: str, subtype: str
) -> None:
    container = {".gsm": "RAW", ".vox": "RAW"}.get(Path(name).suffix)
    sf.write(tmp_path / name, wave(8000), 8000, subtype=subtype, format=container)
    whole = decode(tmp_path / name).samples

    assert whole.shape[-1] == pytest.approx(24_000, abs=600)  # blocks are full
    assert_read(tmp_path / name, np.atleast_2d(whole)[0], 8000)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.g722", "g722", 16000),
        ("b.wav", "adpcm_yamaha", 16000),
        ("a.ac3", "ac3", 44100),
        ("a.eac3", "eac3", 44100),
        ("a.aac", "aac", 16000),
        ("a.amr", "libopencore_amrnb", 8000),
        ("a.flv", "nellymoser", 8000),
        ("a.ts", "mp2", 44100),
        ("a.avi", "pcm_s16le", 16000),
        ("a.mov", "adpcm_ima_qt", 16000),
    ],
)
def test_formats_whose_times_are_guessed_are_counted_and_cut_exactly(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    noise = np.random.default_rng(0).standard_normal(4 * rate).astype(np.float32) / 20
    encode(tmp_path / name, codec, rate, noise, blocks=(320,) if codec in {"g722", "libopencore_amrnb"} else (1024,))
    whole = read_audio(tmp_path / name, rate)

    assert len(whole) / rate == pytest.approx(4.0, abs=0.15)
    assert probe(tmp_path / name).duration_s == pytest.approx(len(whole) / rate, abs=1e-6)
    for begin_s, end_s in ((1.7, 1.9), (3.2, 3.6)):
        part = read_audio(tmp_path / name, rate, begin_s, end_s)
        assert np.abs(part - whole[round(begin_s * rate) : round(end_s * rate)]).max() < (
            0.06 if "ac3" in name else 1e-5  # AC-3 fills what it leaves out with noise
        )


def test_integers_of_64_bits_are_read(tmp_path: Path) -> None:
    samples = wave(16000)
    for name in ("a.wav", "a.nut"):
        with av.open(str(tmp_path / name), "w") as file:
            sound: Any = file.add_stream("pcm_s64le", rate=16000, layout="stereo")
            both = np.stack([samples, -samples], axis=1).reshape(1, -1)
            block = av.AudioFrame.from_ndarray((both * 2**31).astype(np.int32), format="s32", layout="stereo")
            block.sample_rate, block.pts = 16000, 0
            resampler = av.AudioResampler(format="s64", layout="stereo", rate=16000)
            for converted in resampler.resample(block):
                file.mux(sound.encode(converted))
            file.mux(sound.encode(None))

        assert_read(tmp_path / name, 0 * samples, 16000)  # the mean of both
        assert np.abs(read_audio(tmp_path / name, 16000, channel=1) + samples).max() < 1e-6


@pytest.mark.parametrize("name", ["a.mp4", "a.mka", "a.mp3"])
def test_metadata_in_any_encoding_are_no_reason_to_refuse(tmp_path: Path, name: str) -> None:
    if name == "a.mp3":
        title = b"\x03\xff\xfe\xe9\xfc\xe8"
        content = tag(b"TIT2" + struct.pack(">IH", len(title), 0) + title) + mp3(tmp_path / name, wave(16000), 16000)
        (tmp_path / name).write_bytes(content)
    else:
        with av.open(str(tmp_path / name), "w") as file:
            file.metadata["title"] = "ABCDEFGH"
            sound: Any = file.add_stream("alac" if name == "a.mp4" else "pcm_s16le", rate=16000, layout="mono")
            block = av.AudioFrame.from_ndarray(wave(16000)[None], format="fltp", layout="mono")
            block.sample_rate, block.time_base, block.pts = 16000, Fraction(1, 16000), 0
            file.mux(sound.encode(block))
            file.mux(sound.encode(None))
        edited(tmp_path / name, (b"ABCDEFG", -7, b"\xe9\xfc\xff\xfe\xc4\xd6\xdc"))

    assert_read(tmp_path / name, wave(16000), 16000, 0.1)


def join(parts: list[Path], path: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.flac", "a.wav", "a.aiff", "a.au", "a.caf", "a.m4a", "a.mka"])
def test_files_that_were_joined_are_read_to_the_last_one(tmp_path: Path, name: str) -> None:
    one, two = tmp_path / f"one_{name}", tmp_path / f"two_{name}"
    for path, samples in ((one, wave(16000)), (two, wave(16000)[::-1])):
        if name in {"a.m4a", "a.mka"}:
            encode(path, "alac" if name == "a.m4a" else "flac", 16000, np.ascontiguousarray(samples))
        else:
            kind = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
            sf.write(path, samples, 16000, **kind)
    joined = join([one, two, one], tmp_path / name)

    expected = np.concatenate([read_audio(path, 16000) for path in (one, two, one)])
    assert_read(joined, expected, 16000, 1e-6)
    across = read_audio(joined, 16000, 2.9, 3.1)
    assert np.abs(across - expected[46400:49600]).max() < (0.02 if name == "a.opus" else 1e-6)
    assert probe(joined).notes == ("it consists of 3 joined files: all of them are read",)
    assert np.array_equal(decode(EncodedRecording(joined.read_bytes(), name)).samples[0], expected)


def test_joined_files_of_different_rates_are_an_error(tmp_path: Path) -> None:
    for name, rate in (("a.ogg", 16000), ("b.ogg", 22050)):
        sf.write(tmp_path / name, wave(rate), rate)
    join([tmp_path / "a.ogg", tmp_path / "b.ogg"], tmp_path / "c.ogg")

    with pytest.raises(MediaError, match=r"c\.ogg' consists of joined files, of 16000 Hz with 1 channels and of 22050"):
        probe(tmp_path / "c.ogg")


def test_a_joined_ogg_that_is_cut_off_lacks_its_end_mark(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.ogg", wave(16000), 16000)
    join([tmp_path / "a.ogg", cut(tmp_path / "a.ogg")], tmp_path / "c.ogg")

    with pytest.raises(MediaError, match=r"c\.ogg' is an Ogg file without an end mark"):
        probe(tmp_path / "c.ogg")


@pytest.mark.parametrize("before", [b"", cover(), tag(b"TIT2\0\0\0\2\0\0\0a")])
@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125), bytes(4000)])
def test_an_mp3_is_as_long_as_its_frames(tmp_path: Path, before: bytes, after: bytes) -> None:
    samples = wave(16000, 12.0)
    for counted in (True, False):
        content = mp3(tmp_path / "a.mp3", samples, 16000, counted)
        if not counted and len(after) > 128:
            continue  # it could be damage
        expected = decoded(tmp_path / "a.mp3")
        (tmp_path / "a.mp3").write_bytes(before + content + after)

        assert len(expected) / 16000 == pytest.approx(12.0, abs=0 if counted else 0.15)
        assert_read(tmp_path / "a.mp3", expected, 16000)
        assert not probe(tmp_path / "a.mp3").has_video


@pytest.mark.parametrize("between", [b"", cover(), b"TAG" + bytes(125)])
@pytest.mark.parametrize("counted", [(True, True), (True, False), (False, True), (False, False)])
def test_two_mp3_files_in_one_are_read_both(tmp_path: Path, between: bytes, counted: tuple[bool, bool]) -> None:
    one = mp3(tmp_path / "a.mp3", wave(16000), 16000, counted[0])
    two = mp3(tmp_path / "b.mp3", wave(16000), 16000, counted[1], variable=False)
    (tmp_path / "c.mp3").write_bytes(one + between + two)

    length = probe(tmp_path / "c.mp3").duration_s
    assert length == pytest.approx(6.0, abs=0 if all(counted) else 0.25)
    whole = read_audio(tmp_path / "c.mp3", 16000)
    assert len(whole) == round(length * 16000)
    assert np.abs(read_audio(tmp_path / "c.mp3", 16000, 4.5, 5.0) - whole[72000:80000]).max() < 1e-6


NO_SIZE = "its header says that it holds no samples, as a recorder that stops early leaves it: read to its end"


@pytest.mark.parametrize(
    ("name", "subtype", "size", "note"),
    [
        ("a.wav", "PCM_16", 0, NO_SIZE),
        ("a.wav", "PCM_24", 0, NO_SIZE),
        ("a.wav", "FLOAT", 0, NO_SIZE),
        ("a.wav", "GSM610", 0, NO_SIZE),
        ("a.wav", "PCM_16", 0xFFFFFFFF, "its header does not say how long it is: read to its end"),
        ("a.wav", "PCM_16", 96000 + 96, "its header promises 96 bytes more than it holds: read to its end"),
        ("a.wav", "PCM_16", 96000 + 1, "its header promises 1 byte more than it holds: read to its end"),
        ("a.wav", "PCM_16", 48000, "48000 bytes that follow its samples are not read"),
    ],
)
def test_a_wav_with_a_wrong_size_is_read_to_its_end_with_a_note(
    tmp_path: Path, name: str, subtype: str, size: int, note: str
) -> None:
    sf.write(tmp_path / name, wave(16000), 16000, subtype=subtype)
    right = read_audio(tmp_path / name, 16000)
    assert probe(tmp_path / name).notes == ()
    with_size(tmp_path / name, size)

    right = right[:24000] if size == 48000 else right
    assert probe(tmp_path / name).duration_s == len(right) / 16000
    assert np.array_equal(read_audio(tmp_path / name, 16000), right)
    assert probe(tmp_path / name).notes == (note,)
    assert np.array_equal(np.atleast_2d(decode(EncodedRecording((tmp_path / name).read_bytes())).samples)[0], right)


@pytest.mark.parametrize(
    ("name", "mark", "behind", "new"),
    [
        ("a.rf64", b"data", 0, bytes(4)),
        ("a.rf64", b"ds64", 4, bytes(24)),
        ("a.aiff", b"SSND", 0, bytes(4)),
        ("a.au", b".snd", 4, bytes(4)),
    ],
)
def test_other_formats_that_a_recorder_left_unfinished_are_read_to_their_end(
    tmp_path: Path, name: str, mark: bytes, behind: int, new: bytes
) -> None:
    sf.write(tmp_path / name, wave(16000), 16000, subtype="PCM_16")
    edited(tmp_path / name, (mark, behind, new))

    assert_read(tmp_path / name, wave(16000), 16000)
    assert probe(tmp_path / name).notes == (NO_SIZE,)


def test_an_odd_number_of_bytes_is_no_reason_for_a_note(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", wave(16000), 16000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-1])
    with_size(tmp_path / "a.wav", 95_999)

    assert_read(tmp_path / "a.wav", wave(16000)[:-1], 16000)
    assert probe(tmp_path / "a.wav").notes == ()


@pytest.mark.parametrize(
    "name", ["a.aiff", "a.au", "a.caf", "a.w64", "a.rf64", "a.nist", "a.svx", "a.avi", "b.wav", "a.ogg"]
)
def test_a_file_that_is_shorter_than_its_header_says_is_an_error(tmp_path: Path, name: str) -> None:
    if name in {"a.avi", "b.wav"}:
        encode(tmp_path / name, "mp3" if name == "a.avi" else "adpcm_yamaha", 16000, wave(16000))
    else:
        sf.write(tmp_path / name, wave(16000), 16000, subtype=None if name == "a.ogg" else "PCM_16")

    with pytest.raises(MediaError, match=rf"cut_{name}'.*Was it cut off while copying"):
        probe(cut(tmp_path / name))


def test_a_flac_from_a_pipe_is_counted(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.flac", wave(16000), 16000)
    edited(tmp_path / "a.flac", (22, 0, bytes(4)))  # the last 32 of 36 bits of its number of samples

    assert_read(tmp_path / "a.flac", wave(16000), 16000)


def header(
    channels: int = 1, rate_hz: int = 16000, bits: int = 16, kind: int = 1, data: bytes = bytes(64_000)
) -> bytes:
    """Return a WAV file with any values in its header."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(rate_hz=1), "has 1 samples a second, expected 1000 to 768000"),
        (header(rate_hz=999), "has 999 samples a second"),
        (header(rate_hz=0x7FFFFFFF), "has 2147483647 samples a second"),
        (header(rate_hz=0), "is not a recording"),
        (header(channels=0), "FFmpeg found an audio track, but not its rate and channels"),
        (header(channels=65), "has 65 channels, expected 1 to 64"),
        (header(channels=255), "has 255 channels, expected 1 to 64"),
        (header(channels=65535), "FFmpeg found an audio track, but not its rate and channels"),
        (header(kind=0x7777), "has audio of a codec that FFmpeg has no decoder for. Convert it to WAV"),
        (header(bits=33), "has audio of a codec that FFmpeg has no decoder for"),
        (header(bits=32, kind=3, data=np.full(9, 1e30, "<f4").tobytes()), "has samples beyond 2,147,483,648"),
        (header(bits=64, kind=3, data=np.full(9, 1e300, "<f8").tobytes()), "has NaN or infinite samples"),
        (header()[:44], "promises 64000 bytes of samples in its header, but holds 0"),
        (header()[:30], "is not a recording"),
        (b"ffconcat version 1.0\nfile 'other.wav'\n", "is not a recording"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.wav\n#EXT-X-ENDLIST\n", "is not a recording"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", "has neither audio nor video"),
        (bytes(100_000), "is not a recording"),
    ],
)
def test_what_costs_too_much_or_is_no_audio_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    sf.write(tmp_path / "other.wav", wave(16000), 16000)
    (tmp_path / "a.wav").write_bytes(content)

    for read in (lambda path: read_audio(path, 16000), decode):
        with pytest.raises(MediaError, match=rf"^'[^\n]*a\.wav':? {message}[^\n]*$"):
            read(tmp_path / "a.wav")
        if b"\n" not in content:  # FFmpeg knows playlists and subtitles by other names, too
            with pytest.raises(MediaError, match=rf"^'a\.wav':? {message}[^\n]*$"):
                read(EncodedRecording(content, "a.wav"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "suffix",
    ["wav", "mp3", "au", "snd", "gsm", "vox", "g722", "g729", "sln", "ul", "al", "sw", "sb", "daud", "raw", "tco"],
)
def test_text_is_no_sound_whatever_its_name(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("Hello. This is a transcript.\n" * 300)

    for read in (probe, lambda file: read_audio(file, 16000)):
        with pytest.raises(MediaError, match=rf"a\.{suffix}' (is not a recording|cannot be decoded)"):
            read(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".ogg", ".m4a", ".flac", ".webm"])
def test_decoders_write_nothing_to_the_terminal(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in {".m4a", ".webm"}:
        encode(path, "aac" if suffix == ".m4a" else "libopus", 48000, wave(48000))
    elif suffix == ".mp3":
        mp3(path, wave(16000), 16000)
    else:
        sf.write(path, wave(16000), 16000)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    noise = generator.bytes(1000)
    broken = [whole[: len(whole) // 2], whole[:200], noise * 9, tag(noise) + noise, whole[:300] + noise + whole[1300:]]

    for content in broken:
        path.write_bytes(content)
        with suppress(MediaError):
            read_audio(path, 16000)

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder", "loop", "zero"])
def test_what_is_no_file_is_refused_and_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.wav"
    make: dict[str, Callable[[], Any]] = {
        "fifo": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "loop": lambda: path.symlink_to(path),
    }
    expected = {
        "fifo": "is no file but a pipe. Write its content to a file first",
        "socket": "is no file but a socket",
        "device": "is no file but a device",
        "folder": "Is a directory",
        "loop": "Too many levels of symbolic links",
        "zero": "embedded null byte",
    }
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "socket":
            os.chdir(tmp_path)  # the path of a socket may be no longer than 107 bytes
            server.bind("a.wav")
        elif kind == "zero":
            path = tmp_path / "a\0.wav"
        else:
            make[kind]()

        for read in (probe, lambda file: read_audio(file, 16000)):
            with pytest.raises(MediaError, match=expected[kind]):
                read(path)


def test_an_utterance_may_be_four_hours_long_and_a_recording_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "LONGEST_S", 2)
    sf.write(tmp_path / "a.flac", np.zeros(16000 * 9, np.int16), 16000)
    encode(tmp_path / "a.aac", "aac", 16000, wave(16000, 4.0))

    assert len(read_audio(tmp_path / "a.flac", 16000, 6.0, 8.0)) == 32000
    for path, end_s in ((tmp_path / "a.flac", None), (tmp_path / "a.flac", 8.5), (tmp_path / "a.aac", None)):
        with pytest.raises(MediaError, match=r"': an utterance of 0\.0 hours, expected at most 0\. Give a transcript"):
            read_audio(path, 16000, end_s=end_s)
    with pytest.raises(MediaError, match=r"'waveform of 3\.000 s': an utterance"):
        read_audio(Waveform(wave(16000), 16000), 16000)


def test_a_recording_that_memory_does_not_hold_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "_MOST_SAMPLES", 16000)
    sf.write(tmp_path / "a.wav", np.zeros((16000, 2)), 16000)

    with pytest.raises(
        MediaError, match=r"a\.wav' has 2 channels of 16000 Hz, of which at most 0 s are held in memory"
    ):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -5.0, 1e300, 0.0])
def test_a_duration_that_is_none_is_counted(tmp_path: Path, seconds: float) -> None:
    encode(tmp_path / "a.mka", "flac", 16000, wave(16000))
    edited(tmp_path / "a.mka", (b"\x44\x89\x88", 0, struct.pack(">d", seconds)))

    assert_read(tmp_path / "a.mka", wave(16000), 16000)


def test_the_first_of_several_tracks_that_can_be_decoded_is_read_with_a_note(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        tracks: list[Any] = [file.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(3)]
        for number, track in enumerate(tracks):
            samples = (wave(16000)[None] * 2**15 / (number + 1)).astype(np.int16)
            block = av.AudioFrame.from_ndarray(samples, layout="mono")
            block.sample_rate, block.pts = 16000, 0
            file.mux(track.encode(block))
    assert_read(tmp_path / "a.mkv", wave(16000), 16000)
    assert probe(tmp_path / "a.mkv").notes == ("it has 3 audio tracks: number 1 is read",)
    third = Track(tmp_path / "a.mkv", 3)
    np.testing.assert_allclose(read_audio(third, 16000), wave(16000) / 3, atol=1e-4)
    np.testing.assert_allclose(read_audio(Channel(third, 0), 16000, 0.2, 0.4), wave(16000)[3200:6400] / 3, atol=1e-4)
    assert recording_hash(third) != recording_hash(tmp_path / "a.mkv")
    with pytest.raises(MediaError, match="has 3 audio tracks, no number 4"):
        read_audio(Track(tmp_path / "a.mkv", 4), 16000)

    edited(tmp_path / "a.mkv", (b"A_PCM/INT/LIT", -13, b"A_PCX/ZZZ/LIT"))

    assert_read(tmp_path / "a.mkv", wave(16000) / 2, 16000)
    assert probe(tmp_path / "a.mkv").notes == ("it has 3 audio tracks: number 2 is read",)


@pytest.mark.parametrize("change", ["rate", "channels"])
def test_a_rate_or_a_number_of_channels_that_changes_within_a_file_is_an_error(tmp_path: Path, change: str) -> None:
    other = np.stack([wave(16000)] * 2, axis=1) if change == "channels" else wave(22050)
    encode(tmp_path / "a.aac", "aac", 16000, wave(16000))
    encode(tmp_path / "b.aac", "aac", 16000 if change == "channels" else 22050, other)
    join([tmp_path / "a.aac", tmp_path / "b.aac"], tmp_path / "c.aac")

    for read in (probe, decode):
        with pytest.raises(MediaError, match=r"c\.aac' changes from 16000 Hz, 1 channels to .*Convert it to one"):
            read(tmp_path / "c.aac")


def test_a_wav_behind_a_tag_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    sf.write(buffer, wave(16000), 16000, format="WAV")
    (tmp_path / "a.wav").write_bytes(tag(b"TIT2\0\0\0\2\0\0\0a") + buffer.getvalue())

    assert_read(tmp_path / "a.wav", wave(16000), 16000)


def test_a_damaged_sample_dump_writes_nothing_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sf.write(tmp_path / "a.sds", wave(8000), 8000)
    edited(tmp_path / "a.sds", (5000, 0, bytes(3000)))

    with suppress(MediaError):
        read_audio(tmp_path / "a.sds", 8000)

    assert capfd.readouterr() == ("", "")


def test_frames_of_a_video_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(tmp_path / "a.mkv", "pcm_s16le", 16000, wave(16000), pictures=10)
    monkeypatch.setattr(video, "_MOST_BYTES", 10_000)

    assert video.video_frames(tmp_path / "a.mkv", [0.0] * 6).shape == (6, 16, 32, 3)
    with pytest.raises(MediaError, match=r"7 frames of 512 pixels of '.*a\.mkv' take more than"):
        video.video_frames(tmp_path / "a.mkv", [0.0] * 7)


def test_a_frame_larger_than_8k_is_not_decoded(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mov"), "w") as file:
        track: Any = file.add_stream("png", rate=1)
        track.width = track.height = 16
        track.pix_fmt = "rgb24"
        file.mux(track.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        file.mux(track.encode(None))
    assert video.video_frames(tmp_path / "a.mov", [0.0]).shape == (1, 16, 16, 3)
    size = struct.pack(">II", 16_000, 16_000)
    checksum = struct.pack(">I", zlib.crc32(b"IHDR" + size + b"\x08\x02\0\0\0"))
    edited(tmp_path / "a.mov", (b"IHDR", 0, size), (b"IHDR", 13, checksum))

    with pytest.raises(
        MediaError, match=r"a\.mov' has frames that cannot be decoded .* with at most 35,389,440 pixels"
    ):
        video.video_frames(tmp_path / "a.mov", [0.0])


def test_video_without_a_decoder_and_with_any_metadata(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mov"), "w") as file:
        file.metadata["title"] = "ABCDEFGH"
        track: Any = file.add_stream("png", rate=1)
        track.width = track.height = 16
        track.pix_fmt = "rgb24"
        file.mux(track.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        file.mux(track.encode(None))
    edited(tmp_path / "a.mov", (b"ABCDEFG", -7, b"\xe9\xfc\xff\xfe\xc4\xd6\xdc"))
    assert video.video_frames(tmp_path / "a.mov", [0.0]).shape == (1, 16, 16, 3)

    edited(tmp_path / "a.mov", (b"stsd", 12, b"zzzz"))

    with pytest.raises(MediaError, match=r"a\.mov' has video of a codec that FFmpeg has no decoder for"):
        video.video_frames(tmp_path / "a.mov", [0.0])
