"""From a corpus to a trained MMER in two commands: views are made, drawn in training, and never needed again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.commandline import call
from tests.miniature import write_tone
from tests.tiny import write_recipe
from tests.unit.encoders.conftest import tiny_bert

from merkit.core.types import Utterance
from merkit.data.corpus.manifest import read_manifest, write_manifest
from merkit.experiments.shipped import shipped_folder

__all__ = ["tiny_bert"]

WORDS = {"cross": "you are not here", "glad": "we are so happy"}
PARTS = {"anna": "train", "ben": "train", "cleo": "valid", "dan": "test"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """Sixteen tones of four speakers in two emotions, and a recipe of tiny networks."""
    folder = tmp_path_factory.mktemp("augment")
    utterances = []
    for number in range(16):
        speaker, label = list(PARTS)[number // 4], ("cross", "glad")[number % 2]
        write_tone(folder / "data" / f"{number}.wav", 300.0 + 100 * (number % 2) + number, 1.0)
        attributes = {"label": label, "split": PARTS[speaker]}
        text = WORDS[label]
        name = f"u{number:02d}"
        utterances.append(Utterance(name, name, 0, speaker, text=text, audio=f"{number}.wav", attributes=attributes))
    write_manifest(folder / "data", utterances, name="tones", version=1)
    values: dict[str, Any] = {
        "model": "mmer",
        "protocol": "table",
        "seeds": 1,
        "config": {"heads": 4, "modality_dropout": 0.2},
        "encoders": {
            "text": {"name": "bert", "weights": str(tiny_bert), "frozen": False},
            "audio": {"name": "logmel", "n_mels": 8, "dim": 8, "layers": 1},
        },
        "views": {"count": 2, "text": {"name": "edit"}, "audio": {"name": "perturb", "noise_db": [20, 30]}},
        "training": {"epochs": 2, "batch_size": 4, "learning_rates": {"encoders": 1e-4, "head": 1e-3}},
    }
    write_recipe(folder / "mmer.toml", values)
    return folder


def augment(home: Path, *more: object) -> list[dict[str, Any]]:
    done = call("-q", "augment", home / "data", "--recipe", home / "mmer.toml", "--json", *more)
    assert done.code == 0, done.error
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def files(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (home / "data" / "views").rglob("*.*")}


def test_views_are_made_ahead_once_and_a_lost_one_again(home: Path) -> None:
    (row,) = augment(home)

    assert (row["utterances"], row["views"], row["new"], row["kept"]) == (8, 16, 32, 0)
    assert row["voices"] == ["anna", "ben"]
    assert row["tested"] == ["dan"]
    there = files(home)
    assert len(there) == 32
    next(path for path in there if path.suffix == ".flac").unlink()

    assert augment(home)[0]["new"] == 1
    assert files(home).keys() == there.keys()
    assert sum(there[path] != changed for path, changed in files(home).items()) == 1


def test_training_draws_views_and_an_answer_needs_none(home: Path, tmp_path: Path) -> None:
    augment(home)
    made = files(home)
    run = tmp_path / "run"
    done = call("-q", "train", home / "mmer.toml", "--data", home / "data", "--out", run)
    assert done.code == 0, done.error
    assert files(home) == made  # training found all of them

    cell = run / "fold-split" / "seed-0"
    history = [json.loads(line) for line in (cell / "history.jsonl").read_text().splitlines()]
    assert len(history) == 2
    for row in history:
        assert {"classification", "ctc", "supervised", "augmented"} <= row["loss"].keys()
        assert row["loss"]["ctc"] > 0.0
        assert 0.0 < row["loss"]["augmented"] < 10.0

    manifest = read_manifest(home / "data")
    for kept in ("text", "audio"):
        taken = {"text": "audio", "audio": "text"}[kept]
        folder = tmp_path / kept
        shutil.copytree(home / "data", folder, ignore=shutil.ignore_patterns("views", "features", "utterances.*"))
        (folder / "corpus.json").unlink()
        write_manifest(folder, [replace(u, **{taken: None}) for u in manifest.utterances], name="tones", version=1)
        out = tmp_path / f"{kept}.parquet"
        done = call("-q", "predict", folder, "--checkpoint", cell / "checkpoint", "--out", out)
        assert done.code == 0, done.error
        rows = pq.read_table(out).to_pylist()
        assert len(rows) == 16
        for row in rows:
            assert row["modalities"] == kept
            assert row["p:cross"] + row["p:glad"] == pytest.approx(1.0, abs=1e-6)


def test_a_recipe_without_views_has_nothing_to_make(home: Path) -> None:
    done = call(
        "augment",
        home / "data",
        "--recipe",
        shipped_folder("recipes") / "majority" / "meld7.toml",
        "--set",
        "protocol=table",
    )

    assert done.code == 2
    assert "the recipe has no table [views]" in done.error
