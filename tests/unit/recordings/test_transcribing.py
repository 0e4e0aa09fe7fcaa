"""Transcripts in files: read again as they were, made once, and the column of a corpus."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.commandline import call
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech

import merkit
from merkit.core.errors import ManifestError, MerkitError
from merkit.data.columns import ASR_TEXT, FOLDER, TextColumn
from merkit.data.corpus.manifest import read_manifest
from merkit.data.corpus.text_column import with_text_column
from merkit.io.outputs import Outputs, read_record
from merkit.recordings.bulk import Outcome
from merkit.recordings.recognition import models
from merkit.recordings.recognition.engine import Passage
from merkit.recordings.recognition.recognise import Recognition, check_language
from merkit.recordings.search import FoundRecording, find_recordings
from merkit.recordings.subtitles import FORMATS
from merkit.recordings.transcribed_corpus import transcribe_corpus
from merkit.recordings.transcribing import transcribe_recordings
from merkit.recordings.transcripts import read_transcript
from merkit.recordings.writing import outputs_of

SAID = ["Well <then> & so", "it is - half past 3: now"]


def say(number: int) -> Sequence[Passage]:
    return [passage(SAID[number % 2])]


def write_call(path: Path) -> Path:
    """Write two seconds of the left speaker, and after a pause two of the right one."""
    silent = np.zeros(3 * RATE_HZ, np.float32)
    left = np.concatenate([speech(2.0), silent])
    right = np.concatenate([silent, speech(2.0, seed=1)])
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.stack([left, right], axis=1), RATE_HZ)
    return path


def transcribed(path: Path, out: Path, engine: FakeEngine | None = None, **options: Any) -> Outcome[Recognition]:
    found = [FoundRecording(path, None, Path(path.stem))]
    (outcome,) = transcribe_recordings(found, engine or FakeEngine(say), out=out, **options)
    return outcome


@pytest.mark.parametrize("ending", FORMATS)
def test_a_transcript_is_read_again_as_it_was(tmp_path: Path, ending: str) -> None:
    outcome = transcribed(write_call(tmp_path / "call.wav"), tmp_path / "out", channels="split", ending=ending)

    read = read_transcript(tmp_path / "out" / f"call.{ending}")

    assert outcome.result is not None
    lines = outcome.result.lines
    assert [line.text for line in lines] == SAID
    if ending == "txt":
        assert [(line.start_s, line.text) for line in read.lines] == [(None, " ".join(SAID))]
    else:
        assert [(line.speaker, line.text) for line in read.lines] == [(line.speaker, line.text) for line in lines]
        np.testing.assert_allclose([line.start_s for line in read.lines], [line.start_s for line in lines], atol=6e-4)
        np.testing.assert_allclose([line.end_s for line in read.lines], [line.end_s for line in lines], atol=6e-4)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_transcript_without_words_is_read_again(tmp_path: Path, ending: str) -> None:
    sf.write(tmp_path / "still.wav", np.zeros(RATE_HZ), RATE_HZ)

    outcome = transcribed(tmp_path / "still.wav", tmp_path / "out", ending=ending)

    assert outcome.result is not None
    assert [line.text for line in read_transcript(tmp_path / "out" / f"still.{ending}").lines] == [None]


def test_what_is_done_is_not_done_again_until_something_changes(tmp_path: Path) -> None:
    path, out = write_call(tmp_path / "call.wav"), tmp_path / "out"
    engine = FakeEngine(say)
    record = out / "call.transcript.json"

    transcribed(path, out, engine)
    heard = len(engine.heard)
    again = transcribed(path, out, engine)
    other = transcribed(path, out, engine, ending="vtt")
    assert (again.earlier, again.result) == (record, None)
    assert other.result is not None
    assert len(engine.heard) == heard, "another format needs no recognition"
    assert (out / "call.vtt").read_text().startswith("WEBVTT")
    content = read_record(record)
    assert content is not None
    assert set(content["merkit"]["files"]) == {"call.srt", "call.vtt"}

    transcribed(path, out, engine, language="pl")
    assert len(engine.heard) == 2 * heard
    assert transcribed(path, out, FakeEngine(say, name="other"), language="pl").earlier is None


def test_a_file_of_another_origin_is_left_alone(tmp_path: Path) -> None:
    path = write_call(tmp_path / "call.wav")
    (tmp_path / "call.srt").write_text("mine")

    outcome = transcribed(path, tmp_path)

    assert "call.srt' exists, and merkit did not write it" in str(outcome.error)
    assert (tmp_path / "call.srt").read_text() == "mine"
    assert not (tmp_path / "call.transcript.json").exists()


def test_a_file_of_another_command_is_left_alone_and_the_command_named(tmp_path: Path) -> None:
    path, out = write_call(tmp_path / "call.wav"), tmp_path / "out"
    transcribed(path, out)
    analysis = outputs_of(out, Path("call"), ["json", "csv", "vtt", "srt"])
    with pytest.raises(MerkitError, match=r"call\.srt' was written by 'merkit transcribe': move it away"):
        analysis.check()

    (out / "call.srt").unlink()
    analysis.write({}, {}, {file: lambda path: path.write_text("words") for file in analysis.files})

    outcome = transcribed(path, out, ending="vtt")
    assert "call.vtt' was written by 'merkit analyze': move it away" in str(outcome.error)
    Outputs(out / "x.csv.json", (out / "x.csv",)).write({}, {}, {out / "x.csv": lambda path: path.write_text("id")})
    with pytest.raises(MerkitError, match=r"x\.csv' was written by 'merkit predict'"):
        outputs_of(out, Path("x")).check()


def test_a_transcript_beside_its_recording_is_found_by_analyze(tmp_path: Path) -> None:
    transcribed(write_call(tmp_path / "call.wav"), tmp_path)

    found, failures = find_recordings([tmp_path])

    assert [one.transcript for one in found] == [tmp_path / "call.srt"]
    assert failures == {}


def test_json_of_a_recognition_replaces_its_own_and_nothing_else(tmp_path: Path) -> None:
    result = transcribed(write_call(tmp_path / "call.wav"), tmp_path / "out").result
    assert result is not None

    result.to_json(result.to_json(tmp_path / "call.json"))

    (tmp_path / "call.json").write_text('{"recording": "call.wav", "segments": []}')  # of another program
    with pytest.raises(MerkitError, match="merkit did not write it"):
        result.to_json(tmp_path / "call.json")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Return the engine that the command line opens."""
    engine = FakeEngine(say)
    monkeypatch.setattr(models, "open_engine", lambda name: engine)
    return engine


def test_the_command_goes_on_after_a_bad_file_and_says_so(tmp_path: Path, engine: FakeEngine) -> None:
    write_call(tmp_path / "calls" / "a.wav")
    (tmp_path / "calls" / "b.wav").write_bytes(b"RIFF")
    write_call(tmp_path / "calls" / "c.wav")
    arguments = ["transcribe", str(tmp_path / "calls"), "--out", str(tmp_path / "out")]

    printed, repeated = call(*arguments), call(*arguments)

    assert (printed.code, repeated.code) == (1, 1)
    assert "it is - half past 3: now" in printed.out
    assert "2 transcribed, 0 already done" in printed.out
    assert "failed: " in printed.error
    assert "b.wav" in printed.error
    assert "0 transcribed, 2 already done" in repeated.out
    assert len(engine.heard) == 4  # two channels of two files
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a.srt", "a.transcript.json", "c.srt", "c.transcript.json"),
    ]
    assert call("transcribe", str(tmp_path / "calls" / "b.wav")).code == 2
    assert call(*arguments, "--fail-fast").code == 2


def test_the_command_prints_json(tmp_path: Path, engine: FakeEngine) -> None:
    path = write_call(tmp_path / "call.wav")

    content = json.loads(call("transcribe", str(path), "--channels", "split", "--json").out)

    assert [segment["speaker"] for segment in content["segments"]] == ["left", "right"]
    assert Recognition.from_dict(content).text == " ".join(SAID)
    refused = call("transcribe", str(path), "--format", "vtt")
    assert (refused.code, "give --out too" in refused.error) == (2, True)


def write_data(folder: Path, count: int = 3, **columns: Sequence[str | None]) -> Path:
    """Write a corpus of clips as a user's own table."""
    folder.mkdir(parents=True)
    rows = [["id", "audio", "text", "label", *columns]]
    for number in range(count):
        sf.write(folder / f"{number}.wav", speech(1.0, seed=number), RATE_HZ)
        cells = [each[number] for each in columns.values()]
        rows.append([f"u{number}", f"{number}.wav", "typed", "calm", *("" if cell is None else cell for cell in cells)])
    with (folder / "utterances.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_a_corpus_gets_a_column_and_its_table_stays_as_it_is(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    before = (data / "utterances.csv").read_bytes()

    done = transcribe_corpus(data, FakeEngine(say))
    read = with_text_column(read_manifest(data), ASR_TEXT)

    assert (done.new, done.old, done.failed) == (3, 0, {})
    assert [utterance.text for utterance in read.utterances] == [SAID[0], SAID[1], SAID[0]]
    assert (data / "utterances.csv").read_bytes() == before
    assert read.sha256 != read_manifest(data).sha256


def test_an_utterance_is_recognised_in_its_own_language(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", language=["pl", None, "tlh"])  # no network knows Klingon
    engine, given = FakeEngine(), FakeEngine(name="given")

    transcribe_corpus(data, engine)
    TextColumn(data / FOLDER / ASR_TEXT).folder.rename(tmp_path / "away")
    transcribe_corpus(data, given, language="de")

    assert (engine.spoken, engine.asked) == (["pl", "en", "en"], 2)
    assert given.spoken == ["de"] * 3


def test_a_language_of_a_corpus_is_any_tag_with_a_known_code(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", language=["pl-PL", "EN", "de_AT"])
    engine = FakeEngine()

    transcribe_corpus(data, engine)

    assert (engine.spoken, engine.asked) == (["pl", "en", "de"], 0)
    assert check_language(engine, "en-US") == "en"


def test_a_stopped_command_loses_nothing_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merkit.recordings.transcribed_corpus._PART_ROWS", 1)
    data = write_data(tmp_path / "data", count=4)

    def stop(number: int) -> Sequence[Passage]:
        if number == 2:
            raise KeyboardInterrupt
        return say(number)

    with pytest.raises(KeyboardInterrupt):
        transcribe_corpus(data, FakeEngine(stop))
    with pytest.raises(ManifestError, match=r"lacks 2 of 4 .* now: u2, u3\. Run 'merkit transcribe"):
        with_text_column(read_manifest(data), ASR_TEXT)
    engine = FakeEngine(say)
    done = transcribe_corpus(data, engine)

    assert (done.new, done.old, len(engine.heard)) == (2, 2, 2)
    assert all(utterance.text for utterance in with_text_column(read_manifest(data), ASR_TEXT).utterances)


def test_an_unreadable_clip_has_no_text_which_is_said_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_data(tmp_path / "data")
    whole = (data / "1.wav").read_bytes()
    (data / "1.wav").write_bytes(b"RIFF")
    engine = FakeEngine(say)

    first = transcribe_corpus(data, engine)
    read = with_text_column(read_manifest(data), ASR_TEXT)
    second = transcribe_corpus(data, engine)
    (data / "1.wav").write_bytes(whole)
    third = transcribe_corpus(data, engine)

    assert list(first.failed) == ["u1"]
    assert "has no text of 1 utterance whose sound could not be read: u1. Run 'merkit transcribe" in caplog.text
    assert [utterance.text is None for utterance in read.utterances] == [False, True, False]
    assert (second.new, second.old, list(second.failed)) == (0, 2, ["u1"])
    assert (third.new, third.old, third.failed) == (1, 2, {})
    (data / "0.wav").unlink()
    with pytest.raises(MerkitError, match=r"0\.wav"):
        transcribe_corpus(data, engine, fail_fast=True)


def test_a_changed_clip_is_recognised_again(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    transcribe_corpus(data, FakeEngine(say))
    sf.write(data / "2.wav", speech(1.3, seed=9), RATE_HZ)

    with pytest.raises(ManifestError, match="lacks 1 of 3 utterances as they are now: u2"):
        with_text_column(read_manifest(data), ASR_TEXT)
    assert transcribe_corpus(data, FakeEngine(say)).new == 1


def test_another_recogniser_does_not_write_into_the_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_data(tmp_path / "data")
    transcribe_corpus(data, FakeEngine(say))

    with pytest.raises(MerkitError, match=r"asr_text' was made by 'fake' or with other settings: remove that folder"):
        transcribe_corpus(data, FakeEngine(say, name="other"))
    with pytest.raises(MerkitError, match="other settings"):
        transcribe_corpus(data, FakeEngine(say), language="de")
    monkeypatch.setattr("merkit.recordings.transcribed_corpus._VERSION", 0)  # another merkit, other rules
    with pytest.raises(MerkitError, match="other settings"):
        transcribe_corpus(data, FakeEngine(say))


def test_a_column_of_the_table_is_not_made_again(tmp_path: Path) -> None:
    made, own = write_data(tmp_path / "made"), write_data(tmp_path / "own", asr_text=["a", "b", "c"])
    transcribe_corpus(made, FakeEngine(say))
    (made / "utterances.csv").write_bytes((own / "utterances.csv").read_bytes())

    with pytest.raises(ManifestError, match="the table has a column 'asr_text' already"):
        transcribe_corpus(own, FakeEngine(say))
    with pytest.raises(ManifestError, match=r"is in the table and in '.*columns/asr_text': remove one"):
        with_text_column(read_manifest(made), ASR_TEXT)


def test_the_command_transcribes_a_corpus(tmp_path: Path, engine: FakeEngine) -> None:
    data = write_data(tmp_path / "data")
    engine.say = lambda number: [] if number == 0 else [passage("ha " * 99)] if number == 1 else say(number)

    assert call("transcribe", str(data)).out.split(": ", 1)[1] == (
        "3 utterances recognised, 0 already done; 2 without words; 1 passage left out as no speech or loops\n"
    )
    assert json.loads(call("transcribe", str(data), "--json").out)["old"] == 3
    assert call("transcribe", str(data), "--out", str(tmp_path)).code == 2
    assert call("transcribe", str(data), "--format", "vtt").code == 2
    assert call("transcribe", str(data), str(tmp_path / "x.wav")).code == 2


def test_a_recognition_can_be_had_in_python(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merkit.api.transcription.open_engine", lambda name: engine)

    found = merkit.transcribe(speech(2.0), rate_hz=RATE_HZ, language="de")

    assert isinstance(found, merkit.Recognition)
    assert (found.text, found.language) == (SAID[0], "de")


def test_words_that_look_like_markup_are_words_in_webvtt(tmp_path: Path) -> None:
    engine = FakeEngine(lambda _: [passage("press <b> then &lt; now")])

    transcribed(write_call(tmp_path / "call.wav"), tmp_path / "out", engine, ending="vtt", channels="left")

    assert read_transcript(tmp_path / "out" / "call.vtt").lines[0].text == "press <b> then &lt; now"
