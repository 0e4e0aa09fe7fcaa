"""Lines at the end of a recording, and times in another unit."""

import pytest

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts import Line, Transcript, fit_lines


def transcript(*spans: tuple[float | None, float | None], text: str = "a word") -> Transcript:
    lines = tuple(Line(*span, "", text, f"line {n}") for n, span in enumerate(spans, start=2))
    return Transcript(lines, (), "'t.csv'")


@pytest.mark.parametrize(
    ("spans", "ends", "note"),
    [
        ([(0, 1), (1, 3.9)], [1, 3], "1 line cut at the end of the recording (line 3: by 0.90 s)"),
        (
            [(0, 3.2), (1, 3.4)],
            [3, 3],
            "2 lines cut at the end of the recording (line 2: by 0.20 s, line 3: by 0.40 s)",
        ),
        ([(0, 1), (1, 3.0004)], [1, 3], None),
        ([(0, 1), (2.999, 3.5)], [1], "1 line at the very end of the recording left out (line 3)"),
        ([(0, 2), (1, 1.5)], [2, 1.5], None),
        ([(0, 2), (2, None)], [2, None], None),
        ([(None, None)], [None], None),
    ],
    ids=["one", "two", "rounding", "at the end", "an overlap", "an open end", "no times"],
)
def test_lines_are_cut_at_the_end_and_counted(
    spans: list[tuple[float | None, float | None]], ends: list[float | None], note: str | None
) -> None:
    fitted = fit_lines(transcript(*spans), 3.0)

    assert [line.end_s for line in fitted.lines] == ends
    assert fitted.notes == (() if note is None else (f"Transcript: {note}.",))


@pytest.mark.parametrize(
    ("spans", "length_s", "message"),
    [
        ([(0, 1), (3.0, 3.5)], 3.0, "line 3: the line is from 3.000 to 3.500 s, .* does the transcript belong to this"),
        ([(0, 1), (2, 4.1)], 3.0, "line 3: .* recording ends at 3.000 s: does the transcript belong"),
        ([(0, 1480), (1480, 2900)], 3.0, "line 2: .* its times look like milliseconds, expected seconds"),
        ([(20, 900), (1000, 580_000)], 600.0, "line 2: .* its times look like milliseconds"),
        ([(5e6, 2.9e7)], 3.0, "its times look like ticks of 100 ns"),
        ([(0, 2.9e6)], 3.0, "its times look like microseconds"),
        ([(0, 290)], 3.0, "its times look like frames of 10 ms"),
        ([(0, 480_000)], 30.0, "its times look like samples at 16 kHz"),
        ([(0, 1e308)], 3.0, "does the transcript belong"),
        ([(4.0, None)], 3.0, "line 2: the line is from 4.000 s, and"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_belong_is_an_error_with_the_likely_unit(
    spans: list[tuple[float, float | None]], length_s: float, message: str
) -> None:
    with pytest.raises(MerkitError, match=f"'t.csv', {'.*' * (not message.startswith('line'))}{message}"):
        fit_lines(transcript(*spans), length_s)


def test_minutes_read_as_seconds_are_noticed_by_the_speed_of_speech() -> None:
    with pytest.raises(MerkitError, match=r"line 2: its lines have 40 characters in 0\.0400 s.* look like minutes"):
        fit_lines(transcript((0.0, 0.02), (0.02, 0.04), text="twenty letters here."), 3.0)
