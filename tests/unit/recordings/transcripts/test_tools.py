"""Transcripts as tools write them: the same two lines from every one, and the rules that only some have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Transcript, read_transcript

Lines = list[tuple[float | None, float | None, str, str | None]]


def read(folder: Path, name: str, content: str | bytes | Any) -> Transcript:
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_transcript(folder / name, "rec")


def lines_of(transcript: Transcript) -> Lines:
    return [(line.start_s, line.end_s, line.speaker, line.text) for line in transcript.lines]


def item(content: str, start: str = "", end: str = "") -> dict[str, Any]:
    times = {"start_time": start, "end_time": end, "type": "pronunciation"} if start else {"type": "punctuation"}
    return {**times, "alternatives": [{"content": content, "confidence": "0.9"}]}


def words(*rows: tuple[str, float, float, Any], word: str = "word", speaker: str = "speaker") -> list[dict[str, Any]]:
    return [{word: text, "start": start, "end": end, speaker: name} for text, start, end, name in rows]


SPOKEN = (("Oh", 0.5, 0.9, 0), ("no.", 1.0, 1.5, 0), ("Why?", 2.0, 2.5, 1))
GOOGLE = [
    {"word": text, "startTime": f"{start}s", "endTime": f"{end}s", "speakerTag": name + 1}
    for text, start, end, name in SPOKEN
]
AWS_ITEMS = [item("Oh", "0.5", "0.9"), item("no", "1.0", "1.5"), item("."), item("Why", "2.0", "2.5"), item("?")]
AWS_SPEAKERS = [
    {"start_time": "0.5", "end_time": "1.5", "speaker_label": "spk_0"},
    {"start_time": "2.0", "end_time": "2.5", "speaker_label": "spk_1"},
]

TOOLS: dict[str, tuple[str, Any, tuple[str, str]]] = {
    "WhisperX": (
        "t.json",
        {"segments": [{"start": 0.5, "end": 1.5, "text": " Oh no.", "speaker": "S0"},
                      {"start": 2.0, "end": 2.5, "speaker": "S1", "words": words(("Why?", 2.0, 2.5, "S1"))}]},
        ("S0", "S1"),
    ),
    "word times only": (
        "t.json",
        {"segments": [{"text": "Oh no.", "words": words(*SPOKEN[:2])}, {"text": "Why?", "words": words(SPOKEN[2])}]},
        ("", ""),
    ),
    "Whisper, printed": ("t.txt", "[00:00.500 --> 00:01.500]  Oh no.\n[00:02.000 --> 00:02.500]  Why?\n", ("", "")),
    "Whisper, TSV": ("t.tsv", "start\tend\ttext\n500\t1500\tOh no.\n2000\t2500\tWhy?\n", ("", "")),
    "whisper.cpp": (
        "t.json",
        {"transcription": [{"offsets": {"from": 500, "to": 1500}, "text": " Oh no."},
                           {"offsets": {"from": 2000, "to": 2500}, "text": " Why?"}]},
        ("", ""),
    ),
    "AssemblyAI": (
        "t.json",
        {"utterances": [{"speaker": "A", "start": 500, "end": 1500, "text": "Oh no."},
                        {"speaker": "B", "start": 2000, "end": 2500, "text": "Why?"}]},
        ("A", "B"),
    ),
    "AssemblyAI, words": (
        "t.json",
        {"utterances": None, "words": words(("Oh", 500, 900, "A"), ("no.", 1000, 1500, "A"), ("Why?", 2000, 2500, "B"),
                                            word="text")},
        ("A", "B"),
    ),
    "Deepgram": (
        "t.json",
        {"results": {"channels": [], "utterances": [
            {"start": 0.5, "end": 1.5, "transcript": "Oh no.", "speaker": 0, "channel": 0},
            {"start": 2.0, "end": 2.5, "transcript": "Why?", "speaker": 1, "channel": 0}]}},
        ("0", "1"),
    ),
    "Deepgram, words": (
        "t.json",
        {"results": {"channels": [{"alternatives": [{"transcript": "oh no why", "words": [
            {"word": text.lower(), "punctuated_word": text, "start": start, "end": end, "speaker": name}
            for text, start, end, name in SPOKEN]}]}]}},
        ("0", "1"),
    ),
    "AWS": (
        "t.json",
        {"results": {"items": AWS_ITEMS, "speaker_labels": {"segments": AWS_SPEAKERS}}},
        ("spk_0", "spk_1"),
    ),
    "AWS, labels on items": (
        "t.json",
        {"results": {"items": [{**each, "speaker_label": f"spk_{n > 2:d}"} for n, each in enumerate(AWS_ITEMS)]}},
        ("spk_0", "spk_1"),
    ),
    "Google": (
        "t.json",
        {"results": [{"alternatives": [{"transcript": "Oh no. Why?", "words": [
            {key: word[key] for key in word if key != "speakerTag"} for word in GOOGLE]}]},
            {"alternatives": [{"words": GOOGLE}]}]},
        ("1", "2"),
    ),
    "Google, long": ("t.json", {"response": {"results": [{"alternatives": [{"words": GOOGLE}]}]}}, ("1", "2")),
    "Azure": (
        "t.json",
        {"recognizedPhrases": [
            {"speaker": 1, "channel": 0, "offsetInTicks": 5_000_000, "durationInTicks": 10_000_000.0,
             "nBest": [{"display": "Oh no."}]},
            {"speaker": 2, "channel": 0, "offsetInTicks": 20_000_000, "durationInTicks": 5_000_000,
             "nBest": [{"display": "Why?"}]}]},
        ("1", "2"),
    ),
    "Azure, durations": (
        "t.json",
        {"recognizedPhrases": [{"offset": "PT0.5S", "duration": "PT1S", "nBest": [{"display": "Oh no."}]},
                               {"offset": "PT2S", "duration": "PT0.5S", "nBest": [{"display": "Why?"}]}]},
        ("", ""),
    ),
    "Hugging Face": (
        "t.json",
        {"text": "Oh no. Why?", "chunks": [{"timestamp": [0.5, 1.5], "text": " Oh no."},
                                           {"timestamp": [2.0, 2.5], "text": " Why?"}]},
        ("", ""),
    ),
    "podcast": (
        "t.json",
        {"version": "1.0.0", "segments": [
            {"startTime": 0.5, "endTime": 1.5, "body": "Oh no.", "speaker": "Ann"},
            {"startTime": 2.0, "endTime": 2.5, "body": "Why?", "speaker": "Ben"}]},
        ("Ann", "Ben"),
    ),
    "YouTube's API": (
        "t.json",
        [{"text": "Oh no.", "start": 0.5, "duration": 1.0}, {"text": "Why?", "start": 2.0, "duration": 0.5}],
        ("", ""),
    ),
    "lines of JSON": (
        "t.jsonl",
        '{"start": 0.5, "end": 1.5, "text": "Oh no."}\n\n{"start": "00:00:02.0", "end": "2.5s", "text": "Why?"}\n',
        ("", ""),
    ),
    "STM": (
        "t.stm",
        ";; a comment\nrec 1 Ann 0.5 1.5 <o,f0,female> Oh no.\nrec 1 Ben 2.0 2.5 Why?\n",
        ("Ann", "Ben"),
    ),
    "CTM": ("t.ctm", "rec A 0.5 0.4 Oh 0.9\nrec A 1.0 0.5 no.\nrec B 2.0 0.5 Why?\n", ("A", "B")),
    "Audacity": ("t.txt", "0.500000\t1.500000\tOh no.\n2.000000\t2.500000\tWhy?\n", ("", "")),
    "a spreadsheet": (
        "T.CSV",
        "\ufeffsep=;\r\nStart (s);End (s);Speaker;Text;;\r\n0,5;1,5;Ann;Oh no.;;\r\n2;2,50;Ben;Why?;;\r\n;;;;;\r\n",
        ("Ann", "Ben"),
    ),
    "UTF-16 and tabs": (
        "t.csv",
        "start_ms\tend_ms\ttext\r\n500\t1500\tOh no.\r\n2000\t2500\tWhy?\r\n".encode("utf-16"),
        ("", ""),
    ),
    "pandas": ("t.csv", ",start,end,text\n0,0.5,1.5,Oh no.\n1,2.0,2.5,Why?\n", ("", "")),
    "clock times": ("t.csv", 'start,end,text\n"00:00:00,5",0:01.5,Oh no.\n0:02,00:00:02.500,Why?\n', ("", "")),
    "Zoom": (
        "t.vtt",
        "WEBVTT\n\n1\n00:00:00.500 --> 00:00:01.500\nMaria de la Cruz: Oh no.\n\n"
        "2\n00:00:02.000 --> 00:00:02.500\nBen: Why?\n",
        ("Maria de la Cruz", "Ben"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_is_read_to_the_same_lines(tmp_path: Path, tool: str) -> None:
    name, content, speakers = TOOLS[tool]

    transcript = read(tmp_path, name, content)

    assert lines_of(transcript) == [
        (0.5, 1.5, speakers[0], "Oh no."),
        (2.0, 2.5, speakers[1], "Why?"),
    ]


def test_rttm_has_no_words_but_speakers(tmp_path: Path) -> None:
    row = "SPEAKER rec 1 {} <NA> <NA> {} <NA> <NA>\n"

    transcript = read(tmp_path, "t.txt", row.format("0.0 1.5", "A") + row.format("1.0 1.0", "B"))

    assert lines_of(transcript) == [(0.0, 1.5, "A", None), (1.0, 2.0, "B", None)]
    assert transcript.notes == ("Transcript: there are no words: every line is analyzed without text.",)


def test_kaldi_has_words_and_speakers_in_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("u1 oh no\nu2 why\nu9 lost\n")
    (tmp_path / "utt2spk").write_text("u1 Ann\nu2 Ben\n")

    transcript = read(tmp_path, "segments", "u1 rec 0.5 1.5\nu2 rec 2.0 -1\n")

    assert lines_of(transcript) == [(0.5, 1.5, "Ann", "oh no"), (2.0, None, "Ben", "why")]
    assert transcript.notes == ("Transcript: 1 text of utterances that 'segments' lacks left out (u9, …).",)
    assert read_transcript(tmp_path / "text") == transcript


def test_of_several_recordings_that_of_the_same_name_is_read(tmp_path: Path) -> None:
    content = "one 1 0.1 0.3 hello\nrec 1 0.2 0.4 bye\n"

    transcript = read(tmp_path, "t.ctm", content)

    assert [line.text for line in transcript.lines] == ["bye"]
    with pytest.raises(MerkitError, match="recordings one, rec, and none is called 'call'"):
        read_transcript(tmp_path / "t.ctm", "call")


TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3
tiers? <exists>
size = 2
item []:
"""


def tier(number: int, name: str, *intervals: tuple[float, float, str]) -> str:
    head = f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
    rows = "".join(
        f'        intervals [{n}]:\n            xmin = {start}\n            xmax = {end}\n            text = "{text}"\n'
        for n, (start, end, text) in enumerate(intervals, start=1)
    )
    return f"{head}        xmax = 3\n        intervals: size = {len(intervals)}\n{rows}"


@pytest.mark.parametrize(
    ("tiers", "expected", "notes"),
    [
        (
            tier(1, "Ann", (0, 1, "oh no"), (1, 3, "")) + tier(2, "Ben", (0, 1, ""), (1, 2, "why"), (2, 3, "sil")),
            [(0.0, 1.0, "Ann", "oh no"), (1.0, 2.0, "Ben", "why")],
            ["1 line of silence or noise left out (tier 'Ben', interval 2)"],
        ),
        (
            tier(1, "words", (0, 1, "oh"), (1, 1.5, "no"), (1.5, 3, "")) + tier(2, "phones", (0, 1, "o"), (1, 3, "")),
            [(0.0, 1.5, "", "oh no")],
            [
                "tiers of phones left out: phones",
                "2 words with times of their own joined to 1 line: a line ends at a change of speaker or a pause "
                "of 0.8 s",
            ],
        ),
    ],
    ids=["a tier for each speaker", "words and phones"],
)
def test_a_textgrid_has_speakers_or_words_in_its_tiers(
    tmp_path: Path, tiers: str, expected: Lines, notes: list[str]
) -> None:
    pytest.importorskip("praatio")

    transcript = read(tmp_path, "t.txt", TEXTGRID + tiers)

    assert lines_of(transcript) == expected
    assert list(transcript.notes) == [f"Transcript: {note}." for note in notes]


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="t3"/></TIME_ORDER>
<TIER TIER_ID="k" PARTICIPANT="Ann"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2"><ANNOTATION_VALUE>R&amp;D,
oh</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="t2" TIME_SLOT_REF2="t3"><ANNOTATION_VALUE>no</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="translation" PARENT_REF="k"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>ach</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_eaf_has_lines_in_tiers_that_depend_on_no_other(tmp_path: Path, encoding: str) -> None:
    transcript = read(tmp_path, "t.eaf", EAF.replace("UTF-8", encoding).encode(encoding))

    assert lines_of(transcript) == [(0.5, 1.5, "Ann", "R&D, oh")]
    assert list(transcript.notes) == [
        "Transcript: 1 annotation of tiers that depend on others left out (translation).",
        "Transcript: 1 line without times left out (annotation a2).",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<ANNOTATION_DOCUMENT>", '<!DOCTYPE a [<!ENTITY b "bb">]><ANNOTATION_DOCUMENT>'), "document type"),
        (("<ANNOTATION_DOCUMENT>", '<!DOCTYPE a SYSTEM "a.dtd"><ANNOTATION_DOCUMENT>'), "document type"),
        (('"milliseconds"', '"PAL-frames"'), "times are 'PAL-frames', expected milliseconds"),
        (('"1500"', '"1.5"'), r"TIME_VALUE is '1\.5', expected whole milliseconds"),
        (("</TIME_ORDER>", ""), "not XML that can be read"),
        (("ANNOTATION_DOCUMENT", "tt"), r"XML and HTML \(<tt>\) are not read"),
    ],
    ids=["entity", "external", "frames", "fraction", "damaged", "subtitles"],
)
def test_xml_that_is_unsafe_or_of_another_kind_is_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(MerkitError, match=message):
        read(tmp_path, "t.eaf", EAF.replace(*change))


@pytest.mark.parametrize(
    ("content", "expected", "note"),
    [
        ([{"start": 0, "end": 1, "text": "a", "speaker": 0}, {"start": 1, "end": 2, "text": "b", "speaker": 1.0}],
         [("0", "a"), ("1", "b")], None),
        ([{"start": 0, "end": 1, "text": "\u200b \u2060"}, {"start": 1, "end": 2, "text": "\u3164"},
          {"start": 2, "end": 3, "text": "a"}], [("", None), ("", None), ("", "a")], "2 lines without words"),
        ([{"text": "a"}, {"start": 1, "end": 2, "text": "b"}], [("", "b")], r"1 line without times .* \(segment 1"),
        ([{"start": 1, "end": 2, "text": "b"}, {"start": 0, "end": 1, "text": "a"}], [("", "a"), ("", "b")],
         "1 line out of order"),
        ({"text": " All of it. ", "segments": []}, [("", "All of it.")], "it has no times"),
        ({"text": "All of it."}, [("", "All of it.")], "it has no times"),
        ({"chunks": [{"timestamp": [0, None], "text": "a"}, {"timestamp": [1, None], "text": "b"}]}, [("", "b")],
         "1 line without times left out"),
        ({"utterances": [{"start": 0, "end": 2, "text": "I am here."}]}, [("", "I am here.")], None),
        ({"results": {"utterances": [{"start": 0, "end": 1, "transcript": "a", "channel": 0, "speaker": 0},
                                     {"start": 1, "end": 2, "transcript": "b", "channel": 1, "speaker": 0}]}},
         [("0-0", "a"), ("1-0", "b")], None),
        ([{"start": 0, "end": 1, "speaker": "A"}], [("A", None)], "there are no words"),
        ([{"start": 0, "end": 1, "text": "a", "words": [{"word": "b", "start": 0, "end": 1}]}], [("", "a")], None),
        ({"start": 0, "end": 1, "text": "a"}, [("", "a")], None),
    ],
    ids=["speaker 0", "invisible", "no times", "order", "no segments", "text alone", "open chunk", "whole seconds",
         "speakers of channels", "no words", "a list of one line", "one line"],
)  # fmt: skip
def test_json_keeps_every_line_or_counts_it(
    tmp_path: Path, content: Any, expected: list[tuple[str, str | None]], note: str | None
) -> None:
    transcript = read(tmp_path, "t.json", content)

    assert [(line.speaker, line.text) for line in transcript.lines] == expected
    assert len(transcript.notes) == (note is not None)
    if note is not None:
        assert re.search(note, transcript.notes[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"segments": ' * 50_000, "nested too deeply"),
        ('[{"start": 0, "end": 1' + "0" * 5000 + ', "text": "a"}]', "a number has thousands of digits"),
        ('[{"start": 0, "end": 1' + "0" * 400 + ', "text": "a"}]', "segment 1: end is not a finite number"),
        ('[{"start": 0, "end": 1e999, "text": "a"}]', "segment 1: end is not a finite number"),
        ('[{"start": NaN, "end": 1, "text": "a"}]', "segment 1: start is not a finite number"),
        ('[{"start": 0, "end": -Infinity, "text": "a"}]', "segment 1: end is not a finite number"),
        ('[{"start": 0, "start": 1, "end": 2, "text": "a"}]', "the key 'start' occurs twice"),
        ('[{"start": 0, "end": 1, "text": "\\ud800"}]', "text has half of a surrogate pair"),
        ('[{"start": 0, "end": 1, "text": "a", "speaker": "\\udfff"}]', "the speaker has half of a surrogate pair"),
        ('{"segments": [{"start": 0, "end": 1, "te', r"is not JSON: .* \(column 38\)"),
        ("null", "expected a list of objects .*, found null"),
        ({"other": 1}, "its keys are other"),
        ([1], "segment 1: a number was found"),
        ([[0, 1, "a"]], "segment 1: a list was found"),
        ([{"start": 0, "end": True, "text": "a"}], "segment 1: end is true, expected seconds"),
        ([{"start": [0], "end": 1, "text": "a"}], "segment 1: start is a list, expected seconds"),
        ([{"start": "soon", "end": 1, "text": "a"}], "start is 'soon', expected seconds such as"),
        ([{"start": "00:00:01:12", "end": 2, "text": "a"}], "counts frames"),
        ([{"start": "00:75", "end": 99, "text": "a"}], "minutes and seconds below 60"),
        ([{"start": -1, "end": 1, "text": "a"}], r"segment 1: from -1\.0 to 1\.0 s is no time span"),
        ([{"start": 0, "end": 1, "text": 5}], "segment 1: text is 5, expected text"),
        ([{"start": 0, "end": 1, "text": False}], "segment 1: text is False, expected text"),
        ([{"start": 0, "end": 1, "text": {"en": "a"}}], r"segment 1: text is an object \(en\), expected text"),
        ([{"start": 0, "end": 1, "words": [1]}], "segment 1: 'words' is expected to be a list of words"),
        ([{"start": 0, "end": 1, "text": "a", "speaker": ["A"]}], "segment 1: the speaker is a list of 1"),
        ([{"start": 0, "end": 1, "txt": "a"}], "no column 'text' among start, end, txt"),
        ([{"text": "a"}], "segment 1: start is missing, expected seconds; a text without times goes into a .txt file"),
        ([{"start": 1, "end": 1, "text": "a"}], "has no line that can be used: 1 line of no length left out"),
        ({"transcription": [{"text": "a"}]}, "segment 1: expected 'offsets' or 'timestamps'"),
        ({"chunks": [{"timestamp": 1, "text": "a"}]}, "chunk 1: expected 'timestamp' with a start and an end"),
        ({"results": {"items": 1}}, "a number was found, expected a list of items"),
        ({"results": {"items": [item("a", "0", "x")]}}, "item 1: end is 'x', expected seconds"),
        ({"results": {"other": 1}}, r"expected 'utterances' or 'channels' \(Deepgram\) or 'items' \(AWS\), found"),
        ({"results": [{"alternatives": [{"transcript": "a"}]}]}, "result 1: a transcript without the times"),
        ({"recognizedPhrases": [{"nBest": [{"display": "a"}]}]}, "phrase 1: offsetInTicks is missing"),
    ],
)  # fmt: skip
def test_json_of_another_kind_is_one_line_that_names_the_place(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(MerkitError, match=message) as refused:
        read(tmp_path, "t.json", content)

    assert "\n" not in str(refused.value)
    assert "t.json" in str(refused.value)


def test_single_words_of_a_pipeline_are_joined_to_lines(tmp_path: Path) -> None:
    chunks = [{"timestamp": [n / 2, n / 2 + 0.3], "text": f" w{n}"} for n in range(8)]
    chunks.append({"timestamp": [9.0, None], "text": " end"})

    transcript = read(tmp_path, "t.json", {"chunks": chunks})

    assert lines_of(transcript) == [(0.0, 3.8, "", "w0 w1 w2 w3 w4 w5 w6 w7"), (9.0, None, "", "end")]
