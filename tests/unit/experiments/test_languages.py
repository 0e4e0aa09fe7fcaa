"""The languages that a trained checkpoint states, and their effect on predictions."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.checkpoints import reseal
from tests.tiny import recipe_values, write_corpus

from merkit.core.errors import CheckpointError
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import read_manifest, write_manifest
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.inference.bulk import predict_corpus
from merkit.io.checkpoint import read_config

FOREIGN = "the words are in the language 'it', the model was trained on 'de', 'en'"


def mixed(utterance: Utterance) -> str | None:
    """Return German for two conversations, English for the others, and ``None`` for the test split."""
    if utterance.attributes["split"] == "test":
        return None
    return "de-AT" if utterance.conversation in ("c002", "c003") else "en"


def write(folder: Path, language: Callable[[Utterance], str | None]) -> Path:
    write_corpus(folder, conversations=10)
    named = [replace(each, language=language(each)) for each in read_manifest(folder).utterances]
    write_manifest(folder, named, name="tiny", version=1)
    return folder


def train(data: Path, run: Path, values: dict[str, Any]) -> Path:
    train_recipe(check_recipe(values, "r.toml"), data, run)
    return next(run.glob("fold-*/seed-0/checkpoint"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("languages")
    train(write(folder / "data", mixed), folder / "run", recipe_values("bag_of_words"))
    return folder


@pytest.fixture
def checkpoint(home: Path) -> Path:
    return next((home / "run").glob("fold-*/seed-0/checkpoint"))


def test_a_model_that_reads_text_states_the_languages_of_its_training_split(checkpoint: Path) -> None:
    assert read_config(checkpoint).languages == ("de", "en")
    assert "* Languages of the words: de, en\n" in (checkpoint / "README.md").read_text()


def test_where_one_language_is_not_known_none_is_stated(tmp_path: Path) -> None:
    data = write(tmp_path / "data", lambda utterance: None if utterance.id == "c002_1" else "en")

    assert read_config(train(data, tmp_path / "run", recipe_values("bag_of_words"))).languages is None


def test_words_of_the_test_split_in_another_language_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write(tmp_path / "data", lambda utterance: "it" if utterance.id == "c005_1" else "en")

    train(data, tmp_path / "run", recipe_values("bag_of_words"))

    assert re.search(r"1 of \d+ test utterances have words in a language that the training split lacks", caplog.text)


def test_a_model_of_sound_states_none(home: Path, tmp_path: Path) -> None:
    assert read_config(train(home / "data", tmp_path / "run", recipe_values("single"))).languages is None


@pytest.mark.parametrize("languages", [["English"], [], ["en", ""], "en"])
def test_languages_that_are_no_codes_are_refused(checkpoint: Path, tmp_path: Path, languages: Any) -> None:
    copied = reseal(shutil.copytree(checkpoint, tmp_path / "checkpoint"), {"languages": languages})

    with pytest.raises(CheckpointError, match="languages"):
        read_config(copied)


def test_a_corpus_in_another_language_gets_reasons_in_place_of_labels(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merkit.inference.predictor.CHUNK", 7)  # some parts have reasons, others have none
    data = write(tmp_path / "data", lambda utterance: "it" if utterance.conversation == "c004" else None)

    done = predict_corpus(checkpoint, read_manifest(data), tmp_path / "out.parquet")

    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    foreign = {row["id"] for row in rows if row["label"] is None}
    assert foreign == {f"c004_{turn}" for turn in range(5)}
    assert {row["reason"] for row in rows if row["id"] in foreign} == {FOREIGN}
    assert {row["reason"] for row in rows if row["id"] not in foreign} == {None}
    assert done.without_label == 5
    assert json.loads((tmp_path / "out.parquet.json").read_text())["without_label"] == 5


def test_a_teacher_predicts_conversations_in_a_language_that_its_parts_lack(tmp_path: Path) -> None:
    data = write(tmp_path / "data", lambda utterance: "de" if utterance.conversation == "c002" else "en")
    teacher = {"recipe": recipe_values("bag_of_words"), "cross_fit": 3, "ensemble": 1}

    student = train(data, tmp_path / "run", {**recipe_values("single", epochs=1), "teacher": teacher})

    stated = {read_config(path).languages for path in (tmp_path / "run").glob("teacher/**/checkpoint") if path.is_dir()}
    assert {("de", "en"), ("en",)} <= stated
    assert student.is_dir()
