"""The outline of a recording."""

import base64
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from merkit.core.waveform import Waveform
from merkit.timeline import peaks
from merkit.timeline.peaks import peaks_of


def test_each_peak_is_the_loudest_sample_of_its_stretch(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    samples = generator.uniform(-0.5, 0.5, size=(2, 44_100 * 2))
    samples[1, 12_345] = -1.0  # in stretch 13 of 882 samples
    sf.write(tmp_path / "a.wav", samples.T, 44_100, subtype="FLOAT")

    found = peaks_of(tmp_path / "a.wav")

    expected = np.abs(samples).max(axis=0).reshape(100, 882).max(axis=1)
    assert found.per_s == 50
    assert np.abs(found.values / 255 - expected).max() < 1 / 255
    assert int(np.argmax(found.values)) == 13
    assert np.frombuffer(base64.b64decode(found.base64()), np.uint8).tolist() == found.values.tolist()
    assert peaks_of(Waveform(samples.astype(np.float32), 44_100)).values.tolist() == found.values.tolist()


def test_a_long_recording_has_fewer_peaks_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "MOST", 40)
    samples = np.linspace(0, 1, 16_000 * 4)

    found = peaks_of(Waveform(samples, 16_000))

    assert found.per_s == 10
    assert np.abs(found.values / 255 - samples.reshape(40, 1600).max(axis=1)).max() < 1 / 255
    assert found.fewer(10).tolist() == found.values.reshape(10, 4).max(axis=1).tolist()


def test_silence_has_no_peak() -> None:
    assert not peaks_of(Waveform(np.zeros(1600), 16_000)).values.any()
