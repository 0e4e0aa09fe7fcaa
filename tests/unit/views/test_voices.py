"""Engines that take a donor's voice: what Praat measures in the result is what it measures in the donor."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.core.view import Speaking
from merkit.corpora._parley_voice import Manner, Voice, speak
from merkit.views._audio import level, pitch_hz

WORDS = ["this", "is", "how", "it", "sounds", "today"]


def said(folder: Path, name: str, throat: str, pitch: int, rate_wpm: int = 170, volume: int = 100) -> Turn:
    samples = speak(WORDS, Voice(throat, ""), Manner(pitch, 40, rate_wpm, volume)).samples
    soundfile.write(folder / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    return Turn(Utterance(name, name, 0, name, text=" ".join(WORDS), audio=f"{name}.wav"), (), folder)


def samples_of(turn: Turn) -> np.ndarray:
    return np.asarray(soundfile.read(turn.root / str(turn.utterance.audio), dtype="float32")[0])


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Turn]:
    folder = tmp_path_factory.mktemp("said")
    return {
        "man": said(folder, "man", "gmw/en-US+m3", 40, volume=60),
        "woman": said(folder, "woman", "gmw/en-US+f2", 60, rate_wpm=240),
    }


@pytest.mark.parametrize(("own", "donor"), [("man", "woman"), ("woman", "man")])
def test_a_recording_moves_to_the_donor_s_pitch_and_level_and_keeps_its_length(
    turns: dict[str, Turn], own: str, donor: str
) -> None:
    spec = load("views", "voice")

    found = spec.build(spec.config()).speak(Speaking(turns[own], None, turns[donor], 0))

    wanted = np.median(pitch_hz(samples_of(turns[donor])))
    before = np.median(pitch_hz(samples_of(turns[own])))
    assert abs(np.log2(before / wanted)) > 0.3
    assert np.log2(np.median(pitch_hz(found)) / wanted) == pytest.approx(0.0, abs=0.08)  # a semitone
    assert level(found) == pytest.approx(level(samples_of(turns[donor])), rel=0.02)
    assert len(found) == pytest.approx(len(samples_of(turns[own])), abs=200)


def test_without_a_voiced_frame_only_the_level_changes(turns: dict[str, Turn], tmp_path: Path) -> None:
    hiss = np.random.default_rng(0).normal(0, 1e-3, 8_000).astype(np.float32)
    soundfile.write(tmp_path / "hiss.wav", hiss, 16_000, subtype="FLOAT")
    whisper = Turn(Utterance("hiss", "hiss", 0, "x", audio="hiss.wav"), (), tmp_path)
    assert len(pitch_hz(hiss)) == 0
    spec = load("views", "voice")

    found = spec.build(spec.config()).speak(Speaking(whisper, None, turns["man"], 0))

    np.testing.assert_allclose(found / level(found), hiss / level(hiss), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("donor", "throats"), [("man", "m7"), ("man", "f1 m7"), ("woman", "f1"), ("woman", "m7 f1")])
def test_espeak_speaks_the_words_at_the_donor_s_pitch_and_level(
    turns: dict[str, Turn], donor: str, throats: str
) -> None:
    spec = load("views", "espeak")
    engine = spec.build(spec.config(voices=[f"gmw/en-US+{throat}" for throat in throats.split()]))

    found = engine.speak(Speaking(turns["man"], "so we go on and on today", turns[donor], 2))
    again = engine.speak(Speaking(turns["man"], "so we go on and on today", turns[donor], 2))

    wanted = np.median(pitch_hz(samples_of(turns[donor])))
    assert np.array_equal(found, again)
    assert np.log2(np.median(pitch_hz(found)) / wanted) == pytest.approx(0.0, abs=0.12)
    assert level(found) == pytest.approx(level(samples_of(turns[donor])), rel=0.02)


def test_a_faster_donor_makes_a_faster_view(turns: dict[str, Turn]) -> None:
    spec = load("views", "espeak")
    engine = spec.build(spec.config(voices=["gmw/en-US+m7"]))

    slow, fast = (engine.speak(Speaking(turns["man"], " ".join(WORDS), turns[donor], 0)) for donor in ("man", "woman"))

    assert len(fast) < 0.9 * len(slow)


def test_the_seed_draws_the_throat(turns: dict[str, Turn]) -> None:
    spec = load("views", "espeak")
    engine = spec.build(spec.config(voices=["gmw/en-US+m7", "gmw/en-US+m5"]))

    one, other = (engine.speak(Speaking(turns["man"], "well then", turns["man"], seed)) for seed in (0, 1))

    assert len(one) != len(other) or not np.array_equal(one, other)


def test_nothing_to_speak_is_an_error(turns: dict[str, Turn]) -> None:
    spec = load("views", "espeak")

    with pytest.raises(MerkitError, match=r"'man'.*words"):
        spec.build(spec.config()).speak(Speaking(turns["man"], "...", turns["woman"], 0))
