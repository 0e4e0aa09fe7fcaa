"""What users' files hold is printed as written, and a terminal never obeys it."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Column

from merkit.cli.console import MessageHandler, number, show, show_json, show_table
from merkit.core.characters import one_line, visible

HOSTILE = "[laughs] [/laughs] [agent] :smile: \x1b[31mred \x1b]0;title\x07 \u202eleft \x9b2J \udcff"
AS_WRITTEN = r"[laughs] [/laughs] [agent] :smile: \x1b[31mred \x1b]0;title\x07 \u202eleft \x9b2J \udcff"


def test_control_characters_become_visible_and_all_else_stays() -> None:
    assert visible(HOSTILE) == AS_WRITTEN
    assert visible("a\tb\nc") == "a\tb\nc"
    assert visible("שלום, naïve 会議 👩‍🚀") == "שלום, naïve 会議 👩‍🚀"
    assert visible("\r\b\x00\x7f\x85\u2028\u2066") == r"\r\x08\x00\x7f\x85\u2028\u2066"


def test_a_line_is_printed_as_written_and_never_broken(capsys: pytest.CaptureFixture[str]) -> None:
    show(HOSTILE + "x" * 200)

    assert capsys.readouterr().out == AS_WRITTEN + "x" * 200 + "\n"


@pytest.mark.parametrize("column", ["text", number("text")])
def test_cells_and_heads_of_a_table_are_printed_as_written(
    column: str | Column, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    show_table((column, HOSTILE), [(HOSTILE, "[/b]")])

    lines = capsys.readouterr().out.splitlines()
    assert AS_WRITTEN in lines[1]
    assert AS_WRITTEN in lines[3]
    assert "[/b]" in lines[3]


def test_a_long_word_is_folded_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "text"), [("name", "x" * 300)])

    assert capsys.readouterr().out.count("x") == 1 + 300


def test_a_long_name_leaves_room_for_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((number("from"), "speaker", "text"), [("1.5", "s" * 300, "these are the words that were spoken")])

    assert "these are the words" in capsys.readouterr().out


def test_short_cells_stay_on_one_line_and_the_last_column_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    heads = (number("from"), number("to"), "speaker", "words", "voice", "label", number("prob."), number("arousal"))
    row = ("112.73", "114.83", "right", "surprise", "neutral", "neutral", "89 %", "74 %", "Are they by the door?")

    show_table((*heads, "text"), [row])

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["from", "to", "speaker", "words", "voice", "label", "prob.", "arousal", "text"]
    assert " right    surprise  neutral  neutral   89 %     74 %  Are they" in lines[3]
    assert max(map(len, lines)) <= 80


def test_a_row_may_be_shorter_than_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("variant", "score", "verdict"), [("base", "57.7"), ("wide", "33.3", "worse")])

    assert [line.split() for line in capsys.readouterr().out.splitlines()[3:5]] == [
        ["base", "57.7"],
        ["wide", "33.3", "worse"],
    ]


def test_json_holds_the_same_value_in_printable_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"text": HOSTILE + " ü"})

    line = capsys.readouterr().out
    assert json.loads(line) == {"text": HOSTILE + " ü"}
    assert line.strip().isprintable()
    assert "ü" in line


def test_log_records_are_printed_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("merkit", logging.INFO, __file__, 1, "reading %s", (HOSTILE,), None)

    MessageHandler().handle(record)

    assert capsys.readouterr().err == f"reading {AS_WRITTEN}\n"


def test_a_terminal_gets_no_escape_but_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    show_table(("text",), [(HOSTILE,)])

    written = capsys.readouterr().out
    assert "\x1b[1m" in written  # heads are bold: this was a terminal's output
    for order in ("\x1b[31m", "\x1b]0", "\x07", "\u202e", "\x9b"):
        assert order not in written


def test_a_line_feed_in_a_name_makes_no_line_of_its_own() -> None:
    assert one_line("call\nmerkit: done \x1b[1m.wav") == "call\\nmerkit: done \\x1b[1m.wav"


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "merkit", "list", "recipes"], stdout=full, stderr=subprocess.PIPE, text=True
        )

    assert done.returncode == 2
    assert "merkit: no space is left to write to" in done.stderr
    assert "Traceback" not in done.stderr
