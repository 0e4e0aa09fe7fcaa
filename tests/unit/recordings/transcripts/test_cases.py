"""Small files that were read wrongly once: what each of them holds."""

import re
from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Transcript, fit_lines, read_transcript

Expected = list[tuple[float | None, float | None, str, str | None]]

TEXTS = [
    "Pocket?",
    "Pocket?",
    "Oh, pocket.",
    "I didn't ticket you goblet barley.",
    "Harbor bridge I.",
    "Rabbit, anchor I feather you ticket, I meadow a yellow.",
    "This is Paper in Napkin Orange.",
    "And I'm Velvet in Walnut, saddle from Morning.",
    "Oh, I'm saddle from Morning garden.",
    "I'm in Napkin Orange pencil dinner.",
    "Well, barley marble that copper silver.",
    "Window valley you ticket, cotton river letter button a Island ladder engine, so hammer basket I timber?",
    "Oh, I don't candle that in Napkin Orange pencil.",
]
"""The words of the call that the services' files hold."""
FIRST = "0100100100110"
"""0 and 1: the two speakers of the call, in the order of its lines."""

SHORT: dict[str, Expected] = {
    "01-t.tsv": [(0, 1, "", '"No way, he said'), (1, 2, "", "I am furious."), (2, 3, "", "Ok.")],
    "03-t.srt": [(0, 1.5, "", "I am really angry"), (1.5, 3, "", "you")],
    "03-sibling1.srt": [(0, 1.5, "", "I am really angry"), (1.5, 3, "", "you")],
    "04-t.json": [(0, 1.5, "0", "hi"), (1.5, 3, "1", "yo")],
    "04-sibling1.json": [(0, 1.5, "0", "hi"), (1.5, 3, "1", "yo")],
    "05-t.vtt": [(0, 1.5, "", "I don't like R&D, <sigh> no"), (1.5, 3, "", "ok")],
    "05-sibling1.vtt": [(0, 1.5, "Bob O'Neil", "ok"), (1.5, 3, "Ann", "ok")],
    "06-t.srt": [(0, 1.5, "", "it is 1 < 2 and I hate it, 3 > 2"), (1.5, 3, "", "No")],
    "06-sibling1.srt": [(0, 1.5, "", "<sigh> no"), (1.5, 3, "", "I <3 you, you > me")],
    "07-t.json": [(0, 1.5, "", "hi"), (1.5, 3, "", None)],
    "10-t.json": [(0, 1.5, "", "Hi."), (1.5, 3, "", "Bye.")],
    "10-whisper.tsv": [(0, 1.48, "", "I told you."), (1.48, 2.9, "", "Twice.")],
    "10-assembly.json": [(0.25, 1.65, "A", "hi")],
    "11-empty.txt": [(None, None, "", None)],
    "11-t.json": [(0, 1.5, "", None), (1.5, 3, "", None)],
    "11-rttm.csv": [(0, 1.5, "A", None), (1.5, 3, "B", None)],
    "14-t.jsonl": [(0, 1.5, "", "a b"), (1.5, 3, "", "c d")],
    "18-t.json": [(0, 1.5, "agent", "[laughs] I hate it [/laughs]"), (1.5, 3, "b", "ok")],
    "18-crash.json": [(0, 1.5, "agent", "I hate it [/laughs]"), (1.5, 3, "b", "see [/usr/bin] ok")],
}
REFUSED = {
    "01-sibling1.csv": "line 2: a quote that is never closed",
    "02-t.csv": r"line 2: 4 cells for 3 columns \(start, end, text\)",
    "02-sibling1.csv": "line 2: 6 cells for 4 columns",
    "07-sibling1.json": "segment 1: text is a list of 3, expected text",
}
CALL = {
    "upper.SRT": ("Paper", "Velvet"),
    "utf16.srt": ("Paper", "Velvet"),
    "semicolon.csv": ("Paper", "Velvet"),
    "clock.csv": ("Paper", "Velvet"),
    "assemblyai.json": ("A", "B"),
    "deepgram.json": ("0", "1"),
    "deepgram_utterances.json": ("0", "1"),
    "aws.json": ("spk_0", "spk_1"),
    "end_beyond.json": ("SPEAKER_00", "SPEAKER_01"),
    "whisper.tsv": ("", ""),
    "youtube_auto.vtt": ("", ""),
}


def read(path: Path, length_s: float) -> tuple[Transcript, Expected]:
    transcript = fit_lines(read_transcript(path), length_s)
    return transcript, [(line.start_s, line.end_s, line.speaker, line.text) for line in transcript.lines]


def test_every_file_has_its_right_result_here(cases: Path) -> None:
    names = {path.name for path in (cases / "transcripts").iterdir()}

    assert names == {*SHORT, *REFUSED, *CALL, "zero_length.json", "entities.vtt"}


@pytest.mark.parametrize("name", SHORT)
def test_short_files_are_read_as_they_were_meant(cases: Path, name: str) -> None:
    assert read(cases / "transcripts" / name, 3.0)[1] == SHORT[name]


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_files_are_refused_with_the_line(cases: Path, name: str) -> None:
    with pytest.raises(MerkitError, match=f"{re.escape(name)}', {REFUSED[name]}"):
        read_transcript(cases / "transcripts" / name)


@pytest.mark.parametrize("name", CALL)
def test_all_tools_give_the_same_call(cases: Path, name: str) -> None:
    _, lines = read(cases / "transcripts" / name, 30.2)

    lower = name == "youtube_auto.vtt"
    assert [text for *_, text in lines] == [text.lower() if lower else text for text in TEXTS]
    assert [speaker for _, _, speaker, _ in lines] == [CALL[name][int(number)] for number in FIRST]
    spans = [(start_s, end_s) for start_s, end_s, _, _ in lines]
    assert spans[0] == pytest.approx((6.68, 7.16), abs=0.006)
    assert spans[-1] == pytest.approx((28.445, 30.2 if name == "end_beyond.json" else 29.987), abs=0.006)


@pytest.mark.parametrize(
    ("name", "length_s", "notes"),
    [
        ("end_beyond.json", 30.2, ["1 line cut at the end of the recording (segment 13: by 0.28 s)"]),
        ("10-t.json", 3.0, ["1 line cut at the end of the recording (segment 2: by 0.40 s)"]),
        ("zero_length.json", 32.0, ["1 line of no length left out (segment 4)"]),
        ("11-t.json", 3.0, ["there are no words: every line is analyzed without text"]),
        ("11-empty.txt", 3.0, ["there are no words: the recording is analyzed without text"]),
        ("07-t.json", 3.0, ["1 line without words analyzed without text (segment 2)"]),
        ("whisper.tsv", 32.0, ["whole numbers of Whisper's TSV were read as milliseconds"]),
        (
            "youtube_auto.vtt",
            32.0,
            [
                "automatic captions: 26 cues were read as 13, without 13 that only repeat the line before and the "
                "repeated rows of 12 more"
            ],
        ),
        ("clock.csv", 32.0, []),
    ],
)
def test_what_was_not_kept_as_it_was_is_counted(cases: Path, name: str, length_s: float, notes: list[str]) -> None:
    assert list(read(cases / "transcripts" / name, length_s)[0].notes) == [f"Transcript: {note}." for note in notes]


def test_the_other_lines_of_a_file_with_one_of_no_length_stay(cases: Path) -> None:
    _, lines = read(cases / "transcripts" / "zero_length.json", 32.0)

    assert [text for *_, text in lines] == TEXTS[:3] + TEXTS[4:]


def test_character_references_are_characters(cases: Path) -> None:
    _, lines = read(cases / "transcripts" / "entities.vtt", 32.0)

    assert lines == [(6.68, 7.16, "", "Tom & I don't > care pencil")]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("esc.csv", ["\x1b]0;pwn\x07\x1b[31mhello", "away"]),
        ("laughs_crash.srt", ["hello [/laughs]"]),
        ("markup2.srt", ["hello [/laughs] there", "go away"]),
    ],
)
def test_hostile_text_is_text(cases: Path, name: str, texts: list[str]) -> None:
    _, lines = read(cases / "hostile" / "transcripts" / name, 2.0)

    assert [text for *_, text in lines] == texts
