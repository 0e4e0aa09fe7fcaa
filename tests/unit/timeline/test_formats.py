"""Every format is read by a reader from outside: what it finds is what the analysis says."""

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pandas as pd
import pysubs2
import pytest
from praatio.textgrid import openTextgrid
from pympi.Elan import Eaf
from tests.timelines import CALL, HOSTILE, LABELS, analysis, segment, silent

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.types import Prediction
from merkit.io.decision_rule import DecisionRule
from merkit.recordings.search import is_written_by_merkit
from merkit.recordings.writing import outputs_of, write_analysis
from merkit.timeline.analysis import Analysis, Segment
from merkit.timeline.document import json_schema
from merkit.timeline.formats import NAMES, chosen_formats
from merkit.timeline.reading import read_timeline

ROOT = Path(__file__).parents[3]
SAID = ["(neutral 80 %)", "(angry 62 %)", "(unsure)", "(no label: no speech)", "(happy 80 %)", "(happy 80 %)"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write(tmp_path, analysis(CALL))


def write(folder: Path, made: Analysis) -> Path:
    """Write all formats without an ending, and return the path without one."""
    write_analysis(made, outputs_of(folder, Path("call"), NAMES), {"recording": "by hand"})
    return folder / "call"


def joined() -> Analysis:
    """Return an utterance behind the first hour with all that a model of words and voice says."""
    words = Prediction("", "angry", {"neutral": 0.3, "happy": 0.1, "angry": 0.6}, 0.6, ("text",))
    voice = Prediction("", None, {}, None, ("audio",), "too little to compare with", 0.25)
    both = Prediction(
        *("", "happy", {"neutral": 0.1, "happy": 0.7, "angry": 0.2}, 0.7, ("text", "audio")),
        arousal=0.25,
        sources={"words": words, "voice": voice},
    )
    rule = DecisionRule(labels=LABELS, unsure_below=0.5, arousal=True)
    return analysis([Segment(3725.5, 3726.25, "Ann", "so be it", both)], rule=rule)


def test_json_is_what_the_published_schema_says(written: Path) -> None:
    content = json.loads(written.with_suffix(".json").read_text())
    schema = json_schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content)
    assert [(each["start_ms"], each["end_ms"]) for each in content["segments"][:2]] == [(500, 2250), (2250, 4000)]
    assert content["segments"][3]["label"] is content["segments"][3]["probabilities"] is None
    content["segments"][0]["start_ms"] = 0.5
    with pytest.raises(jsonschema.ValidationError, match=r"0\.5 is not of type 'integer'"):
        jsonschema.Draft202012Validator(schema).validate(content)


def test_json_has_every_value_of_an_utterance(tmp_path: Path) -> None:
    content = json.loads(write(tmp_path, joined()).with_suffix(".json").read_text())

    jsonschema.Draft202012Validator(json_schema()).validate(content)
    assert content["duration_ms"] == 3_726_250
    assert content["segments"] == [
        {
            "start_ms": 3_725_500,
            "end_ms": 3_726_250,
            "speaker": "Ann",
            "text": "so be it",
            "label": "happy",
            "reason": None,
            "confidence": 0.7,
            "arousal": 0.25,
            "modalities": ["text", "audio"],
            "probabilities": {"neutral": 0.1, "happy": 0.7, "angry": 0.2},
            "sources": {
                "words": {
                    "label": "angry",
                    "reason": None,
                    "confidence": 0.6,
                    "probabilities": {"neutral": 0.3, "happy": 0.1, "angry": 0.6},
                },
                "voice": {
                    "label": None,
                    "reason": "too little to compare with",
                    "confidence": None,
                    "probabilities": None,
                    "arousal": 0.25,
                },
            },
        }
    ]


def test_json_says_what_an_analysis_was_made_of(tmp_path: Path) -> None:
    made = analysis(
        [Segment(0.0, 1.0, "", None, Prediction("", None, {}, None, ("audio",), "too little to compare with", 0.25))],
        checkpoint_hash="ab",
        calibrated=True,
        transcript=Path("call.srt"),
        transcript_hash="cd",
        stages={"words": "Those of call.srt."},
    )

    content = json.loads(write(tmp_path, made).with_suffix(".json").read_text())

    names = ("schema", "recording", "checkpoint", "checkpoint_hash", "calibrated", "transcript", "transcript_hash")
    assert [content[name] for name in names] == [
        *("merkit-timeline-1", "call.wav", "builtin:voice", "ab", True, "call.srt", "cd")
    ]
    assert (content["labels"], content["notes"]) == ([*LABELS], ["Made by hand."])
    assert content["stages"] == {"words": "Those of call.srt."}
    assert content["segments"][0]["probabilities"] is None
    assert analysis([]).to_dict()["calibrated"] is False


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads((ROOT / "docs" / "reference" / "timeline-1.schema.json").read_text()) == json_schema()


def test_an_analysis_is_read_again_from_its_json() -> None:
    rule = DecisionRule(labels=LABELS, unsure_below=0.5)
    made = analysis(CALL, rule=rule, calibrated=True, checkpoint_hash="ab", transcript=Path("call.srt"))

    again = read_timeline(json.loads(json.dumps(made.to_dict())))

    assert again.to_dict() == made.to_dict()
    assert [each.prediction is None for each in again.segments] == [False] * 3 + [True] + [False] * 2
    assert again.rule == rule


def test_json_of_another_layout_is_refused_with_its_place() -> None:
    values = analysis(CALL).to_dict()
    values["segments"][2]["end_ms"] = "late"

    with pytest.raises(MerkitError, match=r"segments\[2\]\.end_ms: .*integer"):
        read_timeline(values)


def test_pandas_reads_the_csv(written: Path) -> None:
    table = pd.read_csv(written.with_suffix(".csv"), keep_default_na=False)

    assert list(table["text"]) == [each.text or "" for each in CALL]
    assert list(table["label"]) == ["neutral", "angry", "", "", "happy", "happy"]
    assert list(table["start_s"]) == [0.5, 2.25, 3.5, 6.5, 8.0, 8.75]
    assert table["reason"][3] == "no speech"


def test_the_csv_has_every_value_of_an_utterance(tmp_path: Path) -> None:
    table = pd.read_csv(write(tmp_path, joined()).with_suffix(".csv"), keep_default_na=False)

    assert table.to_dict("records") == [
        {
            "start_s": 3725.5,
            "end_s": 3726.25,
            "speaker": "Ann",
            "label": "happy",
            "confidence": 0.7,
            "arousal": 0.25,
            "neutral": 0.1,
            "happy": 0.7,
            "angry": 0.2,
            "modalities": "text audio",
            "text": "so be it",
            "reason": "",
        }
    ]


def test_the_csv_of_a_model_of_several_labels_has_a_column_for_them(tmp_path: Path) -> None:
    both = Prediction(
        "", "happy", {"neutral": 0.1, "happy": 0.8, "angry": 0.6}, 0.8, ("text",), labels=("happy", "angry")
    )
    made = analysis([Segment(0.0, 1.0, "Ann", "so", both)], multi_label=True)

    row = pd.read_csv(write(tmp_path, made).with_suffix(".csv")).iloc[0]

    assert [*row.index[3:6]] == ["label", "labels", "confidence"]
    assert (row["label"], row["labels"]) == ("happy", "happy;angry")


def test_rttm_has_the_fields_of_nist(written: Path) -> None:
    rows = [line.split(" ") for line in written.with_suffix(".rttm").read_text().splitlines()]

    assert {len(row) for row in rows} == {10}
    assert [(row[0], row[1], row[2]) for row in rows] == [("SPEAKER", "call", "1")] * 6
    assert [(float(row[3]), float(row[4]), row[7]) for row in rows[:2]] == [(0.5, 1.75, "Ann"), (2.25, 1.75, "Ben_Li")]
    assert all(row[at] == "<NA>" for row in rows for at in (5, 6, 8, 9))


@pytest.mark.parametrize("ending", ["srt", "vtt"])
def test_pysubs2_reads_the_subtitles(written: Path, ending: str) -> None:
    cues = pysubs2.load(str(written.with_suffix(f".{ending}")), keep_unknown_html_tags=False)

    assert [(cue.start, cue.end) for cue in cues[:2]] == [(500, 2250), (2250, 4000)]
    assert len(cues) == 6
    for cue, said in zip(cues, SAID, strict=True):
        assert cue.plaintext.endswith(said)
    assert "Ann" in written.with_suffix(f".{ending}").read_text()
    assert "Über 日本 → so" in cues[2].plaintext.replace("&gt;", ">")


def test_praatio_reads_the_textgrid(written: Path) -> None:
    grid = openTextgrid(str(written.with_suffix(".TextGrid")), includeEmptyIntervals=False, reportingMode="error")

    assert grid.tierNames == (
        *("words@Ann", "emotion@Ann", "words@Ann (overlap 2)", "emotion@Ann (overlap 2)"),
        *("words@Ben Li", "emotion@Ben Li"),
    )
    words, labels = (grid.getTier(name).entries for name in ("words@Ann", "emotion@Ann"))
    assert [(each.start, each.end, each.label) for each in words] == [
        (0.5, 2.25, 'Well, "yes": half <past> & 3'),
        (3.5, 6.125, "Über 日本 --> so"),
    ]
    assert [(each.start, each.label) for each in labels] == [(0.5, "neutral"), (3.5, "unsure"), (8.0, "happy")]
    assert grid.maxTimestamp == 10.0


def test_pympi_reads_the_eaf(written: Path) -> None:
    eaf = Eaf(str(written.with_suffix(".eaf")))

    assert set(eaf.get_tier_names()) == {
        f"{kind}@{name}" for kind in ("words", "emotion") for name in ("Ann", "Ann (overlap 2)", "Ben Li")
    }
    assert eaf.get_annotation_data_for_tier("words@Ann") == [
        (500, 2250, 'Well, "yes": half <past> & 3'),
        (3500, 6125, "Über 日本 --> so"),
        (8000, 9000, ""),
    ]
    assert [row[2] for row in sorted(eaf.get_annotation_data_for_tier("emotion@Ann"))] == ["neutral", "unsure", "happy"]
    assert eaf.get_parameters_for_tier("emotion@Ann")["PARENT_REF"] == "words@Ann"
    assert eaf.get_parameters_for_tier("words@Ann (overlap 2)")["PARTICIPANT"] == "Ann"
    vocabulary = eaf.get_cv_entries("emotions")
    assert [entry[0][0][0] for entry in vocabulary.values()] == [*LABELS, "unsure"]


def test_the_eaf_links_the_recording_and_the_entries_of_its_vocabulary(tmp_path: Path) -> None:
    recording = tmp_path / "my call.wav"
    recording.touch()

    path = write(tmp_path, analysis(CALL, recording)).with_suffix(".eaf")

    assert [each["MEDIA_URL"] for each in Eaf(str(path)).get_linked_files()] == [recording.resolve().as_uri()]
    labels = ElementTree.parse(path).findall(".//REF_ANNOTATION")
    assert {each.get("CVE_REF"): each.findtext("ANNOTATION_VALUE") for each in labels} == {
        "e0": "neutral", "e1": "happy", "e2": "angry", "e3": "unsure", None: "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("srt", '1\n01:02:05,005 --> 01:02:06,250\n[Ann]: so "be" <it> & go (happy 80 %)\n'),
        ("vtt", 'WEBVTT\n\n01:02:05.005 --> 01:02:06.250\n<v Ann>so "be" &lt;it&gt; &amp; go (happy 80 %)\n'),
    ],
)
def test_a_subtitle_is_as_its_format_has_it(tmp_path: Path, ending: str, expected: str) -> None:
    made = analysis([segment(3725.005, 3726.25, "Ann", "happy", 'so "be"\n<it> & go')])

    path = write(tmp_path, made).with_suffix(f".{ending}")

    assert path.read_text() == expected
    assert [(cue.start, cue.end) for cue in pysubs2.load(str(path))] == [(3_725_005, 3_726_250)]


def test_a_textgrid_doubles_quotes_and_has_an_interval_for_each_silence(tmp_path: Path) -> None:
    made = analysis([segment(0.5, 2.0, "Ann", "happy", 'so "be" it')], duration_s=3.0)

    lines = write(tmp_path, made).with_suffix(".TextGrid").read_text().splitlines()

    words = lines[lines.index('        name = "words@Ann"') : lines.index('        name = "emotion@Ann"')]
    assert [line.strip() for line in words if "text =" in line or "size =" in line] == [
        "intervals: size = 3", 'text = ""', 'text = "so ""be"" it"', 'text = ""',
    ]  # fmt: skip


@pytest.mark.parametrize("segments", [[], [silent(0, 1)], [segment(0, 1, HOSTILE, "happy", HOSTILE)]])
def test_every_reader_reads_an_empty_and_a_hostile_timeline(tmp_path: Path, segments: list[object]) -> None:
    path = write(tmp_path, analysis(segments))  # type: ignore[arg-type]

    openTextgrid(str(path.with_suffix(".TextGrid")), includeEmptyIntervals=True, reportingMode="error")
    Eaf(str(path.with_suffix(".eaf")))
    assert len(pysubs2.load(str(path.with_suffix(".vtt")))) == len(segments)
    assert len(pd.read_csv(path.with_suffix(".csv"))) == len(segments)
    assert {len(line.split(" ")) for line in path.with_suffix(".rttm").read_text().splitlines()} <= {10}


def test_what_an_analysis_wrote_is_no_transcript_of_the_recording(written: Path) -> None:
    files = [path for path in written.parent.iterdir() if path.suffix not in (".rttm", ".html")]
    written.with_suffix(".eaf").write_text(written.with_suffix(".eaf").read_text().replace("neutral", "happy"))

    assert len(files) == 6
    assert all(is_written_by_merkit(path) for path in files)
    assert not is_written_by_merkit(written.with_name("other.srt"))


def test_formats_are_chosen_by_name() -> None:
    assert chosen_formats("EAF, srt") == ("json", "srt", "eaf")
    with pytest.raises(ConfigError, match=r"No format named 'textgird'\. Did you mean 'textgrid'"):
        chosen_formats("csv,textgird")
