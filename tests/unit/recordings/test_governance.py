"""Voices, words and modalities that are left out, and reach neither a recogniser nor a result."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.networks import write_text_network
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech
from tests.tiny import built

import merkit
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.waveform import Channel
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.division import divide
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line

PARTS = [speech(3.0, seed=n) for n in range(6)]
MONO = merkit.Waveform(np.concatenate(PARTS), RATE_HZ)
LINES = [Line(0.0, 6.0, "Ann", "my secret"), Line(5.0, 9.0, "Ben", "hello there"), Line(9.0, 18.0, "Ann", "yours")]
LABELS = ("calm", "cross")


def call() -> merkit.Waveform:
    """Return two voices in turn, a channel each."""
    silent = np.zeros_like(PARTS[0])
    left = np.concatenate([part if n % 2 == 0 else silent for n, part in enumerate(PARTS)])
    right = np.concatenate([part if n % 2 else silent for n, part in enumerate(PARTS)])
    return merkit.Waveform(np.stack([left, right]), RATE_HZ)


@pytest.fixture
def both(tmp_path: Path) -> Recognizer:
    text = {"name": "bert", "weights": str(write_text_network(tmp_path / "bert", ["hello"])), "frozen": True}
    return Recognizer(*built("concat", {"text": text, "audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, LABELS))


def test_an_excluded_speaker_has_no_line_and_no_part_of_another_ones() -> None:
    found = divide(MONO, LINES, RecordingOptions(exclude_speakers=("Ann",)))

    assert [(line.speaker, line.start_s, line.end_s, line.text) for line, _ in found.lines] == [
        ("Ben", 6.0, 9.0, "hello there")
    ]
    assert found.stages["speakers"] == "Named by the transcript: Ann, Ben. 1 speaker excluded: neither read nor kept."


def test_an_excluded_turn_is_cut_out_of_a_longer_one_and_reaches_no_recogniser(tmp_path: Path) -> None:
    file = tmp_path / "who.csv"
    file.write_text("start,end,speaker\n0,12,Ann\n4,8,Ben\n12,18,Ben\n")
    options = RecordingOptions(speakers_file=file, exclude_speakers=("Ben",))
    engine = FakeEngine()

    cut = divide(MONO, None, options)
    divide(MONO, None, options, engine=engine)

    spans = [(line.start_s, line.end_s) for line, _ in cut.lines]
    assert {line.speaker for line, _ in cut.lines} == {"Ann"}
    assert spans[0] == (pytest.approx(0.0, abs=0.1), 4.0)
    assert spans[-1] == (8.0, 12.0)
    assert sum(engine.heard) == pytest.approx(8.0, abs=0.3)


def test_no_recognised_line_goes_on_through_an_excluded_turn(tmp_path: Path) -> None:
    file = tmp_path / "who.csv"
    file.write_text("start,end,speaker\n0,3,Ann\n3,3.6,Ben\n3.6,9,Ann\n9,18,Ben\n")
    options = RecordingOptions(speakers_file=file, exclude_speakers=("Ben",))
    engine = FakeEngine(lambda n: [passage(" ".join("abcdefghijkl"), 0.0, (3.0, 5.4)[n % 2])])

    found = divide(MONO, None, options, engine=engine)

    spans = [(line.start_s, line.end_s) for line, _ in found.lines]
    assert spans == [pytest.approx((0.0, 3.0)), pytest.approx((3.6, 9.0))]


def test_a_line_loses_the_words_and_the_sound_of_an_excluded_turn_within_it(tmp_path: Path) -> None:
    file = tmp_path / "who.csv"
    file.write_text("start,end,speaker\n0,6,Ann\n6,10,Ben\n10.1,12,Ann\n12,14,Ben\n14,18,Ann\n")
    lines = [
        Line(0.0, 10.0, "", "Ann says hello. BEN SAYS HIS SECRET."),
        Line(10.0, 12.2, "", "yours"),  # transcripts and turns differ by rounding
        Line(12.2, 14.0, "", "another secret"),
    ]

    found = divide(MONO, lines, RecordingOptions(speakers_file=file, exclude_speakers=("Ben",)))

    assert [(line.speaker, line.start_s, line.end_s, line.text) for line, _ in found.lines] == [
        ("Ann", 0.0, 6.0, None),
        ("Ann", 10.0, 12.0, "yours"),
    ]
    assert "Excluded: the words of 1 line, which that speaker may have said." in found.notes


def test_lines_stay_in_order_of_time_when_parts_of_them_are_excluded() -> None:
    lines = [Line(0.0, 10.0, "Ann", "a"), Line(1.0, 3.0, "Bob", "b"), Line(4.0, 5.0, "Cem", "c")]

    found = divide(MONO, lines, RecordingOptions(exclude_speakers=("Cem",)))

    assert [(line.start_s, line.speaker) for line, _ in found.lines] == [(1.0, "Bob"), (5.0, "Ann")]


def test_the_channel_of_an_excluded_speaker_is_not_read() -> None:
    options = RecordingOptions(exclude_speakers=("left",))
    engine = FakeEngine()

    found = divide(call(), None, options, always_cut=True)
    divide(call(), None, options, engine=engine)

    assert {sound.number for _, sound in found.lines if isinstance(sound, Channel)} == {1}
    assert sum(engine.heard) == pytest.approx(9.0, abs=1.5)


def test_who_is_to_be_excluded_must_speak_and_somebody_else_too() -> None:
    with pytest.raises(MerkitError, match=r"--exclude-speaker: No speaker named 'Anne'\. Did you mean 'Ann'\?"):
        divide(MONO, LINES, RecordingOptions(exclude_speakers=("Anne",)))
    with pytest.raises(MerkitError, match="nobody else speaks"):
        divide(MONO, LINES[:1], RecordingOptions(exclude_speakers=("Ann",)))
    with pytest.raises(MerkitError, match="No speaker named 'Ann'"):  # one speaker is assumed, who has no name
        divide(MONO, None, RecordingOptions(exclude_speakers=("Ann",)))


def test_no_output_has_what_an_excluded_speaker_said(both: Recognizer, tmp_path: Path) -> None:
    result = analyze_recording(both, MONO, LINES, "m", RecordingOptions(exclude_speakers=("Ann",)))

    assert "secret" not in json.dumps(result.to_dict())
    assert result.to_dict()["excludes_speakers"] is True
    assert result.peaks is None  # the waveform is sound of the voice too
    assert [segment.speaker for segment in result.segments] == ["Ben"]


def test_redacted_results_have_the_same_labels_and_no_words(both: Recognizer) -> None:
    shown = analyze_recording(both, MONO, LINES, "m")
    redacted = analyze_recording(both, MONO, LINES, "m", RecordingOptions(redact=True))

    assert [segment.prediction for segment in redacted.segments] == [segment.prediction for segment in shown.segments]
    assert {segment.text for segment in redacted.segments} == {None}
    assert all(word not in json.dumps(redacted.to_dict()) for word in ("secret", "hello", "yours"))
    assert redacted.stages["words"] == "Those of the transcript. They are left out of the result."


def test_a_model_reads_the_modalities_that_it_may(both: Recognizer) -> None:
    heard = analyze_recording(both, MONO, LINES, "m", RecordingOptions(modalities=("audio",)))
    read = analyze_recording(both, MONO, LINES, "m", RecordingOptions(modalities=("text",)))
    without = [Line(line.start_s, line.end_s, line.speaker, None) for line in LINES]
    expected = analyze_recording(both, MONO, without, "m")

    assert {segment.modalities for segment in heard.segments} == {("audio",)}
    assert {segment.modalities for segment in read.segments} == {("text",)}
    assert [segment.text for segment in heard.segments] == [line.text for line in LINES]  # shown, and not read
    for one, other in zip(heard.segments, expected.segments, strict=True):
        assert one.prediction is not None
        assert other.prediction is not None
        assert one.prediction.probabilities == pytest.approx(other.prediction.probabilities, abs=1e-6)
    assert heard.stages["model"] == "m reads audio; 3 of 3 utterances labelled."


def test_modalities_that_leave_a_model_nothing_are_refused() -> None:
    audio = Recognizer(*built("single", {"audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, LABELS))

    with pytest.raises(ConfigError, match="'m' reads audio, and --modalities text leaves nothing"):
        analyze_recording(audio, MONO, None, "m", RecordingOptions(modalities=("text",)))
