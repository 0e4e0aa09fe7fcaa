import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.checkpoints import reseal
from tests.tiny import built, recipe_values, write_corpus

from merkit.core.errors import CheckpointError
from merkit.data import strict_json
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.io.checkpoint import FORMAT, load_checkpoint, save_checkpoint, stored_published_features
from merkit.io.trained_on import name_hash, read_trained_on


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_corpus(folder / "data", conversations=10)
    values = recipe_values("concat")
    train_recipe(check_recipe(values, "r.toml"), folder / "data", folder / "run")
    return next((folder / "run").glob("fold-*/seed-0/checkpoint")), folder / "data"


@pytest.fixture
def copy(trained: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    shutil.copytree(trained[0], tmp_path / "checkpoint")
    return tmp_path / "checkpoint", trained[1]


def test_a_checkpoint_is_a_folder_of_safetensors_and_text(trained: tuple[Path, Path]) -> None:
    files = {str(path.relative_to(trained[0])) for path in trained[0].rglob("*") if path.is_file()}

    assert {"model.safetensors", "config.json", "provenance.json", "README.md"} <= files
    assert {Path(name).suffix for name in files} <= {".safetensors", ".json", ".md", ".txt"}


def test_the_utterances_of_training_are_hashes_in_a_file_of_their_own(trained: tuple[Path, Path]) -> None:
    splits = pq.read_table(trained[0].parent / "predictions.parquet").to_pylist()
    hashes = {name_hash(row["id"]) for row in splits if row["split"] == "train"}

    lines = (trained[0] / "trained-on.txt").read_text().splitlines()

    assert lines == sorted(hashes)
    assert read_trained_on(trained[0]) == hashes
    facts = json.loads((trained[0] / "provenance.json").read_text())["trained_on"]
    assert facts.keys() == {"fold", "seed", "count", "hash"}
    assert facts["count"] == len(hashes)


def test_more_utterances_of_training_than_fit_into_a_json_file_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_json, "_MOST_BYTES", 10_000)  # of hashes there are 17,000 bytes
    learned = {name_hash(str(number)) for number in range(1000)}

    save_checkpoint(tmp_path / "c", *built("single", {"audio": {"name": "logmel"}}, ("a", "b")), {}, "", learned)

    assert read_trained_on(tmp_path / "c") == learned
    assert stored_published_features(tmp_path / "c") == []


def test_utterances_of_training_that_an_earlier_version_kept_in_the_provenance_are_read(
    copy: tuple[Path, Path],
) -> None:
    (copy[0] / "trained-on.txt").unlink()
    (copy[0] / "provenance.json").write_text(json.dumps({"trained_on": {"fold": "f", "utterances": "0a 0b"}}))

    assert read_trained_on(copy[0]) == {"0a", "0b"}


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text(path.read_text()[17:])])
def test_a_damaged_or_missing_list_of_utterances_is_named_and_changes_no_prediction(
    copy: tuple[Path, Path], spoil: Callable[[Path], Any]
) -> None:
    before = checkpoint_hash(copy[0])

    spoil(copy[0] / "trained-on.txt")

    with pytest.raises(CheckpointError, match=r"trained-on.txt.* is damaged or missing: copy the checkpoint again"):
        read_trained_on(copy[0])
    assert checkpoint_hash(copy[0]) == before
    load_checkpoint(*copy)


def test_a_checkpoint_loads_in_evaluation_mode_with_its_fitted_statistics(trained: tuple[Path, Path]) -> None:
    model, config = load_checkpoint(*trained)

    assert not model.training
    assert config.labels == ("calm", "cross", "glad")
    statistics = [tensor for name, tensor in model.state_dict().items() if "mean" in name]
    assert statistics
    assert all(bool(tensor.abs().sum() > 0) for tensor in statistics)


def test_a_missing_tensor_is_named(copy: tuple[Path, Path]) -> None:
    state = load_file(copy[0] / "model.safetensors")
    lost = sorted(state)[0]
    del state[lost]
    save_file(state, copy[0] / "model.safetensors")
    reseal(copy[0])

    with pytest.raises(CheckpointError, match=rf"1 missing \({lost}\)"):
        load_checkpoint(*copy)


def test_a_foreign_and_a_misshapen_tensor_are_named(copy: tuple[Path, Path]) -> None:
    state = load_file(copy[0] / "model.safetensors")
    first = sorted(state)[0]
    state[first] = torch.zeros(1, 2, 3)
    state["strange"] = torch.zeros(1)
    save_file(state, copy[0] / "model.safetensors")
    reseal(copy[0])

    with pytest.raises(CheckpointError, match=rf"1 unknown \(strange\); 1 of another shape \({first}\)"):
        load_checkpoint(*copy)


@pytest.mark.parametrize(
    ("written", "remedy"), [(99, "upgrade merkit"), (1, "train it again"), (None, "train it again")]
)
def test_another_format_is_refused(copy: tuple[Path, Path], written: int | None, remedy: str) -> None:
    config = json.loads((copy[0] / "config.json").read_text())
    (copy[0] / "config.json").write_text(json.dumps({**config, "format": written}))

    with pytest.raises(
        CheckpointError, match=f"checkpoint format {written}, this merkit reads format {FORMAT}: {remedy}"
    ):
        load_checkpoint(*copy)


def test_unknown_keys_are_refused(copy: tuple[Path, Path]) -> None:
    config = json.loads((copy[0] / "config.json").read_text())
    (copy[0] / "config.json").write_text(json.dumps({**config, "extra": 1}))

    with pytest.raises(CheckpointError, match="1 settings do not fit: extra: Extra inputs are not permitted"):
        load_checkpoint(*copy)


def test_an_encoder_without_a_name_is_refused(copy: tuple[Path, Path]) -> None:
    config = json.loads((copy[0] / "config.json").read_text())
    del config["encoders"]["audio"]["name"]
    (copy[0] / "config.json").write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match=r"1 settings do not fit: encoders\.audio\.name: Field required"):
        load_checkpoint(*copy)


def test_settings_that_do_not_fit_the_model_are_refused(copy: tuple[Path, Path]) -> None:
    config = json.loads((copy[0] / "config.json").read_text())
    reseal(copy[0], {"model_config": config["model_config"] | {"hidden_size": "wide"}})

    with pytest.raises(CheckpointError, match="1 settings do not fit: hidden_size: Input should be a valid integer"):
        load_checkpoint(*copy)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "config.json").unlink(), "No checkpoint in"),
        (lambda folder: (folder / "config.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "is damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x01" * 20), "safetensors has changed since"),
        (lambda folder: [(folder / "model.safetensors").write_bytes(b"\x01" * 20), reseal(folder)], "is damaged"),
    ],
    ids=["no config", "cut config", "no object", "no weights", "cut weights", "cut before"],
)
def test_a_damaged_folder_is_told(copy: tuple[Path, Path], damage: object, told: str) -> None:
    damage(copy[0])  # type: ignore[operator]

    with pytest.raises(CheckpointError, match=told):
        load_checkpoint(*copy)
