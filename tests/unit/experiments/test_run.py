"""A run's folder: what a second call of the same command may change in it."""

import json
from pathlib import Path

import pytest
from tests.tiny import recipe_values, write_corpus

from merkit.experiments.recipe import check_recipe
from merkit.experiments.run import describe_environment, train_recipe


def test_asking_again_does_not_claim_that_the_code_of_today_made_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "data", conversations=10)
    recipe = check_recipe(recipe_values("majority"), "r.toml")
    train_recipe(recipe, tmp_path / "data", tmp_path / "run")
    path = tmp_path / "run" / "provenance.json"
    before = json.loads(path.read_text())
    (tmp_path / "data").rename(tmp_path / "moved")
    today = {**describe_environment(), "commit": "b"}
    monkeypatch.setattr("merkit.experiments.run.describe_environment", lambda: today)

    train_recipe(recipe, tmp_path / "moved", tmp_path / "run")

    after = json.loads(path.read_text())
    assert after["data"].pop("path") == str(tmp_path / "moved")
    assert before["data"].pop("path") == str(tmp_path / "data")
    assert after == before
