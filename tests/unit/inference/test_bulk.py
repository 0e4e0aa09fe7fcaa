"""A whole corpus in parts."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.miniature import write_tone, write_tones

from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.inference.bulk import predict_corpus
from merkit.inference.recognizer import Recognizer


def test_a_recording_that_changed_since_a_kill_is_predicted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_tones(tmp_path / "data")
    values = {
        "model": "single",
        "protocol": "table",
        "seeds": 1,
        "encoders": {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}},
        "training": {"epochs": 1, "learning_rates": {"encoders": 1e-3, "head": 1e-3}},
    }
    train_recipe(check_recipe(values, "r.toml"), tmp_path / "data", tmp_path / "run")
    checkpoint = next((tmp_path / "run").glob("fold-*/seed-0/checkpoint"))
    monkeypatch.setattr("merkit.inference.predictor.CHUNK", 2)
    whole = Recognizer.predict_chunk
    calls: list[int] = []

    def stopped(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Recognizer, "predict_chunk", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict_corpus(checkpoint, manifest, tmp_path / "resumed.parquet")
    write_tone(tmp_path / "data" / "0.wav", 3000.0, 0.2)
    predict_corpus(checkpoint, manifest, tmp_path / "resumed.parquet")
    resumed = len(calls) - 3
    predict_corpus(checkpoint, manifest, tmp_path / "fresh.parquet")

    assert resumed == 3  # the first part again, and the two that were never begun; the second part is kept
    assert pq.read_table(tmp_path / "resumed.parquet").equals(pq.read_table(tmp_path / "fresh.parquet"))
