"""How a recording becomes utterances, and what an analysis says about it."""

import re
from pathlib import Path
from typing import Any

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
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line

MIXED = RecordingOptions("mix")
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

    found = divide(call(), [Line(0.0, 1.0, "Ann", "hello")], MIXED, engine=engine)

    assert [line for line, _ in found.lines] == [Line(0.0, 1.0, "Ann", "hello")]
    assert engine.heard == []


def test_recognised_lines_are_the_utterances_each_of_its_channel() -> None:
    found = divide(call(), None, engine=FakeEngine(lambda number: [passage(f"word{number}", 0.2, 0.9)]))

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
    assert found.stages["words"] == "Recognised by fake; language en (found, probability 0.75)."
    assert (
        found.stages["utterances"]
        == "6 recognised lines: each ends at a change of speaker, a pause of 0.8 s, or after 15 s."
    )


def test_without_words_speech_is_cut_at_pauses() -> None:
    found = divide(call(), None, always_cut=True)

    assert [line.speaker for line, _ in found.lines] == ["left", "right"] * 3
    assert [line.start_s for line, _ in found.lines] == pytest.approx([0, 2, 4, 6, 8, 10], abs=0.2)
    assert not found.has_words
    assert "differ" in found.stages["channels"]
    assert found.stages["speakers"] == "One for each channel: left, right."
    assert found.stages["utterances"] == (
        "6 pieces of speech: each ends at a change of speaker, a pause of 0.6 s, or after 15 s."
    )


def test_no_recognised_word_and_no_speech_leave_the_recording_whole() -> None:
    silent = merkit.Waveform(SILENCE, RATE_HZ)

    found = divide(silent, None, engine=FakeEngine(), always_cut=True)

    assert [line for line, _ in found.lines] == [Line(None, None, "", None)]
    assert found.stages["words"] == "None, since no speech was found (fake)."
    assert found.stages["utterances"] == "The whole recording."


def test_a_model_that_compares_voices_has_utterances_without_a_transcript() -> None:
    result = analyze_recording(recognizer({"unsure_below": 0.0, "least_s": 1.0}), call(), None, "voice", MIXED)

    assert len(result.segments) == 6
    assert all(segment.label is not None for segment in result.segments)
    assert list(result.stages) == ["channels", "speech", "speakers", "words", "utterances", "model"]
    assert result.to_dict()["stages"] == dict(result.stages)
    assert result.stages["model"] == "voice reads audio; 6 of 6 utterances labelled."


@pytest.mark.parametrize("words", ["what was said in all of it", None])
def test_words_without_times_do_not_keep_a_model_of_sound_from_having_utterances(words: str | None) -> None:
    engine = FakeEngine()

    model = recognizer({"unsure_below": 0.0, "least_s": 1.0})
    result = analyze_recording(model, call(), [Line(None, None, "", words)], "voice", MIXED, engine=engine)

    assert len(result.segments) == 6
    assert all(segment.label is not None for segment in result.segments)
    assert engine.heard == []  # there is a transcript
    assert result.stages["words"] == "None are read: the transcript has no times, and the model reads sound alone."


def test_an_empty_transcript_is_not_said_to_be_missing() -> None:
    found = divide(call(), [Line(None, None, "", None)], MIXED, engine=FakeEngine())

    assert found.stages["words"] == "None: the transcript has none."
    assert divide(call(), None, MIXED).stages["words"] == "None: there is no transcript, and no recogniser (--asr)."


@pytest.fixture
def plain_model() -> Recognizer:
    return Recognizer(*built("single", {"audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("calm", "cross")))


def test_a_short_recording_of_one_speaker_stays_whole_for_a_model_that_compares_nothing(
    plain_model: Recognizer,
) -> None:
    assert len(analyze_recording(plain_model, call(), None, "here", MIXED).segments) == 1
    assert len(analyze_recording(plain_model, call(), None, "here").segments) == 2  # of two speakers


def test_a_longer_recording_is_cut_for_every_model(plain_model: Recognizer) -> None:
    sound = np.concatenate([call().samples.mean(axis=0), np.zeros(5 * RATE_HZ, np.float32)])

    result = analyze_recording(plain_model, merkit.Waveform(sound, RATE_HZ), None, "here")

    assert len(result.segments) == 6
    assert result.stages["speech"].startswith("Silero VAD found ")


def test_without_the_speech_check_nothing_is_cut() -> None:
    result = analyze_recording(recognizer(), call(), None, "voice", RecordingOptions("mix", speech_check=False))

    assert len(result.segments) == 1
    assert result.stages["speech"] == "Not looked for: all sound is read that the model reads."


def test_sound_without_speech_stays_one_utterance_however_long(plain_model: Recognizer) -> None:
    """The detector hears a syllable in music now and then; 60 times 0.1 s in a minute are speech, one is none."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(30 * RATE_HZ).astype(np.float32)
    noise[RATE_HZ : RATE_HZ + 1600] += speech(0.1)

    result = analyze_recording(plain_model, merkit.Waveform(noise, RATE_HZ), None, "here")

    assert [(segment.label, segment.reason) for segment in result.segments] == [(None, "no speech")]


RTTM = """SPEAKER call 1 0.00 1.00 <NA> <NA> ann <NA> <NA>
SPEAKER call 1 2.00 1.00 <NA> <NA> bob <NA> <NA>
SPEAKER call 1 4.00 4.90 <NA> <NA> ann <NA> <NA>
SPEAKER call 1 9.60 1.60 <NA> <NA> bob <NA> <NA>
SPEAKER other 1 0.00 90.00 <NA> <NA> zoe <NA> <NA>
"""


def test_a_file_names_the_speakers_of_a_mixed_call(tmp_path: Path) -> None:
    file = tmp_path / "who.rttm"
    file.write_text(RTTM)

    found = divide(call(), None, RecordingOptions("mix", speakers_file=file), name="call")

    # ann's third turn holds what the right channel says from 6 to 7 s too: the file decides
    assert [line.speaker for line, _ in found.lines] == ["ann", "bob", "ann", "ann", "ann", "bob"]
    assert [line.start_s for line, _ in found.lines] == pytest.approx([0, 2, 4, 6, 8, 10], abs=0.2)
    assert found.stages["speakers"] == f"Named by '{file}': ann, bob."


def test_speech_that_no_turn_has_is_told(tmp_path: Path) -> None:
    file = tmp_path / "who.rttm"
    file.write_text("".join(RTTM.splitlines(keepends=True)[:2]))  # nobody from 3 s on: four seconds are spoken there

    found = divide(call(), None, RecordingOptions("mix", speakers_file=file), name="call")

    (note,) = (note for note in found.notes if "no turn has" in note)
    match = re.fullmatch(r"Left out: (\d\.\d) s of speech, which no turn has\.", note)
    assert match is not None
    assert float(match[1]) == pytest.approx(4.0, abs=0.5)


def test_a_file_names_the_speakers_of_words(tmp_path: Path) -> None:
    file = tmp_path / "who.rttm"
    file.write_text(RTTM)
    options = RecordingOptions("mix", speakers_file=file)
    lines = [Line(0.1, 0.9, "", "one"), Line(1.9, 3.2, "x", "two"), Line(11.9, 12.0, "x", "three")]

    read = divide(call(), lines, options, name="call")
    said = FakeEngine(lambda n: [passage("a b c d e f", 0.0, 12.0)])  # a word in every two seconds
    heard = divide(call(), None, options, engine=said, name="call")

    assert [line.speaker for line, _ in read.lines] == ["ann", "bob", "x"]  # the last is 0.7 s from any turn
    assert [(line.speaker, line.text) for line, _ in heard.lines] == [
        ("ann", "a"),
        ("bob", "b"),
        ("ann", "c d e"),
        ("bob", "f"),
    ]


@pytest.mark.parametrize(
    ("what", "options", "diarization"),
    [
        ("'{}'", {"speakers_file": ...}, None),
        ("--speakers 2", {"speakers": 2}, None),
        ("the diarization that was given (pipeline)", {}, lambda *_, **__: pytest.fail("not to be run")),
    ],
    ids=["a file", "a number", "a pipeline"],
)
@pytest.mark.parametrize("speaker", ["ann", ""])
def test_words_without_times_say_that_nothing_else_names_their_speaker(
    tmp_path: Path, what: str, options: dict[str, Any], diarization: Any, speaker: str
) -> None:
    file = tmp_path / "who.rttm"
    file.write_text(RTTM)
    if diarization is not None:
        diarization.__name__ = "pipeline"
    chosen = {name: file if value is ... else value for name, value in options.items()}

    found = divide(
        call(), [Line(None, None, speaker, "one two")], RecordingOptions(**chosen), diarization=diarization, name="call"
    )

    first = "Named by the transcript: ann." if speaker else "One speaker is assumed: the transcript names none."
    unused = f"Not by {what.format(file)}: the words have no times to be matched with turns."
    assert found.stages["speakers"] == f"{first} {unused}"
    assert [(line.speaker, line.text) for line, _ in found.lines] == [(speaker, "one two")]


def test_a_file_without_speakers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "who.csv"
    file.write_text("start_s,end_s,speaker\n0.0,1.0,ann\n2.0,3.0,\n")

    with pytest.raises(MerkitError, match=r"who\.csv', line 3: no speaker, expected start, end and speaker"):
        divide(call(), None, RecordingOptions(speakers_file=file))


def test_a_model_of_text_alone_reads_recognised_words(text_model: Recognizer) -> None:
    result = analyze_recording(text_model, call(), None, "words", engine=FakeEngine())

    assert result.segments[0].text == "word0"
    assert result.segments[0].modalities == ("text",)
    assert result.stages["words"] == "Recognised by fake; language en (found, probability 0.75)."


def test_a_model_of_text_alone_needs_a_transcript_or_a_recogniser(text_model: Recognizer) -> None:
    with pytest.raises(MerkitError, match=r"give a transcript, or recognise words \(--asr, asr=True\)"):
        analyze_recording(text_model, call(), None, "words")


@pytest.mark.parametrize(
    ("lines", "engine"),
    [([Line(None, None, "", "")], None), ([Line(0.0, 2.0, "", None)], None), (None, FakeEngine(lambda n: []))],
    ids=["an empty transcript", "times alone", "a recogniser that finds none"],
)
def test_a_model_of_text_alone_gives_no_label_where_nobody_says_a_word(
    text_model: Recognizer, lines: list[Line] | None, engine: FakeEngine | None
) -> None:
    result = analyze_recording(text_model, call(), lines, "words", engine=engine)

    assert {(segment.label, segment.reason) for segment in result.segments} == {(None, "no words")}
