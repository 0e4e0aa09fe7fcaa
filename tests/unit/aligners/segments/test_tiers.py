"""What holds for every tier, and files of segments in every format, there and back."""

from pathlib import Path

import pytest
from tests.segment_files import write_ctm, write_seg, write_textgrid

from merkit.aligners.segments.formats import (
    read_ctm,
    read_json,
    read_seg,
    read_textgrid,
)
from merkit.aligners.segments.tiers import check_tier, checked_alignment, merged_words, shifted, spoken
from merkit.core.alignment import Interval
from merkit.core.errors import MerkitError

WORDS = (Interval("and", 0.0, 0.21), Interval("so", 0.21, 0.4), Interval("on", 0.55, 0.9))
PHONES = (Interval("AE", 0.0, 0.1), Interval("N", 0.1, 0.21))

LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "anna - words"
        xmin = 0
        xmax = 1.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 0.75
            text = "said ""no"""
        intervals [3]:
            xmin = 0.75
            xmax = 1.5
            text = "sp"
    item [2]:
        class = "TextTier"
        name = "bells"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.5
            mark = "ding"
'''
SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1.5\n<exists>\n1\n'
    '"IntervalTier"\n"phones"\n0\n1.5\n1\n0\n1.5\n"AH0"\n'
)
WDSEG = """\t SFrm  EFrm    SegAScr Word
\t    0    39      -1000 <s>
\t   40    67   -2500123 THE(2)
\t   68    90     -50000 KETTLE
\t   91    99      -1000 ++BREATHING++
 Total score:     -2551123
"""
PHSEG = "\t SFrm  EFrm    SegAScr Phone\n\t    0     3   -21 SIL\n\t    4     9   -45 DH SIL AH b\n Total score: -66\n"


@pytest.mark.parametrize(
    ("label", "expected"),
    [("hello", "hello"), (" THE(2) ", "THE"), ("", None), ("<s>", None), ("SIL", None), ("++UM++", None), ("sp", None)],
)
def test_silence_and_noise_are_no_segments_and_variants_are_their_word(label: str, expected: str | None) -> None:
    assert spoken(label) == expected


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (Interval("b", 0.5, 0.5), r"word 'b' from 0.5000 to 0.5000 s: it must end after"),
        (Interval("b", 0.5, 0.4), "it must end after"),
        (Interval("b", 0.3, 0.6), r"'a' ends at 0.4000 s"),
    ],
)
def test_a_segment_that_ends_before_it_begins_or_overlaps_is_an_error(second: Interval, message: str) -> None:
    with pytest.raises(MerkitError, match=message):
        check_tier("word", [Interval("a", 0.1, 0.4), second], "x.ctm")


def test_a_segment_before_the_utterance_is_an_error_and_rounding_is_mended() -> None:
    with pytest.raises(MerkitError, match="the utterance begins at 0 s"):
        check_tier("word", [Interval("a", -0.2, 0.4)], "x.ctm")
    assert check_tier("word", [Interval("a", -0.00005, 0.4), Interval("b", 0.39995, 0.5)], "x") == (
        Interval("a", 0.0, 0.4),
        Interval("b", 0.4, 0.5),
    )


def test_syllables_are_added_where_words_and_phones_are_known() -> None:
    found = checked_alignment({"word": WORDS[:1], "phone": PHONES}, "x")

    assert found["syllable"] == (Interval("AE N", 0.0, 0.21),)
    assert "syllable" not in checked_alignment({"word": WORDS}, "x")


def test_words_spoken_as_one_are_joined() -> None:
    times = [Interval("of", 0.1, 0.3), Interval("the", 0.1, 0.3), Interval("day", 0.3, 0.6)]

    assert merged_words(times) == [Interval("of the", 0.1, 0.3), Interval("day", 0.3, 0.6)]


def test_a_part_of_a_recording_keeps_what_lies_in_it_mostly() -> None:
    found = shifted(WORDS, -0.25, 0.5)

    assert [(each.label, round(each.start_s, 6), round(each.end_s, 6)) for each in found] == [
        ("so", 0.0, 0.15),
        ("on", 0.3, 0.5),
    ]


def test_a_textgrid_is_read_long_and_short(tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    (tmp_path / "long.TextGrid").write_text(LONG)
    (tmp_path / "short.TextGrid").write_text(SHORT)

    assert read_textgrid(tmp_path / "long.TextGrid")["word"][0] == Interval('said "no"', 0.5, 0.75)
    assert read_textgrid(tmp_path / "short.TextGrid") == {"phone": [Interval("AH0", 0.0, 1.5)]}


def test_sphinx_files_count_frames_of_ten_milliseconds_with_both_ends(tmp_path: Path) -> None:
    (tmp_path / "a.wdseg").write_text(WDSEG)
    (tmp_path / "a.phseg").write_text(PHSEG)

    assert check_tier("word", read_seg(tmp_path / "a.wdseg"), "a") == (
        Interval("THE", 0.4, 0.68),
        Interval("KETTLE", 0.68, 0.91),
    )
    assert check_tier("phone", read_seg(tmp_path / "a.phseg"), "a") == (Interval("DH", 0.04, 0.1),)


def test_every_format_comes_back_as_it_was_written(tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    write_textgrid(tmp_path / "a.TextGrid", {"word": WORDS, "phone": PHONES}, 1.0)
    write_ctm(tmp_path / "a.ctm", {"one": WORDS, "two": PHONES})
    write_seg(tmp_path / "a.wdseg", WORDS, "word")

    assert read_textgrid(tmp_path / "a.TextGrid") == {"word": list(WORDS), "phone": list(PHONES)}
    assert {name: check_tier("word", row, "a") for name, row in read_ctm(tmp_path / "a.ctm").items()} == {
        "one": WORDS,
        "two": PHONES,
    }
    assert check_tier("word", read_seg(tmp_path / "a.wdseg"), "a") == WORDS


def test_parleys_alignment_is_counted_from_each_utterance(tmp_path: Path) -> None:
    spans = '[{"label": "of", "start_s": 2.1, "end_s": 2.3}, {"label": "the", "start_s": 2.1, "end_s": 2.3}]'
    (tmp_path / "c.json").write_text(
        f'{{"utterances": [{{"id": "u1", "start_s": 2.0, "end_s": 3.0, "words": {spans}, "phones": []}}]}}'
    )
    (tmp_path / "other.json").write_text('{"counts": 3}')

    assert read_json(tmp_path / "c.json") == {"u1": {"word": [Interval("of the", 0.1, 0.3)], "phone": []}}
    assert read_json(tmp_path / "other.json") == {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ctm", "one 1 0.1 x hello\n", r"a.ctm, line 1: 'one 1 0.1 x hello' found, expected file channel"),
        ("a.ctm", "one 1 0.1\n", "expected file channel start duration label"),
        ("a.wdseg", WDSEG + "40 sixty 0 WORD\n", "line 7: '40 sixty 0 WORD' found, expected first frame"),
        ("a.json", '{"utterances": [{"id": 3}]}', "not an alignment"),
        ("a.json", "{", "not an alignment"),
        ("a.TextGrid", "RIFF", "not a TextGrid"),
        ("a.TextGrid", SHORT.replace('"phones"', '"tones"'), "tiers tones. Expected one named words"),
        ("a.TextGrid", LONG[:420], "not a TextGrid|Expected one named words"),
    ],
)
def test_a_bad_file_is_told_in_one_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    readers = {".ctm": read_ctm, ".wdseg": read_seg, ".json": read_json, ".TextGrid": read_textgrid}
    if path.suffix == ".TextGrid":
        pytest.importorskip("praatio")

    with pytest.raises(MerkitError, match=message) as told:
        readers[path.suffix](path)
    assert "\n" not in str(told.value)
