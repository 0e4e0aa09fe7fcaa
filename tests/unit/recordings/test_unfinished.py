"""Finished parts of a long analysis: used again, never half written, gone at the end."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from tests.deciding import recognizer
from tests.recognition import FakeEngine
from tests.speech import RATE_HZ, speech
from tests.tiny import built

import merkit
from merkit.core.errors import MerkitError
from merkit.io.checkpoint import save_checkpoint
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.division import divide
from merkit.recordings.options import RecordingOptions
from merkit.recordings.unfinished import Unfinished, in_memory, remove_unfinished, unfinished
from merkit.timeline.analysis import Analysis

KEY = {"recording": "abc", "options": {"channels": "auto"}}


def test_what_was_made_is_not_made_again_unless_it_is_damaged(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> list[int]:
        made.append(1)
        return [len(made)]

    with unfinished(tmp_path / "call.parts", KEY) as work:
        first, again = work.once("words", [0, 30.0], make), work.once("words", [0, 30.0], make)
        (file,) = (tmp_path / "call.parts").glob("words-*")
        other = work.once("words", [30.0, 60.0], make)
        file.write_text(file.read_text()[:-20])  # as if half written
        mended, kept = work.once("words", [0, 30.0], make), work.once("words", [30.0, 60.0], make)

    assert (first, again, other, mended, kept) == ([1], [1], [2], [3], [2])


def test_parts_of_another_content_are_removed(tmp_path: Path) -> None:
    with unfinished(tmp_path / "call.parts", KEY) as work:
        work.once("turns", None, lambda: 1)
    with unfinished(tmp_path / "call.parts", KEY) as work:
        same = work.once("turns", None, lambda: 2)
    with unfinished(tmp_path / "call.parts", {**KEY, "recording": "def"}) as work:
        other = work.once("turns", None, lambda: 3)

    assert (same, other) == (1, 3)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "call.parts"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")

    with pytest.raises(MerkitError, match="merkit did not make it: move it away"), unfinished(folder, KEY):
        pass
    remove_unfinished(folder)

    assert (folder / "mine.txt").read_text() == "keep"


def test_an_error_of_the_recording_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MerkitError, match="damaged"), unfinished(tmp_path / "call.parts", KEY):
        raise MerkitError("damaged")

    assert not (tmp_path / "call.parts").exists()


def probabilities(result: Analysis) -> list[float]:
    found = [segment.prediction for segment in result.segments if segment.prediction is not None]
    return [value for prediction in found for value in prediction.probabilities.values()]


def test_an_analysis_with_kept_parts_is_that_without(tmp_path: Path) -> None:
    silence = np.zeros(2 * RATE_HZ, np.float32)
    sound = merkit.Waveform(np.concatenate([p for n in range(6) for p in (speech(2.0, n), silence)]), RATE_HZ)
    model = recognizer({"least_s": 1.0, "least_utterances": 1})
    engines = [FakeEngine(), FakeEngine()]

    plain = analyze_recording(model, sound, None, "voice", engine=FakeEngine())
    nothing_held = analyze_recording(model, sound, None, "voice", engine=FakeEngine(), work=Unfinished())
    with unfinished(tmp_path / "call.parts", KEY) as work:
        kept = [analyze_recording(model, sound, None, "voice", engine=engine, work=work) for engine in engines]

    assert len(plain.segments) == 6
    assert probabilities(plain)
    for other in (nothing_held, *kept):
        assert probabilities(other) == pytest.approx(probabilities(plain), abs=1e-5)
        assert [segment.text for segment in other.segments] == [segment.text for segment in plain.segments]
    assert engines[0].heard
    assert not engines[1].heard


def test_vectors_are_held_in_memory_for_ten_minutes_and_no_longer() -> None:
    assert in_memory(600.0).features == {}
    assert in_memory(600.1).features is None


def test_recognised_words_that_are_left_out_of_the_result_are_not_kept_meanwhile(tmp_path: Path) -> None:
    sound = merkit.Waveform(speech(4.0), RATE_HZ)

    for name, options in {"shown": RecordingOptions(), "redacted": RecordingOptions(redact=True)}.items():
        with unfinished(tmp_path / name, KEY) as work:
            found = divide(sound, None, options, engine=FakeEngine(), work=work)
            assert found.has_words

            kept = {file.name.partition("-")[0] for file in (tmp_path / name).glob("*-*.json")}
            assert ("words" in kept) is (name == "shown")


KILLED = """
import os, signal, sys
from merkit.recordings import bulk, unfinished
bulk.LONG_S = 1.0
left = int(sys.argv.pop(1))
once = unfinished.Unfinished.once

def counted(self, what, key, make):
    global left
    def noted():
        print("made", what, flush=True)
        return make()
    value = once(self, what, key, noted)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return value

unfinished.Unfinished.once = counted
from merkit.cli.main import run
run()
"""
"""The command line, killed after so many finished parts (0: never), which says what it makes."""


def test_a_killed_command_goes_on_and_leaves_nothing_behind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(
        tmp_path / "model", *built("single", {"audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("a", "b")), {}, ""
    )
    silence = np.zeros(RATE_HZ, np.float32)
    left, right = np.concatenate([silence, speech(17.0)]), np.concatenate([speech(17.0, 1), silence])
    sf.write(tmp_path / "call.wav", np.stack([left, right], axis=1), RATE_HZ)
    arguments = ["-q", "analyze", str(tmp_path / "call.wav"), "--checkpoint", str(tmp_path / "model")]
    arguments += ["--channels", "split", "--out", str(tmp_path / "out")]

    runs = [
        subprocess.run([sys.executable, "-c", KILLED, kill, *arguments], capture_output=True, text=True, check=False)
        for kill in ("1", "0")
    ]

    assert [run.returncode for run in runs] == [-signal.SIGKILL, 0], runs[1].stderr
    assert [run.stdout.count("made speech") for run in runs] == [1, 1]  # a channel each
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"call.json", "call.csv"} <= names
    assert "call.parts" not in names
