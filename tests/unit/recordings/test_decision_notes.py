"""What is said of a recording by a model that compares voices: labels, arousal, reasons, notes, and their files."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from tests.commandline import call
from tests.deciding import ENCODERS, LABELS, add_rule, recognizer
from tests.speech import RATE_HZ, speech
from tests.tiny import built

import merkit
from merkit.api.recognition import EmotionRecognizer
from merkit.cli.analyze import print_analysis
from merkit.io.checkpoint import save_checkpoint
from merkit.recordings import pieces
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.transcripts import Line
from merkit.timeline.analysis import Analysis

SHOWN = LABELS[:4]
FEWER = "fewer than 5 utterances of this speaker: a voice is compared with the speaker's own average"


def lines(speakers: str, seconds: float = 2.0) -> list[Line]:
    """Return the lines of a call, each of so many seconds; a space is a speaker that is not known."""
    return [Line(n * seconds, (n + 1) * seconds, name.strip(), "so") for n, name in enumerate(speakers)]


def sound(speakers: str, seconds: float = 2.0) -> merkit.Waveform:
    return merkit.Waveform(speech(len(speakers) * seconds), RATE_HZ)


def analysis(speakers: str, rule: dict[str, Any] | None = None) -> Analysis:
    return analyze_recording(recognizer(rule), sound(speakers), lines(speakers), "voice")


def test_a_call_has_labels_for_whom_it_has_enough_of() -> None:
    result = analysis("ABAAABAABA", {"unsure_below": 0.0})  # seven of A, three of B

    assert result.labels == SHOWN
    for segment in result.segments:
        assert segment.arousal is not None
        if segment.speaker == "A":
            assert (segment.label in SHOWN, segment.reason) == (True, None)
        else:
            assert (segment.label, segment.confidence, segment.reason) == (None, None, FEWER)
    assert list(result.notes) == [
        "Sound is compared with the speaker's own average over this recording alone.",
        "A mood that lasts the whole recording cannot be seen.",
        f"3 of 10 utterances have no label: {FEWER}.",
        "Without enough of a speaker, arousal is less reliable: there is little to compare a voice with.",
        "Prior: neutral 80 %; happy, sad, angry 6.67 % each (--prior even, prior='even': none).",
        "Labels on request: fear (--labels all, labels='all').",
    ]


def test_unsure_utterances_are_counted_and_keep_their_probabilities() -> None:
    result = analysis("AAAAA", {"unsure_below": 0.999, "prior": None, "labels": None})

    for segment in result.segments:
        assert segment.prediction is not None
        assert segment.label is None
        assert (segment.reason or "").startswith("unsure: the highest probability, 0.")
        assert sum(segment.prediction.probabilities.values()) == pytest.approx(1.0)
        assert segment.confidence == max(segment.prediction.probabilities.values())
    assert "5 of 5 utterances are unsure, without a label: no probability is 0.999 or more." in result.notes
    assert not any("Prior" in note or "on request" in note for note in result.notes)


@pytest.mark.parametrize("seconds", [3.0, 14.0])
def test_a_clip_alone_has_arousal_and_no_label(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(pieces, "LONGEST_S", 4.0)  # the long clip is read in four pieces, and is one utterance

    result = analyze_recording(recognizer(), merkit.Waveform(speech(seconds), RATE_HZ), None, "voice")

    (segment,) = result.segments
    assert (segment.label, segment.reason) == (None, FEWER)
    assert segment.prediction is not None
    assert segment.prediction.probabilities == {}
    assert f"It has no label: {FEWER}." in result.notes


def test_pieces_of_a_long_utterance_count_as_one_and_their_seconds_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LONGEST_S", 1.0)

    four = analysis("AAAA", {"unsure_below": 0.0, "least_s": 0.0})
    five = analysis("AAAAA", {"unsure_below": 0.0})  # ten seconds in ten pieces

    assert {segment.label for segment in four.segments} == {None}
    assert all(segment.label in SHOWN for segment in five.segments)


def test_utterances_without_speech_are_no_reference() -> None:
    spoken, still = speech(10.0), np.zeros(4 * RATE_HZ, np.float32)

    result = analyze_recording(
        recognizer(), merkit.Waveform(np.concatenate([spoken, still]), RATE_HZ), lines("AAAAAAA", 2.0), "voice"
    )
    short = analyze_recording(
        recognizer(), merkit.Waveform(np.concatenate([spoken[: 8 * RATE_HZ], still]), RATE_HZ), lines("AAAAAA"), "voice"
    )

    assert [segment.reason for segment in result.segments][5:] == ["no speech", "no speech"]
    assert all(segment.reason is None or "unsure" in segment.reason for segment in result.segments[:5])
    assert [segment.reason for segment in short.segments] == [FEWER] * 4 + ["no speech"] * 2


def test_where_nothing_is_said_there_is_nothing_to_explain() -> None:
    silence = merkit.Waveform(np.zeros(3 * RATE_HZ, np.float32), RATE_HZ)

    result = analyze_recording(recognizer(), silence, None, "voice")

    assert [segment.reason for segment in result.segments] == ["no speech"]
    assert [note[:26] for note in result.notes] == ["It has no label: no speech"]


def test_utterances_of_unknown_speakers_are_said_to_count_as_one_speaker() -> None:
    assert "Utterances without a known speaker count as those of one speaker." in analysis("A    ").notes
    assert not any("without a known speaker" in note for note in analysis("AAAAA").notes)


def test_all_forms_of_a_result_say_the_same(tmp_path: Path) -> None:
    result = analysis("AAAAAB", {"unsure_below": 0.0})

    written = json.loads(result.to_json(tmp_path / "call.json").read_text())
    assert written["labels"] == list(SHOWN)
    assert written["decision_rule"]["prior"] == {"neutral": 0.8}
    first, last = written["segments"][0], written["segments"][-1]
    assert set(first["probabilities"]) == set(SHOWN)
    assert (last["label"], last["probabilities"], last["confidence"], last["reason"]) == (None, None, None, FEWER)
    assert last["arousal"] == result.segments[-1].arousal
    frame = result.to_pandas()
    assert list(frame.columns[4:8]) == ["label", "confidence", "arousal", "modalities"]
    assert frame["p:sad"].isna().tolist() == [False] * 5 + [True]
    assert frame["arousal"].notna().all()
    page = result.to_html(tmp_path / "call.html").read_text()
    assert f"arousal {100 * result.segments[-1].arousal:.0f} %" in page
    assert "fewer than 5 utterances" in page


def test_a_model_without_a_rule_has_no_columns_for_one() -> None:
    torch.manual_seed(0)
    from merkit.inference.recognizer import Recognizer

    result = analyze_recording(Recognizer(*built("single", ENCODERS, LABELS)), sound("AB"), lines("AB"), "m")

    assert "arousal" not in result.to_pandas().columns
    assert "decision_rule" not in result.to_dict()
    assert all("arousal" not in segment for segment in result.to_dict()["segments"])
    assert list(result.notes) == ["Sound is compared with the speaker's own average over this recording alone."]


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_printed_table_has_a_column_for_arousal_and_short_reasons(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    times = [f"{number}.00" for number in range(0, 12, 2)]

    print_analysis(analysis("AAAAAB", {"unsure_below": 0.999}))

    rows = [line for line in capsys.readouterr().out.splitlines() if line[:6].strip() in times]
    assert [row.split()[3] for row in rows[:5]] == ["(unsure)"] * 5
    assert all(row.count("%") == 2 for row in rows[:5])
    assert rows[5].split()[3] == "(no"  # label
    assert rows[5].count("%") == 1  # arousal alone


@pytest.fixture(scope="module")
def call_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("call")
    sf.write(folder / "call.wav", speech(10.0), RATE_HZ, subtype="FLOAT")
    rows = [{"start_s": 2 * n, "end_s": 2 * n + 2, "text": "so", "speaker": "A"} for n in range(5)]
    with (folder / "call.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    torch.manual_seed(0)
    save_checkpoint(folder / "plain", *built("single", ENCODERS, LABELS), {}, "")
    save_checkpoint(folder / "voice", *built("single", ENCODERS, LABELS), {}, "")
    add_rule(folder / "voice", {"unsure_below": 0.0})
    return folder / "call.wav"


def test_options_of_the_command_line_change_what_is_said(call_file: Path, tmp_path: Path) -> None:
    folder = call_file.parent
    command = ("analyze", call_file, "--checkpoint", folder / "voice", "--transcript", folder / "call.csv")

    plain, again = (call(*command, "--out", tmp_path) for _ in range(2))
    changed = call(*command, "--out", tmp_path, "--labels", "sad, fear", "--prior", "fear=0.9")

    assert (plain.code, again.code, changed.code) == (0, 0, 0)
    assert "1 already done" in again.out
    assert "1 analyzed" in changed.out
    written = json.loads((tmp_path / "call.json").read_text())
    assert written["labels"] == ["sad", "fear"]
    assert written["decision_rule"]["prior"] == {"fear": 0.9}
    assert (tmp_path / "call.csv").read_text().splitlines()[0] == (
        "start_s,end_s,speaker,label,confidence,sad,fear,modalities,text,reason"
    )


@pytest.mark.parametrize(
    ("checkpoint", "options", "message"),
    [
        ("plain", ("--labels", "all"), "always shows all of its labels (neutral, happy, sad, angry, fear)"),
        ("plain", ("--prior", "even"), "leave prior out"),
        ("voice", ("--labels", "furious,sad"), "No label named 'furious'"),
        ("voice", ("--labels", ""), "No label named ''"),
        ("voice", ("--labels", "sad"), "found 1, expected two or more"),
        ("voice", ("--prior", "neutral"), "found 'neutral', expected 'even' or a probability for each label"),
        ("voice", ("--prior", "neutral=0.8,neutral=0.1"), "found 'neutral=0.1'"),
        ("voice", ("--prior", "neutral=nan"), "found 'nan'; Input should be"),
        ("voice", ("--prior", "neutral=2"), "should be less than 1"),
        ("voice", ("--prior", ""), "found '', expected 'even'"),
    ],
)
def test_options_that_do_not_fit_end_with_one_line(
    call_file: Path, checkpoint: str, options: tuple[str, ...], message: str
) -> None:
    done = call("analyze", call_file, "--checkpoint", call_file.parent / checkpoint, *options)

    assert done.code == 2
    assert message in done.error
    assert done.error.count("\n") == 1


def test_a_built_in_model_is_a_folder_of_the_package(call_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merkit.weights.models._FOLDER", call_file.parent)

    model = merkit.load("builtin:voice", "cpu", labels=["happy", "fear"], prior={"fear": 0.75})
    unknown = call("analyze", call_file, "--checkpoint", "builtin:voices")
    done = call("analyze", call_file, "--checkpoint", "builtin:voice", "--json")

    assert model.labels == ("happy", "fear")
    assert "EmotionRecognizer('builtin:voice': audio -> happy, fear)" in repr(model)
    assert (unknown.code, unknown.error.count("\n")) == (2, 1)
    assert "Did you mean 'builtin:voice'?" in unknown.error
    assert json.loads(done.out)["checkpoint"] == "builtin:voice"


def test_rows_of_a_table_say_why_there_is_no_label(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", speech(12.0), RATE_HZ, subtype="FLOAT")
    rows = [
        {"audio": str(tmp_path / "a.wav"), "speaker": "AAAAAB"[n], "start_s": 2.0 * n, "end_s": 2.0 * n + 2}
        for n in range(6)
    ]

    predictions = EmotionRecognizer(recognizer({"unsure_below": 0.0}), "voice").predict(rows)

    assert predictions.labels == SHOWN
    frame = predictions.to_pandas()
    assert frame["reason"].fillna("").tolist() == [""] * 5 + [FEWER]
    assert frame["label"].notna().tolist() == [True] * 5 + [False]
    assert frame["arousal"].between(0, 1).all()
    assert predictions.notes[0] == f"1 of 6 utterances have no label: {FEWER}."
    assert predictions[5:].to_dict()[0]["p:sad"] is None
    assert "fewer than 5" in predictions._repr_html_()
