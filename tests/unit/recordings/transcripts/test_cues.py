"""Subtitles: which rows belong to a cue, what is markup, who speaks, and captions that roll."""

from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Transcript, read_transcript

VTT = "WEBVTT\n\n"


def read(folder: Path, content: str | bytes) -> Transcript:
    (folder / "t.vtt").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_transcript(folder / "t.vtt")


def cues(*texts: str) -> str:
    return "\n".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{text}\n" for n, text in enumerate(texts, start=1))


def timed(*texts: str) -> str:
    return VTT + "\n".join(f"00:0{n}.000 --> 00:0{n}.900\n{text}\n" for n, text in enumerate(texts, start=1))


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (cues("one\n\ntwo\n \nthree", "four"), ["one two three", "four"]),
        (cues("\none", "two"), ["one", "two"]),
        (cues("42", "3"), ["42", "3"]),
        (cues("I said\n\n7", "two"), ["I said 7", "two"]),
        (cues("one", "two").replace("\n\n", "\n"), ["one", "two"]),
        (cues("one", "two").replace("\n", "\r\n"), ["one", "two"]),
        (cues("one", "two").replace("\n", "\r"), ["one", "two"]),
        (cues("one\u2028more\x85again", "two"), ["one more again", "two"]),
        ("00:01,000 --> 00:02,000\none\n\n00:02 --> 00:03\ntwo\n", ["one", "two"]),
        (cues("A --> B, 5 -> 6", "two").replace(",900", ",900 X1:10 X2:20 Y1:0 Y2:9"), ["A --> B, 5 -> 6", "two"]),
        (timed("one\n\nmore", "two"), ["one more", "two"]),
        (timed("one\n\nNOTE a note\nof two rows", "two\n\nNOTE the end"), ["one", "two"]),
        (VTT + "STYLE\n::cue { color: red }\n\nintro\n" + timed("one", "two")[8:].replace("\n\n", "\n\npart 2\n"),
         ["one", "two"]),
        ("WEBVTT - title\nKind: captions\n\n" + timed("one", "two")[8:], ["one", "two"]),
    ],
    ids=["blank rows", "leading", "numbers", "a number below", "no blank row", "CRLF", "CR", "line separators",
         "no numbers", "arrows", "WebVTT", "notes", "style and names", "header"],
)  # fmt: skip
def test_the_rows_of_a_cue_are_all_its_own(tmp_path: Path, content: str, texts: list[str]) -> None:
    assert [line.text for line in read(tmp_path, content).lines] == texts


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1 < 2 and 3 > 2, I <3 you <sigh> </sigh>", "1 < 2 and 3 > 2, I <3 you <sigh> </sigh>"),
        ("{\\an8}{\\i1}No{\\i0}, <i>no</i> <b>b</B> <u>u</u>{b}x{/b}", "No, no b ux"),
        ('<font color="#fff" size=2>red</font><br/>row', "red row"),
        ("<fonts>, <b and c>, {laughs}, <s>", "<fonts>, <b and c>, {laughs}, <s>"),
        ("<00:00:01.100><c>oh,</c><c.yellow.loud> no</c> <lang en-GB>x</lang>", "oh, no x"),
        ("R&amp;D isn&#39;t &#x41; &lt;b&gt; &amp;amp;", "R&D isn't A <b> &amp;"),
        ("AT&T &copy &notaname; &;", "AT&T &copy &notaname; &;"),
    ],
)
@pytest.mark.parametrize("form", [cues, timed])
def test_only_known_markup_leaves_the_text(tmp_path: Path, form: object, written: str, text: str) -> None:
    assert [line.text for line in read(tmp_path, form(written)).lines] == [text]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (cues("Ann: hi", "Ben: oh", "and on"), [("Ann", "hi"), ("Ben", "oh"), ("", "and on")]),
        (timed("<v Ann>hi</v>", "<v.loud Bob O&#39;Neil>oh", "on"), [("Ann", "hi"), ("Bob O'Neil", "oh"), ("", "on")]),
        (cues("ANN (laughing): hi", ">> BEN: oh", "- Cy: why"), [("ANN", "hi"), ("BEN", "oh"), ("Cy", "why")]),
        (cues(">> BEN: oh"), [("BEN", "oh")]),
        (cues("Maria de la Cruz: hi", "Dr. Ben Ali: oh"), [("Maria de la Cruz", "hi"), ("Dr. Ben Ali", "oh")]),
        (
            cues("So I said: no", "I think", "so", "too"),
            [("", "So I said: no"), ("", "I think"), ("", "so"), ("", "too")],
        ),
        (cues("- Hi.\n- Oh."), [("", "- Hi. - Oh.")]),
        (cues("0: hi", "1: oh"), [("", "0: hi"), ("", "1: oh")]),
        (cues("安: 你好", "王: 好"), [("安", "你好"), ("王", "好")]),
    ],
    ids=["one without", "voices", "forms", "a sign", "long names", "a sentence", "dashes", "digits", "Chinese"],
)
def test_speakers_are_named_in_many_forms(tmp_path: Path, content: str, expected: list[tuple[str, str]]) -> None:
    assert [(line.speaker, line.text) for line in read(tmp_path, content).lines] == expected


def test_a_remark_behind_a_name_is_counted(tmp_path: Path) -> None:
    assert read(tmp_path, cues("ANN (laughing): hi", "BEN: oh")).notes == (
        "Transcript: 1 line without the remark behind the speaker's name (cue 1).",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (timed("<v Ann>hi</v> <v Ben>oh</v>"), "cue 1: two speakers in one cue"),
        (cues("- Ann: hi\n- Ben: oh", "Ann: yes"), "cue 1: two speakers in one cue"),
        (cues("hi").replace(",900", ",900 hello"), "line 2: words behind the times of a cue: 'hello'"),
        (cues("hi").replace("00:01", "00:75"), "line 2: .* expected minutes and seconds below 60"),
        ("lost words\n\n" + cues("hi"), "words before the first cue: 'lost words 1'"),
        (VTT + "lost words\n\nmore\n" + timed("hi")[8:], "words before the first cue: 'lost words more'"),
        ("WEBVTT\nwords", "no cue with times"),
        ("webvtt" + VTT[6:], "words before the first cue: 'webvtt'"),
    ],
)  # fmt: skip
def test_a_cue_that_cannot_be_understood_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(MerkitError, match=message):
        read(tmp_path, content)


def test_captions_that_roll_without_short_cues_have_each_row_once(tmp_path: Path) -> None:
    rolling = timed("row 0", *(f"row {n - 1}\nrow {n}" for n in range(1, 6)))

    transcript = read(tmp_path, rolling)

    assert [line.text for line in transcript.lines] == [f"row {n}" for n in range(6)]
    assert "the repeated rows of 5 more" in transcript.notes[0]


def test_words_that_people_repeat_stay(tmp_path: Path) -> None:
    transcript = read(tmp_path, cues("No.", "No.\nNo.", "No.", "Yes."))

    assert [line.text for line in transcript.lines] == ["No.", "No. No.", "No.", "Yes."]
    assert transcript.notes == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_subtitles_are_read_in_any_unicode(tmp_path: Path, encoding: str) -> None:
    transcript = read(tmp_path, cues("café – “no”").encode(encoding))

    assert [line.text for line in transcript.lines] == ["café – “no”"]
    assert transcript.notes == ()


def test_windows_letters_are_read_with_a_note(tmp_path: Path) -> None:
    transcript = read(tmp_path, cues("Où été? « ça » – “no”").encode("cp1252"))

    assert [line.text for line in transcript.lines] == ["Où été? « ça » – “no”"]
    assert "was read as Windows-1252" in transcript.notes[0]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("привет", "cp1251"), ("こんにちは", "shift-jis"), ("你好吗我们都", "gbk"), ("ああ", "euc-jp")],
)
def test_other_encodings_are_refused_not_guessed(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(MerkitError, match=r"not UTF-8 at byte .*save it as UTF-8"):
        read(tmp_path, cues(text).encode(encoding))
