"""A long utterance is read in pieces of bounded length, and its probabilities are the mean of theirs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.speech import RATE_HZ, speech
from tests.tiny import built

import merkit
from merkit.encoders import logmel
from merkit.inference import predictor as predictors
from merkit.inference.recognizer import Recognizer
from merkit.recordings import pieces
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line
from merkit.timeline.analysis import Analysis

LABELS = ("calm", "cross", "glad")


@pytest.fixture(autouse=True)
def _two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LONGEST_S", 2.0)


def model(name: str = "single", **settings: Any) -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(*built(name, {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, **settings}}, LABELS))


def probabilities(result: Analysis) -> list[list[float]]:
    return [list(segment.prediction.probabilities.values()) for segment in result.segments if segment.prediction]


def lines(*times_s: tuple[float, float]) -> list[Line]:
    return [Line(float(start_s), float(end_s), "", None) for start_s, end_s in times_s]


@pytest.mark.parametrize(("name", "settings"), [("single", {}), ("single", {"normalize": "speaker"}), ("bc_lstm", {})])
def test_a_long_recording_has_the_mean_of_its_pieces(name: str, settings: dict[str, Any]) -> None:
    sound = merkit.Waveform(speech(6.0), RATE_HZ)
    recognizer = model(name, **settings)

    whole = analyze_recording(recognizer, sound, None, "here")

    if name == "single":
        alone = probabilities(analyze_recording(recognizer, sound, lines((0, 2), (2, 4), (4, 6)), "here"))
    else:  # turns of one conversation would be read beside each other
        alone = [
            probabilities(analyze_recording(recognizer, merkit.Waveform(part, RATE_HZ), None, "here"))[0]
            for part in np.split(sound.samples, 3)
        ]
    np.testing.assert_allclose(probabilities(whole), [np.mean(alone, axis=0)], atol=1e-4)
    (segment,) = whole.segments
    assert (segment.start_s, segment.end_s, segment.modalities) == (0.0, 6.0, ("audio",))
    assert segment.label == LABELS[int(np.argmax(np.mean(alone, axis=0)))]
    assert "read in pieces, 3 at most" in whole.notes[0]


def test_pieces_without_speech_have_no_part_in_the_mean() -> None:
    spoken, still = speech(2.0), np.zeros(2 * RATE_HZ, np.float32)
    recognizer = model()

    whole = analyze_recording(
        recognizer, merkit.Waveform(np.concatenate([still, spoken, still]), RATE_HZ), None, "here"
    )

    alone = analyze_recording(recognizer, merkit.Waveform(spoken, RATE_HZ), None, "here")
    np.testing.assert_allclose(probabilities(whole), probabilities(alone), atol=1e-3)


def test_a_long_recording_without_speech_has_no_label() -> None:
    result = analyze_recording(model(), merkit.Waveform(np.zeros(6 * RATE_HZ), RATE_HZ), None, "here")

    assert [(segment.label, segment.reason) for segment in result.segments] == [(None, "no speech")]


def test_short_utterances_beside_a_long_one_are_read_as_they_are() -> None:
    sound = merkit.Waveform(speech(8.0), RATE_HZ)
    recognizer = model()

    result = analyze_recording(recognizer, sound, lines((0, 1), (1, 6), (6, 8)), "here")

    alone = analyze_recording(recognizer, sound, lines((0, 1), (6, 8)), "here")
    np.testing.assert_allclose(probabilities(result)[::2], probabilities(alone), atol=1e-5)
    assert any(note.startswith("1 of 3 utterances are longer") for note in result.notes)
    assert not any("pieces" in note for note in alone.notes)


def test_no_encoder_reads_more_than_a_piece_and_no_more_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []
    together: list[float] = []
    waveform, predict_chunk = logmel.waveform, Recognizer.predict_chunk

    def counted(turn: Any) -> Any:
        samples = waveform(turn)
        read.append(len(samples) / RATE_HZ)
        return samples

    def weighed(self: Recognizer, chunk: Sequence[Any], *arguments: Any, **named: Any) -> Any:
        together.append(sum(self.encoders["audio"].duration_s(turn) for item in chunk for turn in item))
        return predict_chunk(self, chunk, *arguments, **named)

    monkeypatch.setattr(logmel, "waveform", counted)
    monkeypatch.setattr(Recognizer, "predict_chunk", weighed)
    monkeypatch.setattr(predictors, "IN_MEMORY_S", 3.0)
    sound = merkit.Waveform(speech(20.0), RATE_HZ)

    analyze_recording(model(normalize="speaker"), sound, None, "here")
    analyze_recording(model(), sound, lines(*((n, n + 1.0) for n in range(20))), "here")

    assert max(read) <= 2.0 + 1e-3
    assert max(together) <= 3.0
    assert sum(read) == pytest.approx(20 * 3, abs=0.1)  # the first model reads twice, for the speaker's average


def test_a_channel_of_a_file_is_read_without_the_file_in_memory(tmp_path: Path) -> None:
    import soundfile

    stereo = np.stack([speech(2.0), 0.5 * speech(2.0, 1)])
    soundfile.write(tmp_path / "call.wav", stereo.T, RATE_HZ, subtype="FLOAT")
    recognizer = model()

    split = analyze_recording(recognizer, tmp_path / "call.wav", None, "here", RecordingOptions("split"))

    alone = [analyze_recording(recognizer, merkit.Waveform(each, RATE_HZ), None, "here") for each in stereo]
    np.testing.assert_allclose(probabilities(split), [probabilities(each)[0] for each in alone], atol=1e-5)
