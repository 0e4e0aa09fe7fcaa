from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Line, read_transcript

LINES = [Line(0.5, 2.0, "Ann", "Good morning, Ben."), Line(2.25, 3.75, "Ben", "Is it?")]

SRT = """1
00:00:00,500 --> 00:00:02,000
<v Ann>Good morning,
<i>Ben</i>.

2
00:00:02,250 --> 00:00:03,750
<v Ben>Is it?</v>
"""
FILES = {
    "t.csv": 'start_s,end_s,speaker,text\n2.25,3.75,Ben,Is it?\n0.5,2.0,Ann,"Good morning, Ben."\n',
    "t.tsv": "start\tend\tspeaker\ttext\n0.5\t2.0\tAnn\tGood morning, Ben.\n2.25\t3.75\tBen\tIs it?\n",
    "t.json": '{"segments": [{"start": 0.5, "end": 2, "speaker": "Ann", "text": "Good morning, Ben."},'
    ' {"start": 2.25, "end": 3.75, "speaker": "Ben", "text": "Is it?"}]}',
    "t.jsonl": '{"start_s": 0.5, "end_s": 2.0, "speaker": "Ann", "text": "Good morning, Ben."}\n'
    '{"start_s": 2.25, "end_s": 3.75, "speaker": "Ben", "text": "Is it?"}\n',
    "t.srt": SRT,
    "t.vtt": "WEBVTT\n\n"
    + SRT.replace(",500", ".500").replace(",000", ".000").replace("00:00:02,", "00:02.").replace(",750", ".750"),
}


@pytest.mark.parametrize("name", FILES)
def test_all_formats_read_to_the_same_lines_in_order_of_time(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])

    assert list(read_transcript(tmp_path / name).lines) == LINES


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_recognised_from_the_content_not_from_the_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / "transcript.txt").write_text(FILES[name])

    assert list(read_transcript(tmp_path / "transcript.txt").lines) == LINES


def cues(*texts: str) -> str:
    return "\n".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{text}\n" for n, text in enumerate(texts, start=1))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("[S_0]: Hello.", "No: wait.", "[Ann B.]: Oh?"), [("S_0", "Hello."), ("", "No: wait."), ("Ann B.", "Oh?")]),
        (("ROSS: Hello.", "Dr. Green: It is\n10:30."), [("ROSS", "Hello."), ("Dr. Green", "It is 10:30.")]),
        (("Ross: Hello.", "And then"), [("", "Ross: Hello."), ("", "And then")]),
        (("I say to all: yes.", "Ann: Yes."), [("", "I say to all: yes."), ("", "Ann: Yes.")]),
        (("Careful: it is hot.",), [("", "Careful: it is hot.")]),
        (("[laughs] Hello: you.", "[door]"), [("", "[laughs] Hello: you."), ("", "[door]")]),
        (("[S_0]: Hello.", "[S_1]: "), [("S_0", "Hello."), ("S_1", None)]),
        (("Ann: Two\nthings: one.", "Mr. O’Neil:"), [("Ann", "Two things: one."), ("Mr. O’Neil", None)]),
        (("<v Ann>Ben: hello", "<v Ben>Ann: hello"), [("Ann", "Ben: hello"), ("Ben", "Ann: hello")]),
        (("10:30", "11:30"), [("", "10:30"), ("", "11:30")]),
    ],
    ids=[
        "in brackets",
        "every cue",
        "not every cue",
        "a sentence",
        "one cue",
        "a sound",
        "no words",
        "a name alone",
        "voices",
        "a clock",
    ],
)  # fmt: skip
def test_subtitles_name_the_speaker_before_a_colon(
    tmp_path: Path, texts: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    (tmp_path / "t.srt").write_text(cues(*texts))

    assert [(line.speaker, line.text) for line in read_transcript(tmp_path / "t.srt").lines] == expected


def test_a_plain_text_is_the_whole_recordings(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Good\nmorning.\n")

    assert read_transcript(tmp_path / "t.txt").lines == (Line(None, None, "", "Good morning."),)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.doc", "x", "its format was not recognised"),
        ("t.csv", "start_s,words_said\n", "no columns 'start' and 'text' among start_s, words_said"),
        ("t.csv", "start_s,end_s,words_said\n1,2,x\n", "no column 'text' among start_s, end_s, words_said"),
        ("t.csv", "start_s,end_s,text\n1,soon,x\n", "line 2: end is 'soon', expected seconds"),
        ("t.csv", "text\nhello\n", "goes into a .txt file"),
        ("t.csv", "start_s,end_s,text\n2,1,x\n", "from 2.0 to 1.0 s is no time span"),
        ("t.csv", "start_s,end_s,text\nnan,1,x\n", "line 2: start is 'nan', expected seconds"),
        ("t.json", "{", "is not JSON"),
        ("t.json", '"text"', "expected a list of objects"),
        ("t.srt", cues("[A]: Hi.", "[B]: Hi.\n[A]: Oh?"), "cue 2: two speakers in one cue"),
        ("t.srt", cues("Ann: Hi.", "Ben: Hi.\nAnn: Oh?"), "cue 2: two speakers in one cue"),
        ("t.srt", "1\n00:00:02,000 --> 00:00:01,000\nx\n", "cue 1: from 2.0 to 1.0"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)

    with pytest.raises(MerkitError, match=told):
        read_transcript(tmp_path / name)


def test_a_missing_transcript_is_told(tmp_path: Path) -> None:
    with pytest.raises(MerkitError, match="No transcript"):
        read_transcript(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "content",
    [
        "1\n00:00:00,000 --> 00:00:01,000\none\n\n2\n00:00:01,0 --> 00:00:02,0\ntwo\n",
        "1\n00:00:00,000 --> 00:00:01,000\none\n\n2\n00:00:01,000 -> 00:00:02,000\ntwo\n",
        "1\n00:00:00,000 --> 00:00:01,000\none\n\n2\n00:00:01:000 --> 00:00:02:000\ntwo\n",
        "1\n00:00:00,000 --> 00:00:01,000\none\n\n2\n-00:00:01,000 --> 00:00:02,000\ntwo\n",
    ],
    ids=["tenths", "another arrow", "colons", "negative"],
)
def test_a_cue_that_is_not_understood_is_an_error_not_a_missing_utterance(tmp_path: Path, content: str) -> None:
    path = tmp_path / "call.srt"
    path.write_text(content)

    with pytest.raises(MerkitError, match="expected one cue"):
        read_transcript(path)
