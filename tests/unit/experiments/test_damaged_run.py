"""Damage to any file of a run is found, named and made again by the command that made it."""

import json
import logging
import random
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.commandline import call
from tests.tiny import WIDTH, recipe_values, write_corpus, write_recipe

from merkit.core.corpus import PublishedFeatures
from merkit.core.errors import MerkitError
from merkit.data.checksums import unseal
from merkit.data.features.published import read_published, write_published
from merkit.experiments.extractors import side_by_side
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe

CELL = Path("fold-split/seed-0")
FILES = (
    *(CELL / name for name in ("cell.json", "history.jsonl", "predictions.parquet", "predictions-by-epoch.parquet")),
    *(CELL / "checkpoint" / name for name in ("config.json", "model.safetensors", "encoders/audio/features.json")),
    *map(Path, ("provenance.json", "recipe.toml")),
)
DAMAGES = ("missing", "empty", "cut", "flip", "folder")
STATE = ("model.safetensors", "best.safetensors", "optimizer.safetensors", "progress.json")


class Stopped(BaseException):
    """Ends a training between two epochs, as a kill does."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, a recipe, and a finished run of it that keeps the test predictions of every epoch."""
    home = tmp_path_factory.mktemp("damaged")
    write_corpus(home / "data", conversations=10)
    write_recipe(home / "recipe.toml", recipe_values("single", epochs=2))
    assert call(*command(home / "run", home)).code == 0
    return home


def command(run: Path, home: Path) -> tuple[Any, ...]:
    return ("train", home / "recipe.toml", "--data", home / "data", "--out", run, "--legacy-best-on-test")


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "run", tmp_path / "run"))


def predictions(run: Path) -> dict[str, list[dict[str, Any]]]:
    found = {path.name: pq.read_table(path).to_pylist() for path in sorted((run / CELL).glob("predictions*.parquet"))}
    assert len(found) == 2
    return found


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        draw = random.Random(how)
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "flip": bytes(changed)}[how])


@pytest.mark.parametrize(
    ("file", "how"), [(file, DAMAGES[number % 5]) for number, file in enumerate([*FILES, *FILES[2:]])], ids=str
)
def test_a_damaged_file_of_a_finished_run_is_named_and_made_again(
    home: Path, run: Path, file: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(run / file, how)

    report = call("report", run, "--out", run.parent / "report")
    train = call(*command(run, home))
    after = call("report", run, "--out", run.parent / "report")

    if (run / file).is_dir():  # recipe.toml: a folder is not merkit's
        assert (train.code, train.error.count("\n")) == (2, 1)
        return
    assert train.code == after.code == 0
    assert predictions(run) == predictions(home / "run")
    if "checkpoint" in str(file):  # no number of the report comes from it
        assert report.code == 0
    else:
        assert (report.code, report.error.count("\n")) == (2, 1)
        assert file.name in report.error or "no finished" in report.error
        recipe = "RECIPE" if file.name == "recipe.toml" else run / "recipe.toml"  # nothing is made from a damaged one
        assert f"merkit train {recipe} --data {home / 'data'} --out {run}" in report.error
    if file.name != "recipe.toml":
        assert file.name in caplog.text or "from its first epoch again" in caplog.text


def test_the_command_that_a_report_names_makes_the_run_whole(home: Path, run: Path) -> None:
    (run / CELL / "predictions.parquet").unlink()
    error = call("report", run, "--out", run.parent / "report").error

    assert call(*shlex.split(error.strip().partition("again with: merkit ")[2])).code == 0

    assert call("report", run, "--out", run.parent / "report").code == 0


@pytest.mark.parametrize("other", ["cell.json", "predictions.parquet", "history.jsonl"])
def test_a_file_of_another_cell_is_noticed(home: Path, run: Path, tmp_path: Path, other: str) -> None:
    values = {**recipe_values("single", epochs=1), "config": {"dropout": 0.5}}
    second = check_recipe(values, "second.toml")
    train_recipe(second, home / "data", tmp_path / "second")
    shutil.copy(tmp_path / "second" / CELL / other, run / CELL / other)

    report = call("report", run, "--out", tmp_path / "report")

    assert (report.code, report.error.count("\n")) == (2, 1)
    assert other in report.error
    assert call(*command(run, home)).code == 0
    assert predictions(run) == predictions(home / "run")


def test_the_provenance_of_another_run_does_not_lock_the_user_out(home: Path, run: Path, tmp_path: Path) -> None:
    train_recipe(check_recipe(recipe_values("majority"), "other.toml"), home / "data", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "provenance.json", run)

    assert call("report", run, "--out", tmp_path / "report").code == 2
    assert call(*command(run, home)).code == 0
    assert call("report", run, "--out", tmp_path / "report").code == 0


@pytest.fixture(scope="module")
def stopped(home: Path) -> Path:
    """The same run, stopped after its first epoch."""

    def stop(what: str, done: int, total: int, note: str = "") -> None:
        if "epoch 1/2" in note:
            raise Stopped

    recipe = check_recipe(recipe_values("single", epochs=2), "recipe.toml")
    with pytest.raises(Stopped):
        train_recipe(recipe, home / "data", home / "stopped", legacy_best_on_test=True, progress=stop)
    return home / "stopped"


@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize(
    "file", [*(f"state/epoch-00001/{name}" for name in STATE), "test-by-epoch/00001-*.parquet", "begun.json"]
)
def test_a_damaged_state_is_named_and_training_begins_again(
    home: Path, stopped: Path, tmp_path: Path, file: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(stopped, tmp_path / "run")
    (path,) = (tmp_path / "run" / CELL).glob(file)
    damage(path, how)

    recipe = check_recipe(recipe_values("single", epochs=2), "recipe.toml")
    train_recipe(recipe, home / "data", tmp_path / "run", legacy_best_on_test=True)

    assert predictions(tmp_path / "run") == predictions(home / "run")
    (record,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "is trained from its first epoch again" in record
    assert file.split("/")[0].split("*")[0] in record


def test_a_stopped_run_that_is_whole_is_resumed_without_a_word(
    home: Path, stopped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(stopped, tmp_path / "run")

    with caplog.at_level(logging.INFO):
        recipe = check_recipe(recipe_values("single", epochs=2), "recipe.toml")
        train_recipe(recipe, home / "data", tmp_path / "run", legacy_best_on_test=True)

    assert "resuming after epoch 1 of 2" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert predictions(tmp_path / "run") == predictions(home / "run")


def test_changed_inputs_are_named_before_finished_results_are_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_corpus(tmp_path / "data", conversations=10).root
    recipe = check_recipe(recipe_values("single", epochs=1), "recipe.toml")
    train_recipe(recipe, data, tmp_path / "run")
    arrays = dict(read_published(data / "precomputed" / "sound").arrays)
    arrays["c003_2"] = np.ones((2, WIDTH))
    write_published(data / "precomputed" / "sound", PublishedFeatures("sound", "audio", arrays))
    caplog.clear()

    train_recipe(recipe, data, tmp_path / "run")

    (record,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"'{tmp_path / 'run' / CELL}' is trained again, its results are replaced" in record
    assert "the audio of 1 of 50 utterances (c003_2)" in record


def test_a_damaged_copy_of_an_ensemble_is_made_again(home: Path, tmp_path: Path) -> None:
    checkpoint = home / "run" / CELL / "checkpoint"
    joined = side_by_side([checkpoint, checkpoint], tmp_path)
    weights = joined / "member-001" / "model.safetensors"
    damage(weights, "flip")

    again = side_by_side([checkpoint, checkpoint], tmp_path)

    assert again == joined
    assert weights.read_bytes() == (checkpoint / "model.safetensors").read_bytes()


def test_a_run_of_an_earlier_version_is_complete_where_its_files_can_be_read(home: Path, run: Path) -> None:
    for path in (run / CELL / "cell.json", run / CELL / "begun.json", run / "provenance.json"):
        values = unseal(path)
        for new in ("files", "parts", "recipe_sha256", "data_sha256") if path.name != "provenance.json" else ("files",):
            values.pop(new, None)
        path.write_text(json.dumps(values, indent=2))  # as that version wrote them: without checksums
    before = (run / CELL / "checkpoint" / "model.safetensors").stat().st_mtime_ns

    assert call("report", run, "--out", run.parent / "report").code == 0
    assert call(*command(run, home)).code == 0
    assert (run / CELL / "checkpoint" / "model.safetensors").stat().st_mtime_ns == before

    (run / CELL / "predictions.parquet").write_bytes(b"PAR1")
    assert call("report", run, "--out", run.parent / "report").code == 2
    assert call(*command(run, home)).code == 0
    assert predictions(run) == predictions(home / "run")


def test_a_run_s_lock_is_no_damage(home: Path, run: Path) -> None:
    (run / ".lock").unlink(missing_ok=True)

    assert call(*command(run, home)).code == 0
    with pytest.raises(MerkitError, match="holds a run of another recipe"):
        train_recipe(check_recipe(recipe_values("majority"), "other.toml"), home / "data", run)
