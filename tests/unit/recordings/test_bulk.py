"""Many recordings: what concerns one of them fails alone, what concerns all ends the command."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from tests.speech import RATE_HZ
from tests.timelines import CALL, analysis
from tests.tiny import built

from merkit.core.errors import CheckpointError, ConfigError, MediaError, MerkitError, OutputError
from merkit.io.checkpoint import save_checkpoint
from merkit.io.outputs import FileIds, Outputs
from merkit.recordings import bulk
from merkit.recordings.bulk import Work, analyze_recordings, do_each
from merkit.recordings.options import RecordingOptions
from merkit.recordings.search import FoundRecording
from merkit.timeline.analysis import Analysis
from merkit.weights.models import built_in_model


def recordings(folder: Path, *names: str) -> list[FoundRecording]:
    for name in names:
        (folder / name).write_text(name)
    return [FoundRecording(folder / name, None, Path(name).with_suffix("")) for name in names]


def work(folder: Path, error: Callable[[], Exception]) -> Work[str]:
    """Return work that cannot write the first recording's result."""

    def write(result: str, outputs: Outputs, key: Mapping[str, Any], inputs: FileIds) -> None:
        if result == "a.wav":
            raise error()
        outputs.write({"result": result}, key, {}, inputs)

    return Work(
        make=lambda one: one.path.name,
        outputs=lambda one: Outputs(folder / f"{one.output}.json"),
        made_of=lambda one: {},
        write=write,
    )


@pytest.mark.parametrize("error", [MediaError("too long to be embedded"), MerkitError("was edited meanwhile")])
def test_a_result_that_cannot_be_written_fails_alone(tmp_path: Path, error: MerkitError) -> None:
    found = recordings(tmp_path, "a.wav", "b.wav")

    first, second = do_each(work(tmp_path, lambda: error), found, write=True)

    assert (first.error, first.result) == (error, None)
    assert (second.error, second.result) == (None, "b.wav")
    assert (tmp_path / "b.json").exists()


@pytest.mark.parametrize("error", [OutputError("the disk is full"), ConfigError("an option"), CheckpointError("none")])
def test_what_is_the_same_for_every_recording_ends_the_command(tmp_path: Path, error: MerkitError) -> None:
    found = recordings(tmp_path, "a.wav", "b.wav")

    with pytest.raises(type(error)):
        list(do_each(work(tmp_path, lambda: error), found, write=True))


def test_a_folder_that_cannot_be_written_to_is_the_same_for_every_recording(tmp_path: Path) -> None:
    found = recordings(tmp_path, "a.wav", "b.wav")
    (tmp_path / "out").write_text("a file in the way")

    with pytest.raises(OutputError, match="a folder in this path is a file"):
        list(do_each(work(tmp_path / "out", RuntimeError), found[1:], write=True))


def test_channels_that_do_not_fit_the_number_of_speakers_fail_alone(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, (RATE_HZ, 3))
    save_checkpoint(
        tmp_path / "model", *built("single", {"audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("a", "b")), {}, ""
    )
    for name, count in {"two": 2, "three": 3}.items():
        sf.write(tmp_path / f"{name}.wav", noise[:, :count], RATE_HZ)
    found = [FoundRecording(tmp_path / f"{name}.wav", None, Path(name)) for name in ("two", "three")]

    two, three = analyze_recordings(found, tmp_path / "model", "m", RecordingOptions("split", speakers=3))

    assert "--speakers 3: 2 channels are read as a speaker each; use --channels mix" in str(two.error)
    assert three.error is None


def test_another_format_of_what_is_done_names_the_files_where_they_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    sf.write(tmp_path / "data" / "a.wav", np.zeros(80_000), 8000)
    (tmp_path / "data" / "a.txt").write_text("so")

    def analyzed(_: Any, recording: Path, transcript: Path, *others: Any, **options: Any) -> Analysis:
        return analysis(CALL, recording, transcript=transcript)

    def analyze(folder: Path, *formats: str) -> Analysis:
        found = FoundRecording(folder / "a.wav", folder / "a.txt", Path("a"))
        (outcome,) = analyze_recordings(
            [found], built_in_model("builtin:voice"), "builtin:voice", out=tmp_path / "out", formats=formats
        )
        assert outcome.result is not None
        return outcome.result

    monkeypatch.setattr(bulk, "load_predictor", lambda *_, **__: None)
    monkeypatch.setattr(bulk, "analyze_recording", analyzed)
    monkeypatch.chdir(tmp_path)
    analyze(Path("data"), "json")
    monkeypatch.chdir(tmp_path / "data")

    again = analyze(Path(), "json", "html")

    assert (again.recording, again.transcript) == (Path("a.wav"), Path("a.txt"))
    assert 'data-src="../data/a.wav"' in (tmp_path / "out" / "a.html").read_text()
