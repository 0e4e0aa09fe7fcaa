"""One fold and seed: what it must not depend on, and what it must not leave behind."""

import gc
import json
import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file
from tests.miniature import write_tones
from tests.networks import write_whisper

from merkit.api.training import train_and_score
from merkit.core.errors import ConfigError
from merkit.core.model import Model
from merkit.data.corpus.manifest import read_manifest, write_manifest
from merkit.experiments.recipe import Recipe
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.io.checkpoint import build_model, load_checkpoint
from merkit.io.predictions import PROBABILITY
from merkit.nn.losses import ClassificationLoss, build_criterion
from merkit.training.state import save_state


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight tones of two labels."""
    return write_tones(tmp_path / "data").root


def recipe(**training: object) -> Recipe:
    """A network on log-mels, from scratch: its encoder begins with random weights."""
    values = {
        "model": "single",
        "protocol": "table",
        "seeds": 2,
        "encoders": {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}},
        "training": {"epochs": 1, "batch_size": 4, "learning_rates": {"encoders": 1e-3, "head": 1e-3}, **training},
    }
    return check_recipe(values, "r.toml")


def test_a_cell_after_a_restart_gets_the_weights_of_an_undisturbed_run(data: Path, tmp_path: Path) -> None:
    train_recipe(recipe(), data, tmp_path / "calm")

    train_recipe(replace(recipe(), seeds=1), data, tmp_path / "stormy")
    torch.manual_seed(1)  # a new process, which has drawn nothing yet
    train_recipe(recipe(), data, tmp_path / "stormy")

    ours, theirs = (
        load_file(next((tmp_path / name).glob("fold-*/seed-1/checkpoint/model.safetensors")))
        for name in ("calm", "stormy")
    )
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_a_cell_learns_the_training_split_s_mean_before_vectors_are_compared_with_it(
    data: Path, tmp_path: Path
) -> None:
    network = write_whisper(tmp_path / "network")
    audio = {"name": "whisper", "weights": str(network), "pooled": True, "normalize": "speaker_mean"}
    values = {"model": "linear", "protocol": "table", "seeds": 1, "encoders": {"audio": audio}}

    train_recipe(check_recipe(values, "r.toml"), data, tmp_path / "run")

    manifest, cell = read_manifest(data), next((tmp_path / "run").glob("fold-*/seed-0"))
    encoder = load_checkpoint(cell / "checkpoint", data)[0].encoders["audio"]
    trained = list(manifest.turns())[:4]
    average = np.stack(encoder.extract(trained)).mean(0)[0]
    np.testing.assert_allclose(encoder.average, average, atol=1e-5)


def test_a_finished_cell_leaves_no_model_in_memory(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[weakref.ref[Model]] = []
    alive: list[int] = []

    def counted(*arguments: Any, **options: Any) -> Model:
        gc.collect()
        alive.append(sum(model() is not None for model in built))
        model = build_model(*arguments, **options)
        built.append(weakref.ref(model))
        return model

    monkeypatch.setattr("merkit.experiments.run_cell.build_model", counted)

    train_recipe(recipe(), data, tmp_path / "run")

    assert alive == [0, 0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="an accelerator can compute in fp16")
def test_a_precision_that_the_device_lacks_is_told_by_its_key(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.precision = 'fp16'"):
        train_recipe(recipe(precision="fp16"), data, tmp_path / "run")


def test_runs_of_one_process_may_differ_in_precision(data: Path, tmp_path: Path) -> None:
    losses = []
    for precision in (
        "bf16",
        "float32",
        "bf16",
    ):  # as do a feature extractor and what it is made for, or variants of a grid
        train_recipe(recipe(precision=precision), data, tmp_path / f"run-{len(losses)}")
        cell = next((tmp_path / f"run-{len(losses)}").glob("fold-*/seed-0"))
        losses.append(json.loads((cell / "history.jsonl").read_text().splitlines()[0])["loss"]["total"])

    assert losses[0] == losses[2] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "float32")])
def test_the_machine_chooses_the_precision_and_the_cell_says_which(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    native: bool,
    expected: str,
) -> None:
    monkeypatch.setattr("merkit.experiments.accelerator.has_native_bfloat16", lambda device: native)
    caplog.set_level("INFO")

    train_recipe(replace(recipe(precision="auto"), seeds=1), data, tmp_path / "auto")
    train_recipe(replace(recipe(precision=expected), seeds=1), data, tmp_path / "named")

    auto, named = (next((tmp_path / name).glob("fold-*/seed-0")) for name in ("auto", "named"))
    assert record(auto)["precision"] == record(named)["precision"] == expected
    assert record(auto)["inputs"] == record(named)["inputs"]
    weights = [load_file(cell / "checkpoint" / "model.safetensors") for cell in (auto, named)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert json.loads((auto / "checkpoint" / "provenance.json").read_text())["precision"] == expected
    (line,) = [line for line in caplog.messages if "natively" in line]
    assert f"trained in {expected}" in line


def test_what_another_machine_began_in_bf16_is_trained_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for native in (True, False):
        monkeypatch.setattr("merkit.experiments.accelerator.has_native_bfloat16", lambda device, has=native: has)
        train_recipe(replace(recipe(precision="auto"), seeds=1), data, tmp_path / "run")

    assert any("is trained again" in line and "the recipe" in line for line in caplog.messages)
    assert record(next((tmp_path / "run").glob("fold-*/seed-0")))["precision"] == "float32"


def record(cell: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cell / "cell.json").read_text())
    return found


def test_the_history_has_the_validation_loss_that_the_stored_probabilities_have(data: Path, tmp_path: Path) -> None:
    train_recipe(recipe(), data, tmp_path / "run")

    cell = next((tmp_path / "run").glob("fold-*/seed-0"))
    row = json.loads((cell / "history.jsonl").read_text())
    stored = pq.read_table(cell / "predictions.parquet").to_pylist()
    valid = {entry["id"]: entry for entry in stored if entry["split"] == "valid"}
    truth = {"u4": "a", "u5": "b"}
    assert valid.keys() == truth.keys()
    likelihoods = [valid[name][PROBABILITY + label] for name, label in truth.items()]
    assert row["valid"]["loss"] == pytest.approx(-sum(math.log(p) for p in likelihoods) / 2, rel=1e-5)


def test_the_loss_is_that_of_the_recipe(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ClassificationLoss] = []

    def recorded(**how: Any) -> ClassificationLoss:
        made.append(build_criterion(**how))
        return made[-1]

    monkeypatch.setattr("merkit.experiments.run_cell.build_criterion", recorded)
    adjusted = {**recipe().resolved(), "seeds": 1, "loss": {"kind": "logit_adjusted", "prior_exponent": 0.5}}

    train_recipe(check_recipe(adjusted, "r.toml"), data, tmp_path / "run")

    assert made[0].shift.tolist() == pytest.approx([0.5 * math.log(0.5)] * 2)  # two of four are "a"


class Killed(BaseException):
    """What a test calls a kill."""


def test_a_cell_killed_just_before_its_last_file_keeps_the_predictions_of_every_epoch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(folder: Path, facts: dict[str, object]) -> None:
        raise Killed

    calm = train_and_score(recipe(epochs=3), data, tmp_path / "calm", legacy_best_on_test=True)

    with monkeypatch.context() as patched:
        patched.setattr("merkit.experiments.run_cell.write_record", deadly)
        with pytest.raises(Killed):
            train_recipe(recipe(epochs=3), data, tmp_path / "stormy", legacy_best_on_test=True)
    stormy = train_and_score(recipe(epochs=3), data, tmp_path / "stormy", legacy_best_on_test=True)

    assert stormy["legacy_best_on_test"] == calm["legacy_best_on_test"] is not None
    kept = [next((tmp_path / name).glob("fold-*/seed-0/predictions-by-epoch.parquet")) for name in ("calm", "stormy")]
    assert pq.read_table(kept[0]).equals(pq.read_table(kept[1]))


def test_what_a_kill_left_of_a_finished_cell_is_removed(data: Path, tmp_path: Path) -> None:
    train_recipe(recipe(), data, tmp_path / "run")
    cell = next((tmp_path / "run").glob("fold-*/seed-0"))
    for name in ("state", "test-by-epoch"):
        (cell / name).mkdir()

    train_recipe(recipe(), data, tmp_path / "run")

    assert {path.name for path in cell.iterdir()} == {
        "begun.json", "cell.json", "checkpoint", "history.jsonl", "predictions.parquet"
    }  # fmt: skip


def test_a_kill_after_the_last_epoch_loses_none_of_the_history(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(folder: Path, *arguments: Any) -> None:
        save_state(folder, *arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("merkit.training.loop.save_state", deadly)
        with pytest.raises(Killed):
            train_recipe(recipe(), data, tmp_path / "run")
    train_recipe(recipe(), data, tmp_path / "run")

    histories = [path.read_text().count("\n") for path in (tmp_path / "run").glob("fold-*/seed-*/history.jsonl")]
    assert histories == [1, 1]


def test_a_cell_that_kept_more_than_is_asked_for_is_not_trained_again(data: Path, tmp_path: Path) -> None:
    train_recipe(recipe(), data, tmp_path / "run", legacy_best_on_test=True)
    cells = sorted((tmp_path / "run").glob("fold-*/seed-*/cell.json"))
    before = [cell.read_text() for cell in cells]

    train_recipe(recipe(), data, tmp_path / "run")

    assert [cell.read_text() for cell in cells] == before
    assert all((cell.parent / "predictions-by-epoch.parquet").is_file() for cell in cells)


@pytest.mark.parametrize(
    ("speakers", "normalize", "warned"),
    [
        ("ABAB", "speaker", "2 of 2 speakers of the training split have one label in all their utterances"),
        ("ABAB", "corpus", ""),
        ("AABB", "speaker", ""),
        ("ABCD", "speaker", ""),  # one utterance each, which is no average
    ],
)
def test_speakers_of_one_label_are_told_where_their_average_is_subtracted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, speakers: str, normalize: str, warned: str
) -> None:
    manifest = write_tones(tmp_path / "data")
    named = [
        replace(utterance, speaker=speakers[number] if number < 4 else "E")  # labels of training: a b a b
        for number, utterance in enumerate(manifest.utterances)
    ]
    write_manifest(tmp_path / "data", named, name="tones", version=1)
    values = {
        "model": "single",
        "protocol": "table",
        "seeds": 1,
        "encoders": {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "normalize": normalize}},
        "training": {"epochs": 1, "learning_rates": {"encoders": 1e-3, "head": 1e-3}},
    }

    train_recipe(check_recipe(values, "r.toml"), tmp_path / "data", tmp_path / "run")

    messages = [
        record.getMessage() for record in caplog.records if "speakers of the training split" in record.getMessage()
    ]
    assert [message.partition(": ")[2][: len(warned)] for message in messages] == ([warned] if warned else [])
