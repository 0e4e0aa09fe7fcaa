"""Courses of pitch and intensity, held against tones whose pitch and level are known."""

import numpy as np
import pytest
import torch

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderHome
from merkit.encoders.contours import SPEC, ContoursConfig, contours

pytest.importorskip("parselmouth", reason="needs the extra prosody")
RATE = 16_000


def tone(pitch_hz: float, seconds: float, level: float = 0.1) -> np.ndarray:
    """Return a tone of ten harmonics, as a voice has them."""
    time = np.arange(round(seconds * RATE)) / RATE
    return level * sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 11))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


@pytest.mark.parametrize(("pitch_hz", "semitones"), [(100.0, 0.0), (200.0, 12.0), (400.0, 24.0)])
def test_a_tone_has_its_pitch_in_semitones_above_100_hz(pitch_hz, semitones):
    found = contours(tone(pitch_hz, 1.0), RATE, relative=False)

    assert found.shape == (100, 3)
    np.testing.assert_allclose(found[10:90, 0], semitones, atol=0.05)
    assert (found[10:90, 2] == 1).all()


def test_twice_the_pressure_is_6_db_more_in_its_place_and_silence_has_no_pitch():
    sound = np.concatenate([tone(150.0, 0.5), silence(0.5), tone(150.0, 0.5, level=0.2)])

    found = contours(sound, RATE, relative=False)

    quiet, loud = found[15:35], found[115:135]
    np.testing.assert_allclose(loud[:, 1].mean() - quiet[:, 1].mean(), 20 * np.log10(2), atol=0.1)
    assert np.isnan(found[60:90, 0]).all()
    assert not found[60:90, 2].any()


def test_relative_to_the_recording_voice_and_distance_are_gone():
    def rising(pitch_hz: float, level: float) -> np.ndarray:
        low, high = (tone(pitch_hz * factor, 0.5, level * factor) for factor in (1.0, 1.2))
        return contours(np.concatenate([low, low, high]), RATE, relative=True)

    here, there = rising(110.0, 0.1), rising(220.0, 0.01)
    inside = [*range(10, 90), *range(110, 140)]

    np.testing.assert_allclose(here[inside, :2], there[inside, :2], atol=0.15)
    np.testing.assert_allclose(here[120:140, 0], 12 * np.log2(1.2), atol=0.05)  # the median is that of the longer part


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (160, 1), (161, 2), (1_279, 8), (1_280, 8)])
def test_there_is_a_frame_for_every_10_ms_begun_and_never_none(samples, frames):
    found = contours(tone(150.0, 1.0)[:samples], RATE, relative=True)

    assert found.shape == (frames, 3)
    assert np.isfinite(found[:, 2]).all()
    assert np.isnan(found[:, :2]).all() == (samples < 1_280)


def test_a_frame_stands_for_its_middle():
    # a glide of 24 semitones a second: a shift by one frame would be 0.24 semitones, by half a frame 0.12
    seconds = np.arange(RATE) / RATE
    phase = 2 * np.pi * np.cumsum(100 * 2 ** (2 * seconds)) / RATE
    glide = sum(np.sin(k * phase) / k for k in range(1, 6))
    encoder = SPEC.build(ContoursConfig(), "audio", EncoderHome())

    found = contours(0.1 * glide, RATE, relative=False)

    times = encoder.centre_s + encoder.hop_s * np.arange(len(found))
    assert abs((found[20:80, 0] - 24 * times[20:80]).mean()) < 0.05


def test_what_is_undefined_becomes_the_training_mean():
    encoder = SPEC.build(ContoursConfig(), "audio", EncoderHome())
    encoder.fit([np.array([[1.0, 50.0, 1.0], [3.0, 70.0, 0.0]])])

    data = torch.tensor([[[np.nan, 60.0, 1.0], [3.0, 70.0, 0.0], [np.nan] * 3]])
    output = encoder(Padded(data, torch.tensor([[True, True, False]])))

    torch.testing.assert_close(output.data, torch.tensor([[[0.0, 0.0, 1.0], [1.0, 1.0, -1.0], [0.0, 0.0, 0.0]]]))
