import logging
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from merkit.cli import progress as module
from merkit.cli.console import messages
from merkit.cli.progress import shown_progress


@pytest.fixture(autouse=True)
def level() -> Iterator[logging.Logger]:
    log = logging.getLogger("merkit")
    before = log.level
    log.setLevel(logging.INFO)
    yield log
    log.setLevel(before)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    def claim() -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        messages.cache_clear()  # a console looks at its terminal once

    yield claim
    messages.cache_clear()


@pytest.mark.parametrize(
    ("level_", "lines"), [(logging.INFO, ["media: 1 of 3", "media: 2 of 3 (call [final].wav)"]), (logging.ERROR, [])]
)
def test_off_a_terminal_lines_are_printed_unless_all_is_quiet(
    level_: int, lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("merkit").setLevel(level_)
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.0)

    with shown_progress() as progress:
        progress("media", 1, 3)
        progress("media", 2, 3, "call [final].wav")

    assert capsys.readouterr().err.splitlines() == lines


def test_a_terminal_shows_one_bar_and_log_lines_above_it(
    terminal: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal()

    with shown_progress() as progress:
        progress("features", 1, 3)
        progress("my [run]", 0, 60, "fold 1, seed 0, epoch 0/30")
        progress("my [run]", 31, 60, "fold 1, seed 1, epoch 1/30, best accuracy 0.750")
        messages().print("a message")

    lines = re.split(r"[\n\r]+", re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", capsys.readouterr().err))
    assert "a message" in lines
    last = [line for line in lines if "left" in line][-1]
    assert last.startswith("my [run]")
    assert "fold 1, seed 1, epoch 1/30, best accuracy 0.750" in last
    assert "features" not in last


def test_what_is_done_already_gets_no_bar(terminal: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    terminal()

    with shown_progress() as progress:
        progress("features", 3, 3)

    assert "features" not in capsys.readouterr().err


def test_a_name_in_a_bar_gives_a_terminal_no_orders(
    terminal: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal()

    with shown_progress() as progress:
        progress("evil\x1b]0;title\x07", 0, 2, "\x1b[31mnote")

    written = capsys.readouterr().err
    assert "\x1b]0;" not in written
    assert "\x1b[31mnote" not in written
    assert r"evil\x1b]0;title\x07" in written
