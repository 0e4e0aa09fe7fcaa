"""Signals whose spectrum is known: pure tones, an impulse and noise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from merkit.core.errors import MediaError
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.core.view import Speaking
from merkit.views.perturb import at_pitch, at_speed, in_room, stretched, with_noise

RATE_HZ = 16_000


def tone(frequency_hz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def frequency_hz(samples: np.ndarray) -> float:
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    return float(spectrum.argmax() * RATE_HZ / (8 * len(middle)))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    found = at_speed(tone(), factor)

    assert len(found) == pytest.approx(RATE_HZ / factor, abs=2)
    assert frequency_hz(found) == pytest.approx(440.0 * factor, rel=0.005)


@pytest.mark.parametrize("semitones", [-4.0, 3.0])
def test_pitch_changes_alone(semitones: float) -> None:
    found = at_pitch(tone(), semitones)

    assert len(found) == RATE_HZ
    assert frequency_hz(found) == pytest.approx(440.0 * 2 ** (semitones / 12), rel=0.005)


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_stretching_keeps_the_pitch_and_the_level(factor: float) -> None:
    found = stretched(tone(), factor)

    assert len(found) == pytest.approx(RATE_HZ * factor, abs=700)  # a window
    assert frequency_hz(found) == pytest.approx(440.0, rel=0.005)
    middle = found[len(found) // 4 : 3 * len(found) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)  # bins of one tone drift apart


def test_a_room_dies_away_in_the_asked_time() -> None:
    impulse = np.zeros(RATE_HZ, dtype=np.float32)
    impulse[0] = 1.0
    answers = [in_room(impulse, 0.5, np.random.default_rng(seed)) for seed in range(20)]
    tail = np.mean([answer[1 : RATE_HZ // 2] ** 2 for answer in answers], axis=0)
    direct = np.mean([answer[0] ** 2 for answer in answers])

    early, late = tail[:400].mean(), tail[3_600:4_400].mean()  # half of 0.5 s later: 30 dB

    assert 10 * np.log10(early / late) == pytest.approx(30.0 - 30.0 * 200 / 4_000, abs=1.5)
    assert direct / tail.sum() == pytest.approx(1.0, rel=0.05)
    assert not in_room(impulse, 0.5, np.random.default_rng(0))[RATE_HZ // 2 + 1 :].max() > 1e-6


def test_noise_is_as_loud_as_asked() -> None:
    samples = tone()

    noise = with_noise(samples, 20.0, np.random.default_rng(0)) - samples

    ratio = np.mean(samples**2) / np.mean(noise.astype(np.float64) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(20.0, abs=0.2)


def speaking(folder: Path, samples: np.ndarray, seed: int = 0, **part: float) -> Speaking:
    soundfile.write(folder / "u.wav", samples, RATE_HZ, subtype="FLOAT")
    return Speaking(Turn(Utterance("u", "c", 0, "anna", audio="u.wav", **part), (), folder), None, None, seed)


@pytest.fixture
def perturbed(tmp_path: Path) -> Callable[..., np.ndarray]:
    def make(
        samples: np.ndarray, seed: int = 0, part: dict[str, float] | None = None, **settings: object
    ) -> np.ndarray:
        spec = load("views", "perturb")
        engine = spec.build(spec.config(**settings))
        return np.asarray(engine.speak(speaking(tmp_path, samples, seed, **(part or {}))))

    return make


def test_the_engine_draws_from_the_seed_and_stays_within_full_scale(perturbed: Callable[..., np.ndarray]) -> None:
    first, again, other = (perturbed(3 * tone(), seed, gain_db=20.0) for seed in (1, 1, 2))

    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert max(np.abs(first).max(), np.abs(other).max()) <= 0.99 + 1e-6


def test_each_change_may_be_left_out(perturbed: Callable[..., np.ndarray]) -> None:
    off = {"speed": 0.0, "pitch": 0.0, "gain_db": 0.0, "noise_db": (), "room_s": 0.0}

    assert np.array_equal(perturbed(tone(), **off), tone())
    assert len(perturbed(tone(), **{**off, "speed": 0.3})) != RATE_HZ
    for key, value in (("pitch", 4.0), ("gain_db", 6.0), ("noise_db", (10.0, 20.0)), ("room_s", 0.5)):
        found = perturbed(tone(), **{**off, key: value})
        assert len(found) == RATE_HZ, key
        assert np.abs(found - tone()).max() > 1e-3, key


def test_a_part_of_a_recording_is_perturbed_alone(perturbed: Callable[..., np.ndarray]) -> None:
    found = perturbed(tone(seconds=2.0), part={"start_s": 0.5, "end_s": 1.0}, speed=0.0)

    assert len(found) == RATE_HZ // 2


def test_a_missing_recording_is_told_with_the_utterance(tmp_path: Path) -> None:
    spec = load("views", "perturb")
    turn = Turn(Utterance("u7", "c", 0, "anna", audio="nowhere.wav"), (), tmp_path)

    with pytest.raises(MediaError, match="'u7'"):
        spec.build(spec.config()).speak(Speaking(turn, None, None, 0))
