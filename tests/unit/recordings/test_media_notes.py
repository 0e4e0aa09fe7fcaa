"""What was repaired in order to read a recording is a note of its analysis."""

from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from tests.tiny import built

from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import save_checkpoint
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.options import RecordingOptions


def test_a_recorder_that_stopped_early_is_told_with_the_labels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    logmel = {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}
    save_checkpoint(tmp_path / "model", *built("single", {"audio": logmel}, ("calm", "cross")), {}, "")
    sf.write(tmp_path / "a.wav", np.sin(np.arange(16_000) * 0.1) / 2, 16_000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = bytes(4)
    (tmp_path / "a.wav").write_bytes(content)

    recognizer = Recognizer.load(tmp_path / "model")
    found = analyze_recording(recognizer, tmp_path / "a.wav", None, "model", RecordingOptions(speech_check=False))

    assert found.duration_s == 1.0
    assert [note for note in found.notes if "recording:" in note] == [
        "About the recording: its header says that it holds no samples, as a recorder that stops early leaves it: "
        "read to its end."
    ]
