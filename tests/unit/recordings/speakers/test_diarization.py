"""Turns of regions of speech, with embeddings that tell who speaks by the time alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.commandline import call
from tests.speech import RATE_HZ, speech

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.waveform import Waveform
from merkit.recordings.division import divide
from merkit.recordings.options import RecordingOptions
from merkit.recordings.speakers import ge2e
from merkit.recordings.speakers.diarization import diarize
from merkit.recordings.transcripts import Line

SOUND = Waveform(np.concatenate([speech(6.0), np.zeros(RATE_HZ, np.float32), speech(12.0, seed=1)]), RATE_HZ)


@pytest.fixture(autouse=True)
def voices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give one voice until 10 s, and another one after it."""

    def embeddings(sound: object, centres: Sequence[int]) -> np.ndarray:
        noise = 0.05 * np.random.default_rng(0).standard_normal((len(centres), 4))
        second = (np.asarray(centres) * ge2e.STEP_S >= 10.0)[:, None]
        return np.where(second, [1.0, 0.0, 0.3, 0.0], [0.0, 1.0, 0.3, 0.0]) + noise

    monkeypatch.setattr(ge2e, "embeddings", embeddings)


def test_a_speaker_changes_half_way_between_two_moments() -> None:
    found = diarize(SOUND, [(0.0, 6.0), (7.0, 19.0)], 2)

    assert found == [
        Line(0.0, 6.0, "speaker 1", None),
        Line(7.0, 9.875, "speaker 1", None),
        Line(9.875, 19.0, "speaker 2", None),
    ]


def test_a_region_that_is_too_short_for_an_embedding_is_of_the_nearest_moment() -> None:
    found = diarize(SOUND, [(0.0, 6.0), (8.0, 8.1), (12.0, 18.0)], 2)

    assert [line.speaker for line in found] == ["speaker 1", "speaker 1", "speaker 2"]


def test_marks_name_the_speakers() -> None:
    found = diarize(SOUND, [(0.0, 6.0), (7.0, 19.0)], 2, {"Ben": (12.0, 14.0), "Ann": (1.0, 3.0)})

    assert [line.speaker for line in found] == ["Ann", "Ann", "Ben"]
    with pytest.raises(MerkitError, match=r"No speech from 6\.2 to 6\.8 s, where 'Ann' is marked: mark another place"):
        diarize(SOUND, [(0.0, 6.0), (7.0, 19.0)], 2, {"Ben": (12.0, 14.0), "Ann": (6.2, 6.8)})


def test_too_little_speech_for_so_many_speakers_is_an_error() -> None:
    with pytest.raises(MerkitError, match="too little speech for the diarization of 2 speakers: leave out --speakers"):
        diarize(SOUND, [(0.0, 0.1)], 2)


def test_the_number_of_speakers_is_asked_for_and_its_error_said() -> None:
    found = divide(SOUND, None, RecordingOptions(speakers=2))

    assert [line.speaker for line, _ in found.lines] == ["speaker 1", "speaker 1", "speaker 2"]
    assert found.stages["speakers"] == (
        "2 by speaker diarization, experimental: in made-up conversations of two 14 % of the speech had the wrong "
        "speaker or none (19 % through a telephone, 22 % in a room)."
    )
    assert {line.speaker for line, _ in divide(SOUND, None).lines} == {""}
    assert divide(SOUND, None).stages["speakers"].startswith("One speaker is assumed; ")


def test_lines_without_names_get_those_of_voices_and_named_ones_keep_theirs() -> None:
    lines = [Line(1.0, 3.0, "", "hello"), Line(11.0, 14.0, "", "hi")]
    named = [Line(1.0, 3.0, "Ann", "hello"), Line(11.0, 14.0, "", "hi")]

    found = divide(SOUND, lines, RecordingOptions(speakers=2))

    assert [line.speaker for line, _ in found.lines] == ["speaker 1", "speaker 2"]
    assert [line.speaker for line, _ in divide(SOUND, named, RecordingOptions(speakers=2)).lines] == ["Ann", ""]


def test_names_of_a_transcript_say_that_marks_and_numbers_are_not_used() -> None:
    named = [Line(1.0, 3.0, "Ann", "hello"), Line(11.0, 14.0, "Ben", "hi")]
    marks = {"Zoe": (1.0, 3.0), "Kim": (11.0, 14.0)}

    by_marks, by_number = (
        divide(SOUND, named, RecordingOptions(**values)) for values in ({"marks": marks}, {"speakers": 2})
    )

    said = "Named by the transcript: Ann, Ben. Not by {}: the transcript comes first."
    assert by_marks.stages["speakers"] == said.format("--mark")
    assert by_number.stages["speakers"] == said.format("--speakers 2")


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (["Ann=1-2", "Ann=30-40"], "--mark Ann is given twice, expected once for each speaker"),
        (["Ann=1-5"], "1 speaker is marked, expected 2 to 8"),
        (["Ann=1-5", "Ben=6-8", "--channels", "split"], "channels='split' reads each channel as a speaker"),
        (["Ann=1-5", "Ben=8"], "--mark Ben=8: expected a name and the seconds"),
    ],
)
def test_marks_that_would_be_ignored_end_the_command(tmp_path: Path, marks: list[str], message: str) -> None:
    sf.write(tmp_path / "call.wav", SOUND.samples, RATE_HZ)
    options = [each for mark in marks for each in ([mark] if "=" not in mark else ["--mark", mark])]

    done = call("-q", "analyze", tmp_path / "call.wav", "--checkpoint", "builtin:voice", *options)

    assert done.code == 2
    assert message in done.error
    assert done.error.count("\n") == 1


def test_silence_has_no_speakers_to_tell_apart() -> None:
    silent = Waveform(np.zeros(20 * RATE_HZ, np.float32), RATE_HZ)

    found = divide(silent, None, RecordingOptions(speakers=2))

    assert found.stages["speakers"] == "One speaker is assumed: there is no speech for the diarization of 2 speakers."


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"speakers": 9}, "9 speakers, expected 1 to 8"),
        ({"speakers": 3, "marks": {"A": (0, 1), "B": (1, 2)}}, "2 speakers are marked, and --speakers is 3: mark each"),
        ({"marks": {"A": (3, 1)}}, "'A' is marked from 3 to 1 s, expected 0 <= start < end"),
        ({"speakers": 2, "speakers_file": Path("a.rttm")}, "leave out --speakers and --mark"),
        ({"marks": {"A": (0, 1)}}, "1 speaker is marked, expected 2 to 8: mark each who is heard"),
        ({"speakers": 1, "marks": {"A": (0, 1)}}, "1 speaker is marked, expected 2 to 8"),
        (
            {"channels": "split", "marks": {"A": (0, 1), "B": (1, 2)}},
            "channels='split' reads each channel as a speaker: leave out the marks, or use channels='mix'",
        ),
        ({"modalities": ("sound",)}, r"modalities are \['sound'\], expected some of text, audio, video"),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecordingOptions(**values)  # type: ignore[arg-type]
