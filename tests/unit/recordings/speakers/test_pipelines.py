"""A diarization of the user's, of pyannote's interface: what it gets, what becomes of its turns, and mistakes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyannote.core import Annotation, Segment
from tests.deciding import recognizer
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech

import merkit
from merkit.api.recognition import EmotionRecognizer
from merkit.core.errors import ConfigError, MerkitError
from merkit.recordings.division import divide
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line

PARTS = [speech(3.0, seed=n) for n in range(4)]
MONO = merkit.Waveform(np.concatenate(PARTS), RATE_HZ)
TURNS = [(0.0, 6.0, "SPEAKER_00"), (5.5, 12.0, "SPEAKER_01")]


class Diarization:
    """Returns what pipelines of pyannote.audio before version 4 do, and keeps what it was given."""

    def __init__(self, turns: list[tuple[float, float, Any]]) -> None:
        self.annotation = Annotation()
        for number, (start_s, end_s, speaker) in enumerate(turns):
            self.annotation[Segment(start_s, end_s), number] = speaker
        self.given: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []

    def __call__(self, file: Mapping[str, Any], **options: Any) -> Any:
        self.given.append((file, options))
        return self.annotation


@dataclass
class Output:
    """What pipelines of pyannote.audio return since version 4."""

    speaker_diarization: Annotation
    exclusive_speaker_diarization: Annotation


class Newer(Diarization):
    def __call__(self, file: Mapping[str, Any], **options: Any) -> Any:
        return Output(super().__call__(file, **options), Annotation())


def turns_of(diarization: Any, recording: merkit.Waveform = MONO, **options: Any) -> list[tuple[str, float, float]]:
    found = divide(recording, None, RecordingOptions(speech_check=False, **options), diarization=diarization)
    return [(line.speaker, line.start_s, line.end_s) for line, _ in found.lines]


@pytest.mark.parametrize("kind", [Diarization, Newer])
def test_its_turns_are_those_of_the_recording_overlaps_too(kind: type[Diarization]) -> None:
    found = divide(MONO, None, RecordingOptions(speech_check=False), diarization=kind(TURNS))

    assert [(line.speaker, line.start_s, line.end_s) for line, _ in found.lines] == [
        ("SPEAKER_00", 0.0, 6.0),
        ("SPEAKER_01", 5.5, 12.0),
    ]
    assert (
        found.stages["speakers"]
        == f"Named by the diarization that was given ({kind.__name__}): SPEAKER_00, SPEAKER_01."
    )


def test_it_gets_the_sound_as_pyannote_takes_it_in_memory() -> None:
    diarization = Diarization(TURNS)

    divide(MONO, None, RecordingOptions(), diarization=diarization, name="call")

    ((file, options),) = diarization.given
    assert isinstance(file["waveform"], torch.Tensor)
    assert (file["waveform"].shape, file["waveform"].dtype) == ((1, 12 * RATE_HZ), torch.float32)
    assert (file["sample_rate"], file["uri"], options) == (RATE_HZ, "call", {})
    assert file["waveform"][0].numpy() == pytest.approx(np.concatenate(PARTS), abs=1e-4)


def test_two_channels_are_mixed_for_it_and_cannot_be_split() -> None:
    silent = np.zeros_like(PARTS[0])
    left, right = np.concatenate([PARTS[0], silent]), np.concatenate([silent, PARTS[1]])
    stereo = merkit.Waveform(np.stack([left, right]), RATE_HZ)
    diarization = Diarization([(0.0, 3.0, "A"), (3.0, 6.0, "B")])

    found = divide(stereo, None, RecordingOptions(speech_check=False), diarization=diarization)

    assert [line.speaker for line, _ in found.lines] == ["A", "B"]
    assert diarization.given[0][0]["waveform"][0].numpy() == pytest.approx((left + right) / 2, abs=1e-4)
    with pytest.raises(MerkitError, match="diarization: 2 channels are read as a speaker each; use --channels mix"):
        turns_of(diarization, stereo, channels="split")


def test_a_number_of_speakers_is_handed_on() -> None:
    diarization = Diarization(TURNS)

    turns_of(diarization, speakers=2)

    assert diarization.given[0][1] == {"num_speakers": 2}


def test_it_takes_the_place_of_the_transcripts_speakers_and_names_those_of_recognised_words() -> None:
    lines = [Line(0.0, 5.0, "Ann", "hello"), Line(6.0, 11.0, "Ann", "yes")]
    engine = FakeEngine(lambda _: [passage("hello there", 0.5, 2.0)])

    written = divide(MONO, lines, RecordingOptions(), diarization=Diarization(TURNS))
    recognised = divide(MONO, None, RecordingOptions(), diarization=Diarization(TURNS), engine=engine)

    assert [(line.speaker, line.text) for line, _ in written.lines] == [("SPEAKER_00", "hello"), ("SPEAKER_01", "yes")]
    assert {line.speaker for line, _ in recognised.lines} <= {"SPEAKER_00", "SPEAKER_01"}
    assert all(line.text for line, _ in recognised.lines)


def test_words_without_times_leave_nothing_to_divide() -> None:
    diarization = Diarization(TURNS)

    found = divide(MONO, [Line(None, None, "", "hello")], RecordingOptions(), diarization=diarization)

    assert diarization.given == []
    assert found.stages["speakers"].startswith("One speaker is assumed")


def test_turns_are_cut_at_the_recordings_ends_and_none_is_one_speaker() -> None:
    assert turns_of(Diarization([(-0.01, 5.0, 0), (6.0, 12.02, 1)])) == [("0", 0.0, 5.0), ("1", 6.0, 12.0)]
    nobody = divide(MONO, None, RecordingOptions(), diarization=Diarization([]))
    assert (
        nobody.stages["speakers"] == "One speaker is assumed: the diarization that was given (Diarization) has no turn."
    )


def test_a_speaker_that_it_names_may_be_excluded() -> None:
    diarization = Diarization([(0.0, 6.0, "SPEAKER_00"), (6.0, 12.0, "SPEAKER_01")])

    assert turns_of(diarization, exclude_speakers=("SPEAKER_00",)) == [("SPEAKER_01", 6.0, 12.0)]


@pytest.mark.parametrize(
    ("output", "found"),
    [(None, "NoneType"), ((Annotation(), None), "tuple"), ([(0.0, 1.0, "A")], "list")],
)
def test_output_of_another_type_is_one_line(output: Any, found: str) -> None:
    with pytest.raises(MerkitError, match=rf"diarization returned a {found}, expected pyannote\.core's Annotation"):
        turns_of(lambda file: output)


def test_turns_of_another_recording_are_refused() -> None:
    with pytest.raises(MerkitError, match=r"The diarization that was given.*the recording ends at 12\.000 s"):
        turns_of(Diarization([(0.0, 40.0, "A")]))


@pytest.mark.parametrize(
    "options", [{"marks": {"A": (0.0, 1.0), "B": (3.0, 4.0)}}, {"speakers_file": "who.rttm"}], ids=["marks", "file"]
)
def test_it_is_the_only_one_that_says_who_speaks(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="diarization says who speaks: leave out"):
        turns_of(Diarization(TURNS), **options)


def test_in_python_it_is_an_argument() -> None:
    model = EmotionRecognizer(recognizer(), "m")
    diarization = Diarization(TURNS)

    result = model(np.concatenate(PARTS), rate_hz=RATE_HZ, diarization=diarization)

    assert {segment.speaker for segment in result.segments} == {"SPEAKER_00", "SPEAKER_01"}
    assert "SPEAKER_01" in result.stages["speakers"]
    with pytest.raises(ConfigError, match=r"diarization is 'who\.rttm', expected a function"):
        model(np.concatenate(PARTS), rate_hz=RATE_HZ, diarization="who.rttm")


def test_rttm_that_pyannote_writes_has_the_same_turns(tmp_path: Path) -> None:
    diarization = Diarization([(0.0, 6.0, "SPEAKER_00"), (6.0, 11.25, "SPEAKER_01")])
    diarization.annotation.uri = "waveform"
    with (tmp_path / "who.rttm").open("w") as file:
        diarization.annotation.write_rttm(file)

    assert turns_of(None, speakers_file=tmp_path / "who.rttm") == turns_of(diarization)
