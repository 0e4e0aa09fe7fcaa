"""Of which track and channel an utterance is, from the analysis of a recording to the corpus of its corrections."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf
from tests.commandline import call
from tests.speech import RATE_HZ, speech
from tests.timelines import analysis, answer, write_tracks
from tests.tiny import built

from merkit.core.errors import OutputError
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.files import file_hash
from merkit.data.media.audio import read_audio
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.corrected_corpus import corpus_of_timelines
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line
from merkit.recordings.writing import outputs_of, write_analysis
from merkit.timeline.analysis import Segment

FIRST, SECOND = (np.random.default_rng(n).uniform(-0.5, 0.5, 80_000).astype(np.float32) for n in (1, 2))


def segment(start_s: float, end_s: float, speaker: str, channel: int | None) -> Segment:
    return Segment(start_s, end_s, speaker, "so", answer("happy"), channel=channel)


def write(folder: Path, recording: Path, segments: list[Segment], **changes: Any) -> Path:
    """Write JSON and CSV of an analysis and return the path of the CSV."""
    made = analysis(segments, recording=recording, duration_s=10.0, **changes)
    write_analysis(made, outputs_of(folder / "out", Path("call"), ("json", "csv")), {"recording": file_hash(recording)})
    return folder / "out" / "call.csv"


def made_corpus(folder: Path) -> Manifest:
    done = call("corpus", "from-timelines", folder / "out", "--out", folder / "data")
    assert done.code == 0, done.error
    return read_manifest(folder / "data")


def sound_of(manifest: Manifest, utterance: Utterance) -> str:
    """Return what an utterance sounds like: the first, the second, or both."""
    heard = read_audio(manifest.media_path(str(utterance.audio)), 8000, utterance.start_s, utterance.end_s)
    span = slice(round(8000 * (utterance.start_s or 0)), round(8000 * (utterance.end_s or 0)))
    named: dict[str, npt.NDArray[np.float32]] = {"first": FIRST, "second": SECOND, "both": (FIRST + SECOND) / 2}
    return next(name for name, each in named.items() if np.allclose(each[span], heard, atol=1e-4))


def test_an_analysis_knows_its_track_and_each_utterance_its_channel(tmp_path: Path) -> None:
    recognizer = Recognizer(*built("concat", {"audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("calm", "cross")))
    one, other, silent = speech(3.0), speech(3.0, seed=1), np.zeros(3 * RATE_HZ)
    stereo = np.stack([np.concatenate([one, silent]), np.concatenate([silent, other])], axis=1)
    sf.write(tmp_path / "call.wav", stereo, RATE_HZ)
    lines = [Line(0.0, 3.0, "Ann", "so"), Line(3.0, 6.0, "Ben", "no")]

    def channels(**options: Any) -> list[int | None]:
        made = analyze_recording(recognizer, tmp_path / "call.wav", lines, "tiny", RecordingOptions(track=1, **options))
        assert made.to_dict()["track"] == 1
        return [each.channel for each in made.segments]

    assert channels() == [1, 2]
    assert channels(channels="right") == [2, 2]
    assert channels(channels="mix") == [None, None]


@pytest.mark.parametrize("ending", [".json", ".csv"])
def test_a_corrected_utterance_has_the_sound_of_the_track_that_was_analyzed(tmp_path: Path, ending: str) -> None:
    write_tracks(tmp_path / "call.mkv", FIRST, SECOND)
    path = write(tmp_path, tmp_path / "call.mkv", [segment(1, 4, "Ann", None)], track=2).with_suffix(ending)
    path.write_text(path.read_text().replace("happy", "angry", 1))

    manifest = made_corpus(tmp_path)

    assert [sound_of(manifest, utterance) for utterance in manifest.utterances] == ["second"]
    assert made_corpus(tmp_path).utterances == manifest.utterances


def test_a_corrected_utterance_has_the_sound_of_its_channel_whoever_it_is_said_by(tmp_path: Path) -> None:
    sf.write(tmp_path / "call.wav", np.stack([FIRST, SECOND], axis=1), 8000)
    segments = [segment(0, 4, "left", 1), segment(0.5, 4.5, "right", 2), segment(5, 9, "left", 1)]
    segments += [segment(5.25, 6, "both", None)]
    path = write(tmp_path, tmp_path / "call.wav", segments)
    rows = path.read_text().replace("left", "Ann").replace("5.000,9.000,Ann", "5.100,8.500,Ann")
    path.write_text(rows.replace("right", "Ben") + "7.000,8.000,right,happy,,,,,,so,\n")  # and one that was missing

    manifest = made_corpus(tmp_path)

    assert [(u.start_s, sound_of(manifest, u)) for u in manifest.utterances] == [
        *((0.0, "first"), (0.5, "second"), (5.1, "first"), (5.25, "both"), (7.0, "second"))
    ]


def test_where_a_voice_was_left_out_nothing_but_the_utterances_is_written(tmp_path: Path) -> None:
    sf.write(tmp_path / "call.wav", np.stack([FIRST, SECOND], axis=1), 8000)
    path = write(tmp_path, tmp_path / "call.wav", [segment(9, 9.5, "Ann", 2)], excludes_speakers=True)
    path.write_text(path.read_text().replace("happy", "angry", 1))

    (utterance,) = (manifest := made_corpus(tmp_path)).utterances

    heard = read_audio(manifest.media_path(str(utterance.audio)), 8000)
    assert sound_of(manifest, utterance) == "second"
    assert np.flatnonzero(heard)[[0, -1]].tolist() == [72_000, 75_999]
    assert len(heard) == 80_000


def test_a_channel_that_the_recording_has_not_is_named(tmp_path: Path) -> None:
    sf.write(tmp_path / "call.wav", FIRST, 8000)
    path = write(tmp_path, tmp_path / "call.wav", [segment(0, 1, "Ann", 2)])
    path.write_text(path.read_text().replace("happy", "angry", 1))

    done = call("corpus", "from-timelines", tmp_path / "out", "--out", tmp_path / "data")

    assert done.code == 2
    assert "call.wav' has channels 1 to 1, not 2" in done.error.replace("\n", "")


def test_a_corpus_that_cannot_be_written_to_is_no_failure_of_one_timeline(tmp_path: Path) -> None:
    sf.write(tmp_path / "call.wav", np.stack([FIRST, SECOND], axis=1), 8000)
    path = write(tmp_path, tmp_path / "call.wav", [segment(0, 1, "Ann", 2)])
    path.write_text(path.read_text().replace("happy", "angry", 1))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "audio").write_text("a file in the way")

    with pytest.raises(OutputError, match="a folder in this path is a file"):
        corpus_of_timelines(tmp_path / "out", tmp_path / "data")
