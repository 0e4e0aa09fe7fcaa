"""Corrected timelines become a corpus; corrections are made by tools from outside where there are any."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from praatio import textgrid
from praatio.utilities.constants import Interval
from pympi.Elan import Eaf
from tests.commandline import call
from tests.timelines import CALL, LABELS, analysis, answer, segment

from merkit.core.errors import MerkitError
from merkit.data.corpus.manifest import read_manifest
from merkit.data.files import file_hash
from merkit.protocols.table import SPEC
from merkit.recordings.corrected_corpus import corpus_of_timelines
from merkit.recordings.corrections import read_corrected
from merkit.recordings.writing import outputs_of, write_analysis
from merkit.timeline.analysis import Segment
from merkit.timeline.formats import NAMES


def write(folder: Path, name: str = "call", segments: Any = CALL, **changes: Any) -> Path:
    """Write a recording of 10 s and all formats of its analysis, and return their path without an ending."""
    recording = folder / "audio" / f"{name}.wav"
    recording.parent.mkdir(exist_ok=True, parents=True)
    sf.write(recording, np.random.default_rng(len(name)).normal(size=80_000) / 9, 8000)
    made = analysis(segments, recording=recording, duration_s=10.0, **changes)
    formats = [each for each in NAMES if each != "html"]
    write_analysis(made, outputs_of(folder / "out", Path(name), formats), {"recording": file_hash(recording)})
    return folder / "out" / name


def correct_json(path: Path) -> None:
    content = json.loads(path.read_text())
    content["segments"][1] |= {"label": "happy", "speaker": "Cem", "start_ms": 2300, "text": "Yes."}
    content["segments"][2]["label"] = "neutral"
    path.write_text(json.dumps(content))


def correct_csv(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[2][:4], rows[2][-2] = ["2.3", "4.0", "Cem", "happy"], "Yes."
    rows[3][3] = "neutral"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)


def correct_textgrid(path: Path) -> None:
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    for kind, label in (("words", "Yes."), ("emotion", "happy")):
        grid.removeTier(f"{kind}@Ben Li")
        grid.addTier(textgrid.IntervalTier(f"{kind}@Cem", [Interval(2.3, 4.0, label)], 0, 10))
    grid.addTier(textgrid.IntervalTier("words@Ben Li", [Interval(6.5, 8.0, "noise")], 0, 10))
    grid.addTier(textgrid.IntervalTier("remarks", [Interval(0, 1, "listen again")], 0, 10))
    labels = grid.getTier("emotion@Ann")
    labels.insertEntry(Interval(3.5, 6.125, "neutral"), collisionMode="replace", collisionReportingMode="silence")
    grid.save(str(path), format="short_textgrid", includeBlankSpaces=True)


def correct_eaf(path: Path) -> None:
    eaf = Eaf(str(path))
    eaf.add_tier("words@Cem", ling="words", part="Cem")
    eaf.add_annotation("words@Cem", 2300, 4000, "Yes.")
    eaf.add_tier("emotion@Cem", ling="emotion", parent="words@Cem", part="Cem")
    eaf.add_ref_annotation("emotion@Cem", "words@Cem", 3000, "happy")
    eaf.remove_annotation("words@Ben Li", 3000)
    eaf.remove_ref_annotation("emotion@Ann", 4000)
    eaf.add_ref_annotation("emotion@Ann", "words@Ann", 4000, "neutral")
    eaf.to_file(str(path))


CORRECT: dict[str, Callable[[Path], None]] = {
    ".json": correct_json,
    ".csv": correct_csv,
    ".TextGrid": correct_textgrid,
    ".eaf": correct_eaf,
}


@pytest.mark.parametrize("ending", CORRECT)
def test_a_correction_in_any_format_is_the_same_corpus(tmp_path: Path, ending: str) -> None:
    timeline = write(tmp_path)
    CORRECT[ending](timeline.with_suffix(ending))

    done = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "data")

    assert done.code == 0, done.error
    manifest = read_manifest(tmp_path / "data")
    found = [(u.start_s, u.end_s, u.speaker, u.text, u.attributes["label"]) for u in manifest.utterances]
    assert [row for row in found if row[0] != 6.5] == [
        (0.5, 2.25, "Ann", 'Well, "yes": half <past> & 3', "neutral"),
        (2.3, 4.0, "Cem", "Yes.", "happy"),
        (3.5, 6.125, "Ann", "Über 日本 --> so", "neutral"),
        (8.0, 9.0, "Ann", None, "happy"),
        (8.75, 10.0, "Ann", "again", "happy"),
    ]
    assert all(manifest.media_path(str(u.audio)).samefile(tmp_path / "audio" / "call.wav") for u in manifest.utterances)
    protocol = SPEC.build(SPEC.options(leave_out=[""], group="speaker"), False)
    assert sum(protocol.label(utterance) is not None for utterance in manifest.utterances) == 5


@pytest.mark.parametrize("ending", CORRECT)
def test_several_labels_of_an_utterance_are_read_from_any_format(tmp_path: Path, ending: str) -> None:
    both = replace(answer("happy"), labels=("happy", "angry"))
    none = replace(answer(None), labels=())
    timeline = write(
        tmp_path, segments=[Segment(0, 1, "A", "so", both), Segment(2, 3, "A", "", none)], multi_label=True
    )

    rows = read_corrected(timeline.with_suffix(ending))

    assert [row.label for row in rows if row.start_s == 0] == ["happy;angry"]
    assert {row.label for row in rows if row.start_s != 0} <= {None}
    done = corpus_of_timelines(tmp_path / "out", tmp_path / "data", accept_unchanged=True)
    assert (done.labelled, done.new_labels) == (1, {})


@pytest.mark.parametrize(
    ("ending", "old", "new", "expected"),
    [
        (".csv", "happy,happy;angry", "happy,angry; happy;bored", "angry;happy;bored"),
        (".csv", "happy,happy;angry", "bored,happy;angry", r"line 2: label is 'bored', and labels are 'happy;angry'"),
        (".csv", "happy,happy;angry", "happy,", r"line 2: label is 'happy', and there are no labels"),
        (".csv", "happy,happy;angry", "unsure,happy", r"line 2: there is no label, and labels are 'happy'"),
        (
            ".json",
            '"label": "happy"',
            '"label": "bored"',
            r"segments\[0\]: label is 'bored', and labels are 'happy;angr",
        ),
    ],
)
def test_the_label_of_several_is_one_of_them(tmp_path: Path, ending: str, old: str, new: str, expected: str) -> None:
    both = replace(answer("happy"), labels=("happy", "angry"))
    path = write(tmp_path, segments=[Segment(0, 1, "A", "so", both)], multi_label=True).with_suffix(ending)
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))

    if ":" not in expected:
        assert read_corrected(path)[0].label == expected
    else:
        with pytest.raises(MerkitError, match=expected):
            read_corrected(path)


@pytest.mark.parametrize("ending", [".TextGrid", ".eaf"])
def test_speakers_and_words_come_back_as_they_were(tmp_path: Path, ending: str) -> None:
    right_to_left, mark = "\u202b\u05e9\u05dc\u05d5\u05dd\u202c", "\u200f"
    forbidden = "".join(map(chr, (0, 1, 11, 27, 0xFFFE, 0xFFFF, 0xD800)))
    said = f"{right_to_left}, a\u2028b\x85c\x9b {mark}\U0001f600"
    path = write(
        tmp_path,
        segments=[segment(0, 1, right_to_left, "happy", said), segment(1, 2, "Ann", "happy", f"a{forbidden}b")],
    ).with_suffix(ending)

    rows = read_corrected(path)

    assert [(row.speaker, row.text, row.label) for row in rows] == [
        (right_to_left, " ".join(said.split()), "happy"),
        ("Ann", "ab", "happy"),
    ]


@pytest.mark.parametrize("ending", [".TextGrid", ".eaf"])
def test_each_tier_has_a_name_of_its_own(tmp_path: Path, ending: str) -> None:
    speakers = ("", "unknown", "Ann", "Ann\x01", "Ann (overlap 2)")
    path = write(tmp_path, segments=[segment(0, 1, speaker, "happy", speaker) for speaker in speakers])

    rows = read_corrected(path.with_suffix(ending))

    assert {(row.speaker, row.text) for row in rows} == {
        *(("", None), ("" if ending == ".TextGrid" else "unknown", "unknown")),
        *(("Ann", "Ann"), ("Ann (overlap 2)", "Ann (overlap 2)")),
    }
    assert len(rows) == 5


def test_what_nobody_corrected_is_left_out_unless_it_is_accepted(tmp_path: Path) -> None:
    timeline = write(tmp_path, "one")
    write(tmp_path, "two")
    correct_json(timeline.with_suffix(".json"))

    some = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "some")
    every = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "all", "--accept-unchanged")

    assert (some.code, every.code) == (0, 0)
    assert "left out, not corrected since it was written" in some.error
    assert {u.conversation for u in read_manifest(tmp_path / "some").utterances} == {"one"}
    assert {u.conversation for u in read_manifest(tmp_path / "all").utterances} == {"one", "two"}
    assert "two" in some.error
    for path in (timeline.with_suffix(".json"), timeline.with_suffix(".csv")):
        path.unlink()
    (tmp_path / "out" / "one.eaf").unlink()
    (tmp_path / "out" / "one.TextGrid").unlink()
    alone = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "none")
    assert alone.code == 2
    assert not (tmp_path / "none").exists()


def test_two_corrected_files_of_a_recording_are_an_error_and_the_others_are_done(tmp_path: Path) -> None:
    timeline = write(tmp_path, "one")
    correct_csv(timeline.with_suffix(".csv"))
    correct_json(timeline.with_suffix(".json"))
    correct_json(write(tmp_path, "two").with_suffix(".json"))

    done = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "data")

    assert done.code == 1
    assert "failed: one: 2 of its files were corrected (one.csv, one.json): keep the corrections in" in done.error
    assert {u.conversation for u in read_manifest(tmp_path / "data").utterances} == {"two"}


def without_record(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["merkit"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), r"failed: call: .*call\.json: .*line \d+"),
        (
            without_record,
            "failed: call: 'call.json' has no key 'merkit' any more, which tells what was corrected: keep",
        ),
    ],
    ids=["cut off", "its record is gone"],
)
def test_a_json_file_that_cannot_tell_what_was_corrected_is_the_one_that_is_named(
    tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    change(write(tmp_path).with_suffix(".json"))

    done = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "data")

    assert done.code != 0
    assert re.search(message, done.error)
    assert "call.eaf" not in done.error.partition("keep")[0]


def test_what_is_no_timeline_is_passed_over(tmp_path: Path) -> None:
    correct_json(write(tmp_path).with_suffix(".json"))
    parts = tmp_path / "out" / "long.parts"
    parts.mkdir()
    (parts / "words-12.json").write_text('{"value": [], "checksum": "0"}')
    (tmp_path / "out" / "call.transcript.json").write_text('{"segments": [], "language": "en"}')
    (tmp_path / "out" / "settings.json").write_text("[1, 2]")

    done = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "data")

    assert (done.code, "failed" in done.error, "left out" in done.error) == (0, False, False)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("c.json", '"start_ms": 2250', '"start_ms": -5', r"c\.json: segments\[1\]\.start_ms: .* found -5"),
        ("c.json", '"segments": [', '"segment": [', r"c\.json: segments: Field required"),
        ("c.json", '"label": "angry",', '"label": "angry"', r"c\.json: Expecting ',' delimiter \(line \d+"),
        ("c.json", '"start_ms": 2250', '"start_ms": 4000', r"c\.json: segments\[1\]: from 4 to 4 s is no time span"),
        ("c.csv", "2.250,4.000", "soon,4.000", r"c\.csv: line 3: start_s is 'soon', expected seconds"),
        ("c.csv", "2.250,4.000", "2.250,1.000", r"c\.csv: line 3: from 2\.25 to 1 s is no time span"),
        ("c.csv", "speaker,label", "speaker,labels", r"c\.csv: no column label, found start_s"),
        ("c.csv", "No.,", "No.,,,x", r"c\.csv, line 3: 13 cells for 11 columns"),
        ("c.eaf", 'TIME_VALUE="2250"', 'TIME_VALUE="x"', r"c\.eaf: TIME_VALUE is 'x', expected whole milliseconds"),
        ("c.eaf", 'TIME_SLOT_REF1="ts1"', 'TIME_SLOT_REF1="ts99"', r"c\.eaf: annotation a1: it has no times"),
        ("c.eaf", "words@", "said@", r"c\.eaf: no tier 'words@NAME', found said@Ann"),
        ("c.eaf", "<TIME_ORDER>", "<TIME_ORDER", r"c\.eaf is not XML that can be read"),
        ("c.TextGrid", "emotion@", "label@", r"c\.TextGrid: no tier 'emotion@NAME', found words@Ann"),
        ("c.TextGrid", "intervals: size = ", "intervals: size = 9", r"c\.TextGrid: .*cut off"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_place(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    path = write(tmp_path, "c").with_name(name)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(MerkitError, match=message):
        read_corrected(path)


def test_a_recording_that_is_gone_or_another_one_is_named(tmp_path: Path) -> None:
    timeline = write(tmp_path)
    correct_json(timeline.with_suffix(".json"))
    moved = tmp_path / "elsewhere" / "call.wav"
    moved.parent.mkdir()
    (tmp_path / "audio" / "call.wav").rename(moved)

    gone = corpus_of_timelines(tmp_path / "out", tmp_path / "data")
    found = corpus_of_timelines(tmp_path / "out", tmp_path / "data", moved.parent)
    sf.write(moved, np.zeros(80_000), 8000)
    other = corpus_of_timelines(tmp_path / "out", tmp_path / "data", moved.parent)

    assert "say where with --recordings FOLDER" in gone.failures["call"]
    assert (found.labelled, found.failures) == (5, {})
    assert "its content is another one" in other.failures["call"]


def test_a_file_without_a_record_is_a_correction_and_a_time_behind_the_end_is_an_error(tmp_path: Path) -> None:
    timeline = write(tmp_path, segments=[segment(0, 1, "A", "happy"), segment(8, 12, "A", "angry")])
    for path in list(timeline.parent.iterdir()):
        if path.suffix != ".csv":
            path.unlink()

    late = corpus_of_timelines(timeline.parent, tmp_path / "data", tmp_path / "audio")
    text = timeline.with_suffix(".csv").read_text()
    timeline.with_suffix(".csv").write_text(text.replace("12.000", "9.000").replace("angry,", "agnry,", 1))
    done = corpus_of_timelines(timeline.parent, tmp_path / "data", tmp_path / "audio")

    assert "line 3: it ends at 12 s, after its recording, which has 10.00 s" in late.failures["call"]
    assert (done.timelines, done.labelled) == (1, 2)


def test_a_label_that_the_model_does_not_give_is_told(tmp_path: Path) -> None:
    timeline = write(tmp_path)
    path = timeline.with_suffix(".csv")
    path.write_text(path.read_text().replace("Ben Li,angry", "Ben Li,agnry"))

    done = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "data")

    assert done.code == 0
    assert "warning: label 'agnry' (1) is none of the model's: is it misspelt?" in done.error.replace("\n", " ")
    assert LABELS == ("neutral", "happy", "angry")
