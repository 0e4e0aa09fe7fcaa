"""Recordings in memory: waveforms and the bytes of files are read like files."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.unit.data.media.test_audio import FFMPEG, PLAIN, encode, wave

from merkit.core.errors import MediaError
from merkit.core.waveform import Waveform
from merkit.data.media.audio import decode, duration_s, read_audio, recording_hash
from merkit.data.media.sources import EncodedRecording


@pytest.mark.parametrize("name", [*PLAIN, *FFMPEG])
def test_the_bytes_of_a_file_give_the_files_samples(tmp_path: Path, name: str) -> None:
    rate = PLAIN.get(name) or FFMPEG[name][1]
    if name in PLAIN:
        sf.write(tmp_path / name, wave(rate), rate)
    else:
        encode(tmp_path / name, FFMPEG[name][0], rate, wave(rate))

    decoded = decode(EncodedRecording((tmp_path / name).read_bytes()))

    assert decoded.rate_hz == rate
    assert np.array_equal(np.atleast_2d(decoded.samples)[0], read_audio(tmp_path / name, rate))


@pytest.mark.parametrize(("start_s", "end_s"), [(None, None), (0.4, 0.7), (2.5, None)])
def test_a_waveform_is_read_like_its_file(tmp_path: Path, start_s: float | None, end_s: float | None) -> None:
    stereo = np.stack([wave(44_100), -0.5 * wave(44_100)])
    sf.write(tmp_path / "a.wav", stereo.T, 44_100, subtype="FLOAT")
    waveform = Waveform(stereo, 44_100)

    for channel in (None, 0, 1):
        expected = read_audio(tmp_path / "a.wav", 16_000, start_s, end_s, channel)
        assert np.array_equal(read_audio(waveform, 16_000, start_s, end_s, channel), expected)
    assert duration_s(waveform) == duration_s(tmp_path / "a.wav")


def test_what_is_asked_of_a_waveform_and_not_there_is_an_error() -> None:
    waveform = Waveform(wave(16_000), 16_000)

    with pytest.raises(
        MediaError, match=r"'waveform of 3.000 s' ends at 3.000 s, but the interval from 2.000 s to 5.000 s"
    ):
        read_audio(waveform, 16_000, 2.0, 5.0)
    with pytest.raises(MediaError, match=r"'waveform of 3.000 s' has channels 0 to 0, not 1"):
        read_audio(waveform, 16_000, channel=1)


def test_the_hash_of_a_waveform_is_that_of_its_samples_and_of_a_file_that_of_its_bytes(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", wave(16_000), 16_000)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    one, same, other = (Waveform(wave(16_000) * scale, 16_000) for scale in (1, 1, 2))

    assert recording_hash(one) == recording_hash(same) != recording_hash(other)
    assert recording_hash(tmp_path / "a.wav") == recording_hash(tmp_path / "b.wav")


def test_broken_bytes_are_refused_like_broken_files() -> None:
    buffer = io.BytesIO()
    sf.write(buffer, wave(16_000), 16_000, format="WAV")

    with pytest.raises(MediaError, match=r"'call.wav' is empty \(0 bytes\)"):
        decode(EncodedRecording(b"", "call.wav"))
    with pytest.raises(MediaError, match="'recording' is not a recording that soundfile or FFmpeg can read"):
        decode(EncodedRecording(b"This is a letter, no sound at all."))
    with pytest.raises(MediaError, match="'recording' promises 96000 bytes of samples in its header"):
        decode(EncodedRecording(buffer.getvalue()[:-5000]))
    with pytest.raises(MediaError, match="'recording' holds no samples"):
        decode(EncodedRecording(buffer.getvalue()[:40] + bytes(4)))
    buffer = io.BytesIO()
    sf.write(buffer, np.full(10, np.nan), 16_000, format="WAV", subtype="FLOAT")
    with pytest.raises(MediaError, match=r"'recording' has NaN or infinite samples, the first one at 0.000 s"):
        decode(EncodedRecording(buffer.getvalue()))
