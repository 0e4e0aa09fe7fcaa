"""Tables of transcripts, plain text, and files that are no transcript."""

import os
from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Transcript, read_transcript


def read(folder: Path, name: str, content: str | bytes) -> Transcript:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_transcript(folder / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('start,end,text\n0,1,"oh\n1,2,no "\n2,3,ok\n', "line 2: a quote that is closed in another line"),
        ('start,end,text\n0,1,"oh\n1,2,so "no\n2,3,ok\n', "line 2: text behind a closing quote"),
        ('start,end,text\n0,1,"oh\n\n\n', "line 2: a quote that is never closed"),
        ('start,end,text\n0,1,"oh, no"\n1,2,oh, no\n', r"line 3: 4 cells for 3 columns \(start, end, text\)"),
        ("start,end,text,\n0,1,oh, no\n", "line 2: 4 cells for 3 columns"),
        ("start,end,speaker,text\n0,1,Ann\n", "line 2: 3 cells for 4 columns"),
        ('start,end,text\n0,1, "oh"\n', "line 2: a quote behind a space"),
        ("start,end,text\n0,,oh\n", "line 2: end is missing"),
        ('start,end,text\n"0,5","1,5",oh\n', "line 2: start is '0,5', expected seconds with a point"),
        ("start,end,text\n1_0,2,oh\n", "line 2: start is '1_0', expected seconds"),
        ("start,end,text\n０,1,oh\n", "line 2: start is '０', expected seconds"),
        ("start,Start,end,text\n0,0,1,oh\n", "have 'start' twice"),
        ("start,,end,text\n0,x,1,oh\n", "column 2 has cells but no name"),
        ("sep=:\nstart:end:text\n", "line 1: 'sep=:' found"),
        ("0,1,oh\n1,2,no\n", "no column 'text' among 0, 1, oh"),
    ],
)
def test_a_damaged_table_is_refused_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(MerkitError, match=message) as refused:
        read(tmp_path, "t.csv", content)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("t.csv", 'start,end,text\n0,1,"two\nrows, ""no"""\n1,2,\n', ['two rows, "no"', None]),
        ("t.csv", 'start,end,text\n0,1,5" tall\n', ['5" tall']),
        ("t.csv", "start|end|text\n0|1|oh, no; so\n", ["oh, no; so"]),
        ("t.tsv", 'start\tend\ttext\n0\t1000\t"No," he said\n1000\t2000\t"yes"\n', ['"No," he said', '"yes"']),
        ("t.tsv", 'start\tend\tspeaker\ttext\n0.0\t1.0\tAnn\t"oh ""no"""\n1\t2\t\t"so\n', ['oh "no"', '"so']),
        ("t.txt", "Start Time,End Time,Speaker,Text\n0:00,0:01,Ann,oh\n", ["oh"]),
    ],
    ids=["quoted rows", "inches", "bars", "Whisper", "quoted TSV", "ending"],
)
def test_quotes_and_delimiters_are_read_as_they_were_written(
    tmp_path: Path, name: str, content: str, texts: list[str | None]
) -> None:
    assert [line.text for line in read(tmp_path, name, content).lines] == texts


def test_seconds_in_whole_numbers_are_not_taken_for_milliseconds(tmp_path: Path) -> None:
    transcript = read(tmp_path, "t.tsv", "start\tend\ttext\n0\t2\tI am here.\n2\t4\tYes.\n")

    assert [(line.start_s, line.end_s) for line in transcript.lines] == [(0.0, 2.0), (2.0, 4.0)]
    assert transcript.notes == ()


@pytest.mark.parametrize("content", ["", " \n\t\n", "\u200b\n", "\ufeff"])
def test_a_plain_text_without_words_is_the_recording_without_text(tmp_path: Path, content: str) -> None:
    transcript = read(tmp_path, "t.txt", content)

    assert [(line.start_s, line.end_s, line.text) for line in transcript.lines] == [(None, None, None)]
    assert transcript.notes == ("Transcript: there are no words: the recording is analyzed without text.",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.srt", ""),
        ("t.vtt", "WEBVTT\n\n"),
        ("t.vtt", "WEBVTT\nKind: captions\nLanguage: en\n\nNOTE nobody speaks"),
        ("t.json", '{"text": "", "segments": []}'),
        ("t.json", "[]"),
        ("t.csv", "start,end,text\n"),
        ("t.tsv", "start\tend\ttext\n"),
    ],
)
def test_what_tools_write_for_silence_is_the_recording_without_text(tmp_path: Path, name: str, content: str) -> None:
    transcript = read(tmp_path, name, content)

    assert [(line.start_s, line.end_s, line.text) for line in transcript.lines] == [(None, None, None)]
    assert transcript.notes[0] == "Transcript: it holds no line."


def test_two_columns_of_text_are_told(tmp_path: Path) -> None:
    transcript = read(tmp_path, "t.csv", "start,end,text,transcript\n0,1,oh,no\n1,2,,so\n")

    assert [line.text for line in transcript.lines] == ["oh", "so"]
    assert "several columns are text (text, transcript)" in transcript.notes[0]


@pytest.mark.parametrize(
    "content",
    ["<sigh> no", "[laughs] oh\n[door]", "{laughs} oh", "They counted 3 4 5", "10:30 is late\nI said\nso\nyes"],
)
def test_words_that_look_like_a_format_are_words(tmp_path: Path, content: str) -> None:
    assert [line.text for line in read(tmp_path, "t.txt", content).lines] == [" ".join(content.split())]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", "Ann  0:03 \nHello there.\n\nBen  0:05 \nOh.\n", "line 1: 'Ann  0:03' begins with a time"),
        ("t.txt", "[00:01] hello\n[00:05] there\n", "begins with a time"),
        ("t.txt", "0,1.5,hello\n1.5,2,oh\n", "begins with a time"),
        ("t.txt", "{0}{25}Hello\n{25}{50}there\n", "begins with a time"),
        ("t.txt", "[Script Info]\nTitle: a\n[Events]\n", "SubStation Alpha .* is not read"),
        ("t.txt", "<html><body>oh</body></html>", r"XML and HTML \(<html>\) are not read"),
        ("t.docx", b"PK\x03\x04rest", "a ZIP file, such as an Excel workbook"),
        ("t.txt", b"%PDF-1.4", "is a PDF"),
        ("t.txt", b"RIFF\x00\x00\x00\x00WAVE", "is no text: it has a zero byte"),
        ("t.txt", b"\xff\xfea", "damaged UTF-16 at byte 2"),
        ("t.rtf", rb"{\rtf1 oh}", "is rich text"),
        ("t.md", "# Title\nwords", "its format was not recognised"),
        ("t.ctm", "rec 1 0.1 0.3 oh\nrec 1 0.4 x no\n", "line 2: .* expected file channel start duration label"),
        ("t.rttm", "SPEAKER rec 1 0.0 1.5\n", "line 1: 5 columns found"),
    ],
)
def test_a_file_that_is_no_transcript_is_told(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(MerkitError, match=message):
        read(tmp_path, name, content)


def test_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.srt")

    with pytest.raises(MerkitError, match="is a folder, expected a transcript"):
        read_transcript(tmp_path)
    with pytest.raises(MerkitError, match="is no regular file, expected a transcript"):
        read_transcript(tmp_path / "pipe.srt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" + "{}," * 600_000 + "{}]", "has 600,001 lines or words, more than a day of speech"),
        ("start,end,text\n" + "\n" * 600_000, "has 600,001 lines or words"),
        ("start,end,text\n0,1,a" + "," * 30_000, "line 2: more than 20,000 cells"),
        ("a" * 2_000_001, "a line of it has 2,000,001 characters"),
        (" " * 20_000_001, "is larger than 20 MB"),
    ],
    ids=["objects", "lines", "cells", "a line", "bytes"],
)
def test_what_no_recording_can_hold_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(MerkitError, match=message):
        read(tmp_path, "t.csv", content)
