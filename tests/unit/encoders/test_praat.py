import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderConfig, EncoderHome
from merkit.core.errors import MediaError, MerkitError
from merkit.core.types import Turn, Utterance
from merkit.encoders.praat import COLUMNS, SPEC, prosody

pytest.importorskip("parselmouth", reason="the extra 'prosody' is not installed")
RATE = 16_000


def build():
    return SPEC.build(EncoderConfig(), "audio", EncoderHome())


def tone(seconds: float, pitch_hz: float = 200.0, level: float = 0.1) -> np.ndarray:
    """A buzz of five harmonics, as a voice has them."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 6))).astype(np.float32)


def syllables(count: int, each_s: float = 0.15, gap_s: float = 0.1) -> np.ndarray:
    """Buzzes that swell and fade, with quiet between: one intensity peak each."""
    swell = np.hanning(round(each_s * RATE)).astype(np.float32)
    quiet = tone(gap_s, level=0.001)
    return np.concatenate([quiet, *(part for _ in range(count) for part in (tone(each_s) * swell, quiet))])


def test_a_steady_tone_has_its_pitch_its_level_and_no_variation():
    measures = dict(zip(COLUMNS, prosody(tone(1.0, 150.0), RATE), strict=True))

    assert measures["duration"] == 1.0
    assert measures["avg_pitch"] == pytest.approx(150.0, abs=0.5)
    assert measures["pitch_std"] < 1.0
    assert measures["pitch_range"] < 3.0
    power = np.mean(tone(1.0, 150.0).astype(np.float64) ** 2)
    assert measures["avg_intensity"] == pytest.approx(
        10 * np.log10(power / 2e-5**2), abs=0.2
    )  # dB above 20 micropascal
    assert measures["intensity_variation"] < 0.5
    assert measures["mean_hnr"] > 20.0


def test_twice_the_amplitude_is_six_decibels_and_changes_nothing_else():
    quiet, loud = prosody(syllables(5), RATE), prosody(2 * syllables(5), RATE)

    difference = dict(zip(COLUMNS, loud - quiet, strict=True))
    assert difference.pop("avg_intensity") == pytest.approx(20 * np.log10(2), abs=0.01)
    assert difference == pytest.approx(dict.fromkeys(difference, 0.0), abs=0.01)


def test_a_pitch_that_jumps_has_its_range_and_deviation():
    measures = dict(zip(COLUMNS, prosody(np.concatenate([tone(1.0, 150.0), tone(1.0, 250.0)]), RATE), strict=True))

    assert measures["avg_pitch"] == pytest.approx(200.0, abs=3.0)
    assert measures["pitch_std"] == pytest.approx(50.0, abs=3.0)
    assert measures["pitch_range"] == pytest.approx(100.0, abs=3.0)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_syllables_are_counted(count):
    sound = syllables(count)

    rate = prosody(sound, RATE)[COLUMNS.index("articulation_rate")]

    assert rate * len(sound) / RATE == pytest.approx(count, rel=0.02)


def test_a_pause_does_not_slow_the_articulation():
    pause = np.zeros(2 * RATE, dtype=np.float32)
    paused = np.concatenate([syllables(4), pause, syllables(4)])

    fluent, with_pause = (prosody(sound, RATE)[COLUMNS.index("articulation_rate")] for sound in (syllables(8), paused))

    assert with_pause == pytest.approx(fluent, rel=0.15)


def test_noise_without_voice_has_no_pitch_and_no_syllable():
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)

    measures = dict(zip(COLUMNS, prosody(noise, RATE), strict=True))

    assert np.isnan(measures["avg_pitch"])
    assert (measures["pitch_std"], measures["pitch_range"]) == (0.0, 0.0)
    assert np.isnan(measures["articulation_rate"])
    assert measures["mean_hnr"] < 5.0


def test_bursts_of_noise_are_no_syllables():
    voiced = syllables(4)
    hissed = voiced * np.sign(np.random.default_rng(0).standard_normal(len(voiced))).astype(np.float32)

    found, none = (prosody(sound, RATE)[COLUMNS.index("articulation_rate")] for sound in (voiced, hissed))

    assert found > 0
    assert np.isnan(none)


def test_digital_silence_is_0_db_and_undefined_otherwise():
    measures = dict(zip(COLUMNS, prosody(np.zeros(RATE), RATE), strict=True))

    assert (measures["avg_intensity"], measures["intensity_variation"]) == (0.0, 0.0)
    assert [name for name in COLUMNS if np.isnan(measures[name])] == ["avg_pitch", "articulation_rate", "mean_hnr"]


@pytest.mark.parametrize("samples", [0, 1, 500, 1279, 1280, 1500, 2079, 2080, 2100])
def test_very_short_sounds_are_measured_as_far_as_they_go(samples):
    measures = prosody(tone(1.0)[:samples], RATE)

    assert measures[0] == samples / RATE
    assert np.isfinite(measures[1]) == (samples >= 1280)
    assert not np.isinf(measures).any()


def test_measures_stay_in_order_and_blank_has_their_shape(record):
    encoder = build()

    low, high = encoder.extract([record(tone(0.5, 120.0), "a"), record(tone(0.5, 240.0), "b")])

    assert low.dtype == np.float32
    assert low.shape == high.shape == encoder.blank().shape == (1, encoder.dim) == (1, 8)
    assert (low[0, 3], high[0, 3]) == pytest.approx((120.0, 240.0), abs=1.0)


def test_a_part_of_a_recording_is_measured_alone_and_has_its_own_content(record):
    encoder = build()
    whole = np.concatenate([tone(1.0, 120.0), tone(1.0, 240.0)])
    parts = [record(whole, start_s=0.0, end_s=1.0), record(whole, start_s=1.0, end_s=None)]

    first, second = encoder.extract(parts)

    assert (first[0, 3], second[0, 3]) == pytest.approx((120.0, 240.0), abs=1.0)
    assert encoder.content(parts[0]) != encoder.content(parts[1])
    assert [encoder.duration_s(part) for part in parts] == pytest.approx([1.0, 1.0])


def test_an_utterance_without_sound_lacks_the_modality_and_a_missing_file_is_an_error(tmp_path):
    encoder = build()
    silent, lost = Utterance("a", "c", 0, "s"), Utterance("b", "c", 1, "s", audio="lost.wav")

    assert encoder.content(Turn(silent, (), tmp_path)) is None
    with pytest.raises(MerkitError, match=r"lost\.wav"):
        encoder.content(Turn(lost, (), tmp_path))


def test_an_unreadable_recording_names_the_utterance(tmp_path):
    (tmp_path / "b.wav").write_text("no sound")

    with pytest.raises(MediaError, match="'u7'"):
        build().extract([Turn(Utterance("u7", "c", 0, "s", audio="b.wav"), (), tmp_path)])


def test_undefined_measures_become_the_training_mean_and_padding_stays_out():
    encoder = build()
    rows = [np.full((1, 8), value) for value in (1.0, 3.0)]
    encoder.fit(rows)
    data = torch.full((1, 2, 8), 1000.0)
    data[0, 0] = torch.tensor([3.0, *[torch.nan] * 7])

    output = encoder(Padded(data, torch.tensor([[True, False]])))

    assert output.data.tolist() == [[[1.0] + [0.0] * 7, [0.0] * 8]]
    assert all(first.data_ptr() != second.data_ptr() for first, second in pairwise([data, output.data]))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "parselmouth", None)

    with pytest.raises(MerkitError, match=r"pip install 'merkit\[prosody\]'"):
        prosody(tone(1.0), RATE)
