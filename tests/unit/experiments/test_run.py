"""A run's folder: what a second call of the same command may change in it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import recipe_values, write_corpus

from merkit.core.errors import MerkitError
from merkit.data.corpus.manifest import Manifest
from merkit.evaluation.stored import open_run
from merkit.experiments.provenance import describe_run, recipe_hash
from merkit.experiments.recipe import Recipe
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.io.provenance import describe_environment, read_provenance


def test_asking_again_does_not_claim_that_the_code_of_today_made_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "data", conversations=10)
    recipe = check_recipe(recipe_values("majority"), "r.toml")
    train_recipe(recipe, tmp_path / "data", tmp_path / "run")
    path = tmp_path / "run" / "provenance.json"
    before = read_provenance(path.parent)
    (tmp_path / "data").rename(tmp_path / "moved")
    today = {**describe_environment(), "commit": "b"}
    monkeypatch.setattr("merkit.experiments.provenance.describe_environment", lambda: today)

    train_recipe(recipe, tmp_path / "moved", tmp_path / "run")

    after = read_provenance(path.parent)
    assert after["data"].pop("path") == str(tmp_path / "moved")
    assert before["data"].pop("path") == str(tmp_path / "data")
    assert after == before


def test_a_run_that_failed_in_its_first_epoch_leaves_its_folder_to_another_recipe(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    write_corpus(data, conversations=10)
    wild, tame = recipe_values("single"), recipe_values("single", epochs=1)
    wild["training"] = {**wild["training"], "learning_rates": {"head": 1e38}}
    with pytest.raises(MerkitError, match="NaN or infinite in epoch 1"):
        train_recipe(check_recipe(wild, "wild.toml"), data, run)

    train_recipe(check_recipe(tame, "tame.toml"), data, run)

    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["recipe_sha256"] == recipe_hash(check_recipe(tame, "tame.toml"))
    next(run.rglob("cell.json")).unlink()  # as if it had been stopped after that epoch
    with pytest.raises(MerkitError, match="holds a run of another recipe"):
        train_recipe(check_recipe(wild, "wild.toml"), data, run)


def test_what_another_process_finished_while_this_one_began_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    write_corpus(data, conversations=10)
    theirs, ours = (check_recipe(recipe_values(model), "r.toml") for model in ("majority", "bag_of_words"))

    def slow(recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
        if recipe is ours:
            train_recipe(theirs, data, run)
        return describe_run(recipe, manifest)

    monkeypatch.setattr("merkit.experiments.run.describe_run", slow)
    with pytest.raises(MerkitError, match="holds a run of another recipe"):
        train_recipe(ours, data, run)

    assert "majority" in (run / "recipe.toml").read_text()


def test_a_run_of_an_older_format_is_refused_in_one_line(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    write_corpus(data, conversations=10)
    recipe = check_recipe(recipe_values("majority"), "r.toml")
    train_recipe(recipe, data, run)
    provenance = read_provenance(run)
    del provenance["format"]
    (run / "provenance.json").write_text(json.dumps(provenance))

    for use in (lambda: train_recipe(recipe, data, run), lambda: open_run(run)):
        with pytest.raises(MerkitError, match=r"run' has run format 1, this merkit reads and writes 2: train it again"):
            use()


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data", conversations=10)
    recipe = check_recipe(recipe_values("majority"), "r.toml")
    hold = (
        "import sys\nfrom pathlib import Path\nfrom merkit.io.lock import alone\n"
        "with alone(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", hold, str(tmp_path / "run")]

    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(MerkitError, match="Another process is working in"):
            train_recipe(recipe, tmp_path / "data", tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
        other.kill()

    train_recipe(recipe, tmp_path / "data", tmp_path / "run")
