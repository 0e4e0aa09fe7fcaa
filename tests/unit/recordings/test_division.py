"""How a recording becomes utterances, and what an analysis says about it."""

from pathlib import Path

import numpy as np
import pytest
from tests.deciding import recognizer
from tests.networks import write_text_network
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech
from tests.tiny import built

import merkit
from merkit.core.errors import MerkitError
from merkit.core.waveform import Channel
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.division import divide
from merkit.recordings.transcripts import Line

SILENCE = np.zeros(2 * RATE_HZ, np.float32)


def call() -> merkit.Waveform:
    """Return six utterances of one second, in turn on the left and the right channel."""
    silent = np.zeros(RATE_HZ, np.float32)
    left = [part for n in range(3) for part in (speech(1.0, seed=n), silent, silent, silent)]
    right = [part for n in range(3) for part in (silent, silent, speech(1.0, seed=3 + n), silent)]
    return merkit.Waveform(np.stack([np.concatenate(left), np.concatenate(right)]), RATE_HZ)


@pytest.fixture
def text_model(tmp_path: Path) -> Recognizer:
    weights = str(write_text_network(tmp_path / "bert", ["word0"]))
    encoder = {"name": "bert", "weights": weights, "frozen": True}
    return Recognizer(*built("single", {"text": encoder}, ("calm", "cross")))


def test_a_transcript_comes_before_the_recogniser() -> None:
    engine = FakeEngine()

    found = divide(call(), [Line(0.0, 1.0, "Ann", "hello")], "mix", engine=engine, at_pauses=True)

    assert [line for line, _ in found.lines] == [Line(0.0, 1.0, "Ann", "hello")]
    assert engine.heard == []


def test_recognised_lines_are_the_utterances_each_of_its_channel() -> None:
    found = divide(call(), None, "split", engine=FakeEngine(lambda number: [passage(f"word{number}", 0.2, 0.9)]))

    assert found.has_words
    assert [(line.speaker, line.text) for line, _ in found.lines] == [
        ("left", "word0"),
        ("right", "word3"),
        ("left", "word1"),
        ("right", "word4"),
        ("left", "word2"),
        ("right", "word5"),
    ]
    for line, sound in found.lines:
        assert isinstance(sound, Channel)
        assert sound.number == ("left", "right").index(line.speaker)
    assert found.notes == ["Words: recognised by fake; language en (found, probability 0.75)."]


def test_without_words_speech_is_cut_at_pauses() -> None:
    found = divide(call(), None, "split", at_pauses=True)

    assert [line.speaker for line, _ in found.lines] == ["left", "right"] * 3
    assert [line.start_s for line, _ in found.lines] == pytest.approx([0, 2, 4, 6, 8, 10], abs=0.2)
    assert not found.has_words
    assert found.notes == [
        "Without times of words the speech was cut at pauses of 0.6 s, into 6 utterances of at most 15 s; one speaker "
        "per channel is assumed."
    ]


def test_no_recognised_word_and_no_speech_leave_the_recording_whole() -> None:
    silent = merkit.Waveform(SILENCE, RATE_HZ)

    found = divide(silent, None, "mix", engine=FakeEngine(), at_pauses=True)

    assert [line for line, _ in found.lines] == [Line(None, None, "", None)]
    assert found.notes == ["Words: none, since no speech was found (fake)."]


def test_a_model_that_compares_voices_has_utterances_without_a_transcript() -> None:
    result = analyze_recording(recognizer({"unsure_below": 0.0, "least_s": 1.0}), call(), None, "voice", channels="mix")

    assert len(result.segments) == 6
    assert all(segment.label is not None for segment in result.segments)
    assert any("cut at pauses" in note for note in result.notes)


@pytest.mark.parametrize("words", ["what was said in all of it", None])
def test_words_without_times_do_not_keep_a_model_of_sound_from_having_utterances(words: str | None) -> None:
    engine = FakeEngine()

    result = analyze_recording(
        recognizer({"unsure_below": 0.0, "least_s": 1.0}), call(), [Line(None, None, "", words)], "voice", engine=engine
    )

    assert len(result.segments) == 6
    assert all(segment.label is not None for segment in result.segments)
    assert engine.heard == []  # there is a transcript


def test_a_model_that_compares_nothing_reads_the_recording_whole_as_before() -> None:
    model = Recognizer(*built("single", {"audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("calm", "cross")))

    assert len(analyze_recording(model, call(), None, "here").segments) == 1


def test_without_the_speech_check_nothing_is_cut() -> None:
    result = analyze_recording(recognizer(), call(), None, "voice", speech_check=False)

    assert len(result.segments) == 1


def test_a_model_of_text_alone_reads_recognised_words(text_model: Recognizer) -> None:
    result = analyze_recording(text_model, call(), None, "words", engine=FakeEngine())

    assert result.segments[0].text == "word0"
    assert result.segments[0].modalities == ("text",)
    assert "Words: recognised by fake; language en (found, probability 0.75)." in result.notes


def test_a_model_of_text_alone_needs_a_transcript_or_a_recogniser(text_model: Recognizer) -> None:
    with pytest.raises(MerkitError, match=r"give a transcript, or recognise words \(--asr, asr=True\)"):
        analyze_recording(text_model, call(), None, "words")
