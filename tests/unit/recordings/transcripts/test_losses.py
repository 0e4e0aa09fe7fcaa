"""Words and times that are easily lost or misread: each is kept, counted in a note, or refused."""

from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Transcript, read_transcript

Lines = list[tuple[float | None, float | None, str, str | None]]

TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

{form}
"""
LONG = """xmin = 0
xmax = 3
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "Ann"
        xmin = 0
        xmax = 3
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "{first}"
"""
SECOND = """        intervals [2]:
            xmin = 1
            xmax = 3
            text = "ho ""you"""
SHORT = '0\n3\n<exists>\n1\n"IntervalTier"\n"Ann"\n0\n3\n2\n0\n1\n"hi"\n1\n'


def read(folder: Path, name: str, content: str) -> Transcript:
    (folder / name).write_bytes(content.encode())
    return read_transcript(folder / name, "call")


KEPT: dict[str, tuple[str, str, Lines, str]] = {
    "a cue that begins with NOTE": (
        "t.vtt",
        "WEBVTT\n\n00:00.000 --> 00:01.000\nNOTE this down\n\nNOTE not this\n\n00:01.000 --> 00:02.000\nSTYLE is all\n",
        [(0.0, 1.0, "", "NOTE this down"), (1.0, 2.0, "", "STYLE is all")],
        "",
    ),
    "a voice in capitals": (
        "t.vtt",
        "WEBVTT\n\n00:00.000 --> 00:01.000\n<V Bob>hi</V>\n",
        [(0.0, 1.0, "Bob", "hi")],
        "",
    ),
    "a word that begins with WEBVTT": (
        "t.txt",
        "WEBVTTs are files\nof words\n",
        [(None, None, "", "WEBVTTs are files of words")],
        "",
    ),
    "three captions that roll": (
        "t.srt",
        "1\n00:00:00,000 --> 00:00:01,000\nso\n\n2\n00:00:01,000 --> 00:00:02,000\nso\nwe\n\n"
        "3\n00:00:02,000 --> 00:00:03,000\nwe\nare\n",
        [(0.0, 1.0, "", "so"), (1.0, 2.0, "", "we"), (2.0, 3.0, "", "are")],
        "repeated rows of 2 more",
    ),
    "two speakers without names": (
        "t.srt",
        "1\n00:00:00,000 --> 00:00:01,000\n- Is it?\n- No.\n",
        [(0.0, 1.0, "", "- Is it? - No.")],
        "1 line with words of several speakers",
    ),
    "blank text beside words": (
        "t.json",
        '{"segments": [{"start": 0, "end": 1, "text": "", "words": [{"word": "hi", "start": 0, "end": 1}]}]}',
        [(0.0, 1.0, "", "hi")],
        "",
    ),
    "text of the whole beside lines without": (
        "t.json",
        '{"text": "hi there", "segments": [{"start": 0, "end": 1, "speaker": "A"}]}',
        [(0.0, 1.0, "A", None)],
        "the text of the whole recording was left out",
    ),
    "Vosk": (
        "t.json",
        '{"result": [{"conf": 1.0, "start": 0.1, "end": 0.5, "word": "hi"}, '
        '{"conf": 1.0, "start": 0.5, "end": 0.9, "word": "you"}], "text": "hi you"}',
        [(0.1, 0.9, "", "hi you")],
        "2 words with times of their own joined to 1 line",
    ),
    "RTTM in small letters": (
        "t.rttm",
        "speaker call 1 0.5 1.0 <NA> <NA> A <NA> <NA>\n",
        [(0.5, 1.5, "A", None)],
        "there are no words",
    ),
    "a gap in the speaker's column of an STM": (
        "t.stm",
        "call 1 A 0.1 0.7 <o> well\ncall 1 inter_segment_gap 0.7 0.9 <o>\n",
        [(0.1, 0.7, "A", "well")],
        "1 line that STM marks as not transcribed left out (line 2)",
    ),
    "silence in a CTM": (
        "t.ctm",
        "call 1 0.1 0.3 <eps>\ncall 1 0.4 0.3 then\ncall 1 0.7 0.1 SIL\n",
        [(0.4, 0.7, "", "then")],
        "2 lines of silence or noise left out (line 1, line 3)",
    ),
    "a column that is called #": ("t.csv", "#,Start,End,Text\n1,0,1.5,hi\n", [(0.0, 1.5, "", "hi")], ""),
    "words between two laughs": (
        "t.TextGrid",
        TEXTGRID.format(form=LONG.format(first="[laughs] oh no [laughs]") + SECOND + '"""\n'),
        [(0.0, 1.0, "", "[laughs] oh no [laughs]"), (1.0, 3.0, "", 'ho "you"')],
        "",
    ),
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_easily_lost_is_kept_or_counted(tmp_path: Path, kind: str) -> None:
    name, content, lines, note = KEPT[kind]
    found = read(tmp_path, name, content)
    assert [(line.start_s, line.end_s, line.speaker, line.text) for line in found.lines] == lines
    assert note in " ".join(found.notes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", 'start,end,text\n0,1,[laughs]\n1,2,"[""so"", ""it""]"\n', "line 3: text is a list or an object"),
        ("t.csv", "start,end,text\n0,1,{'word': 'so'}\n", "line 2: text is a list or an object"),
        ("t.csv", "begin,end,label\n0,1,so it is\n", "no column 'text' among begin, end, label"),
        ("t.csv", "Start;Ende;Text\n0;1;hi\n", "no column 'end' among Start, Ende, Text"),
        ("t.csv", "time,text\n0,hi\n", "no column 'start' among time, text"),
        ("t.csv", "start,end,text\n0\n", "line 2: 1 cell for 3 columns"),
        ("t.ctm", "call 1 0.10 0.30\n", "line 1: 'call 1 0.10 0.30' found, expected file channel start duration label"),
        ("t.TextGrid", TEXTGRID.format(form=LONG.format(first="hi")), "the TextGrid is cut off"),
        ("t.TextGrid", TEXTGRID.format(form=LONG.format(first="hi") + SECOND), "not a TextGrid that can be read"),
        ("t.TextGrid", TEXTGRID.format(form=SHORT), "the TextGrid is cut off"),
    ],
    ids=["list", "object", "label", "another end", "no start", "cell", "CTM", "long", "in a text", "short"],
)
def test_what_would_be_misread_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(MerkitError, match=message):
        read(tmp_path, name, content)
