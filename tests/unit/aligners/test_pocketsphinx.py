"""PocketSphinx on speech whose true times are known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.miniature import write_tone

from merkit.aligners.pocketsphinx import SPEC, PocketSphinxConfig
from merkit.core.alignment import Aligner
from merkit.core.errors import ConfigError, UnalignableError
from merkit.core.types import Turn, Utterance
from merkit.corpora._parley_voice import RATE_HZ, Manner, Speech, Voice, speak

pytest.importorskip("pocketsphinx")
TEXT = "The parcel arrived on Monday morning"


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    made: Aligner = SPEC.build(PocketSphinxConfig())
    return made


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Speech]:
    speech = speak(TEXT.split(), Voice("en-us+m3", "male"), Manner(50, 50, 150, 100))
    folder = tmp_path_factory.mktemp("speech")
    soundfile.write(folder / "a.wav", 0.5 * speech.samples, RATE_HZ, subtype="PCM_16")
    return folder, speech


def turn(folder: Path, text: str, audio: str = "a.wav") -> Turn:
    return Turn(Utterance("u1", "c", 0, "", text=text, audio=audio), (), folder)


def test_words_are_where_they_were_spoken(aligner: Aligner, spoken: tuple[Path, Speech]) -> None:
    folder, speech = spoken

    found = aligner.align(turn(folder, f"{TEXT}."))

    assert [each.label for each in found["word"]] == TEXT.lower().split()
    slips = [abs(a.start_s - b.start_s) for a, b in zip(found["word"], speech.words, strict=True)]
    assert sorted(slips)[len(slips) // 2] < 0.05
    assert max(slips) < 0.15
    assert [each.label for each in found["phone"]][:2] == ["DH", "AH"]
    assert len(found["syllable"]) == len("the par cel ar rived on mon day morn ing".split())  # noqa: SIM905 (a sentence)


def test_a_boundary_lies_where_its_frame_is_heard(aligner: Aligner, spoken: tuple[Path, Speech]) -> None:
    found = aligner.align(turn(spoken[0], TEXT))

    places = [each.start_s / 0.01 for each in found["phone"]][1:]
    assert places
    # by hand: windows of 25.625 ms every 10 ms, so that a frame's own 10 ms begin 7.8125 ms after its window
    assert np.mod(places, 1.0) == pytest.approx(0.78125, abs=0.01)


def test_a_word_after_a_pause_does_not_begin_with_the_pause(aligner: Aligner, tmp_path: Path) -> None:
    text = "We won, the match is over"
    speech = speak(text.split(), Voice("en-us+m7", "male"), Manner(50, 50, 150, 100))
    noise = 0.004 * np.random.default_rng(0).standard_normal(len(speech.samples))
    soundfile.write(tmp_path / "a.wav", 0.5 * speech.samples + noise, RATE_HZ, subtype="PCM_16")
    won, the = speech.words[1:3]
    assert the.start_s - won.end_s > 0.2

    found = aligner.align(turn(tmp_path, text))["word"]

    assert found[1].end_s == pytest.approx(won.end_s, abs=0.1)
    assert found[2].start_s == pytest.approx(the.start_s, abs=0.05)


def test_an_alignment_depends_on_no_other_and_is_the_same_twice(aligner: Aligner, spoken: tuple[Path, Speech]) -> None:
    folder, _ = spoken
    first = aligner.align(turn(folder, TEXT))
    write_tone(folder / "tone.wav", 300.0, 1.0)
    with pytest.raises(UnalignableError):
        aligner.align(turn(folder, "supercalifragilistic", "tone.wav"))

    assert aligner.align(turn(folder, TEXT)) == first


def test_a_word_outside_the_dictionary_is_named_and_can_be_given(spoken: tuple[Path, Speech], tmp_path: Path) -> None:
    folder, _ = spoken
    own = tmp_path / "own.dict"
    own.write_text("parzel P AA R S AH L\n")
    text = TEXT.replace("parcel", "parzel")

    with pytest.raises(UnalignableError, match="'parzel' is not in the dictionary"):
        SPEC.build(PocketSphinxConfig()).align(turn(folder, text))
    found = SPEC.build(PocketSphinxConfig(dictionary=str(own))).align(turn(folder, text))
    assert [each.label for each in found["word"]][1] == "parzel"


def test_a_dictionary_with_mistakes_is_an_error(spoken: tuple[Path, Speech], tmp_path: Path) -> None:
    folder, _ = spoken
    (tmp_path / "own.dict").write_text("parzel\n")

    with pytest.raises(ConfigError, match="line 1: 'parzel' found, expected a word and its phones"):
        SPEC.build(PocketSphinxConfig(dictionary=str(tmp_path / "own.dict"))).align(turn(folder, TEXT))
    with pytest.raises(ConfigError, match="no file"):
        SPEC.build(PocketSphinxConfig(dictionary=str(tmp_path / "none.dict")))
