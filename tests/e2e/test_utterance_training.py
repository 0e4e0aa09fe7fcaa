"""A recipe with all that makes fine-tuning affordable: trained, stored, and answered for by its checkpoint."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from tests.miniature import write_tone
from tests.networks import write_speech_network

from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, read_manifest, write_manifest
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.inference.bulk import predict_corpus

pytest.importorskip("peft", reason="the extra 'lora' is not installed")

KINDS = ["wav2vec2 group", "wav2vec2 layer stable"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("data")
    utterances = []
    for number in range(16):
        write_tone(folder / f"{number}.wav", 200.0 + 50 * number, 0.1 + 0.05 * (number % 5))
        attributes = {"label": "ab"[number % 2], "split": ("train", "train", "valid", "test")[number // 4]}
        name = f"u{number}"
        utterances.append(Utterance(name, name, 0, name, audio=f"{number}.wav", attributes=attributes))
    return write_manifest(folder, utterances, name="tones", version=1)


def train(manifest: Manifest, run: Path, network: Path, training: dict[str, Any] | None = None, **encoder: Any) -> Path:
    """Train two epochs and return the cell's folder."""
    values = {
        "model": "single",
        "protocol": "table",
        "seeds": 1,
        "encoders": {"audio": {"name": "wav2vec2", "weights": str(network), "frozen": False, **encoder}},
        "training": {"epochs": 2, "learning_rates": {"encoders": 1e-3, "head": 1e-3}, **(training or {})},
    }
    train_recipe(check_recipe(values, "r.toml"), manifest.root, run, features=run / "features")
    return next(run.glob("fold-*/seed-0"))


def history(cell: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cell / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_all_options_together_train_and_the_checkpoint_repeats_the_stored_predictions(
    data: Manifest, tmp_path: Path, kind: str
) -> None:
    network = write_speech_network(tmp_path / "network", kind)
    cell = train(
        data, tmp_path / "run", network, {"batch_seconds": 0.6, "layer_decay": 0.5},
        lora={"rank": 2}, gradient_checkpointing=True, cache_front_end=True,
    )  # fmt: skip
    moved = cell.rename(tmp_path / "moved")
    network.rename(tmp_path / "gone")

    predict_corpus(moved / "checkpoint", read_manifest(data.root), tmp_path / "p.parquet", features=tmp_path / "none")

    found = {row["id"]: row for row in pq.read_table(tmp_path / "p.parquet").to_pylist()}
    stored = pq.read_table(moved / "predictions.parquet").to_pylist()
    assert len(stored) == 16
    for row in stored:
        assert found[row["id"]]["p:a"] == pytest.approx(row["p:a"], abs=1e-6)
    assert not (tmp_path / "none").exists()  # who predicts stores no frames
    state = load_file(moved / "checkpoint" / "model.safetensors")
    assert all("lora_" in name for name in state if name.startswith("encoders."))
    rates = history(moved)[0]["learning_rate"]
    # by hand: half the rate for each layer below
    assert [rates[f"encoders.audio.layer-{n}"] for n in (1, 2, 3)] == pytest.approx([2.5e-4, 5e-4, 1e-3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_front_end_changes_no_loss_and_no_prediction(data: Manifest, tmp_path: Path, kind: str) -> None:
    network = write_speech_network(tmp_path / "network", kind, hidden_dropout=0.0, attention_dropout=0.0,
                                   activation_dropout=0.0, feat_proj_dropout=0.0)  # fmt: skip

    plain = train(data, tmp_path / "plain", network, {"batch_size": 4})
    stored = train(data, tmp_path / "stored", network, {"batch_size": 4}, cache_front_end=True)

    assert [path.name.split("-")[0] for path in (tmp_path / "stored" / "features").iterdir()] == ["wav2vec2"]
    assert not (tmp_path / "plain" / "features").exists()
    for first, second in zip(history(plain), history(stored), strict=True):
        assert second["loss"]["total"] == pytest.approx(first["loss"]["total"], abs=1e-5)
    for first, second in zip(
        *(pq.read_table(cell / "predictions.parquet").to_pylist() for cell in (plain, stored)), strict=True
    ):
        assert first["id"] == second["id"]
        assert second["p:a"] == pytest.approx(first["p:a"], abs=1e-4)
