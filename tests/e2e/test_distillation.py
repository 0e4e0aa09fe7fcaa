"""A model that learns from another's answers: who answered for what, what it leaves behind, and mistakes in recipes."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from tests.commandline import Called, call
from tests.tiny import LABELS, recipe_values, write_corpus, write_recipe

from merkit.data.corpus.manifest import read_manifest
from merkit.data.dataset import Dataset
from merkit.experiments import run_cell
from merkit.io.trained_on import name_hash, read_trained_on
from merkit.reporting.results import gather

PARTS = 3
TEACHERS = 2


def distilled(teacher: Any = "teacher.toml", model: str = "single", **keys: Any) -> dict[str, Any]:
    return {**recipe_values(model), "teacher": {"recipe": teacher, "cross_fit": PARTS, "ensemble": TEACHERS, **keys}}


def train(home: Path, recipe: Path, run: Path, *more: object) -> Called:
    return call("-q", "train", recipe, "--data", home / "data", "--out", run, *more)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, the recipe of a teacher that reads conversations, and a run of two seeds that learned from it."""
    folder = tmp_path_factory.mktemp("teacher")
    write_corpus(folder / "data", conversations=20)
    write_recipe(folder / "teacher.toml", recipe_values("bc_lstm", epochs=1))
    write_recipe(folder / "distilled.toml", distilled(weight=0.5))
    done = train(folder, folder / "distilled.toml", folder / "run", "--seeds", 2)
    assert done.code == 0, done.error
    return folder


def cell_of(run: Path, seed: int = 0) -> Path:
    return next(run.glob(f"fold-*/seed-{seed}"))


def weights(run: Path, seed: int = 0) -> Mapping[str, np.ndarray]:
    return load_file(cell_of(run, seed) / "checkpoint" / "model.safetensors")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Dataset]:
    """The training part of every model that is trained from here on, in their order."""
    found: list[Dataset] = []
    real = run_cell.train

    def watched(model: Any, dataset: Dataset, *rest: Any, **more: Any) -> Any:
        found.append(dataset)
        return real(model, dataset, *rest, **more)

    monkeypatch.setattr(run_cell, "train", watched)
    return found


def test_each_conversation_is_answered_for_by_the_mean_of_teachers_that_have_not_learned_from_it(
    home: Path, tmp_path: Path, given: list[Dataset]
) -> None:
    assert train(home, home / "distilled.toml", tmp_path / "run").code == 0

    *teachers, student = given
    assert [each.teacher for each in teachers] == [None] * PARTS * TEACHERS
    assert student.teacher is not None
    utterances = read_manifest(home / "data").utterances
    assert student.teacher.keys() == {u.id for u in utterances if u.attributes["split"] == "train"}
    sums: dict[str, np.ndarray] = {}
    asked: Counter[str] = Counter()
    parts = sorted((tmp_path / "run" / "teacher").glob("fold-*/seed-*/part-*/checkpoint"))
    assert len(parts) == PARTS * TEACHERS
    for number, checkpoint in enumerate(parts):
        out = tmp_path / f"{number}.parquet"
        assert call("-q", "predict", home / "data", "--checkpoint", checkpoint, "--out", out).code == 0
        learned = read_trained_on(checkpoint)
        heard = {u.conversation for u in utterances if name_hash(u.id) in learned}
        unheard = {u.id for u in utterances if u.conversation not in heard}
        for row in pq.read_table(out).to_pylist():
            if row["id"] in unheard:
                asked[row["id"]] += 1
                sums[row["id"]] = sums.get(row["id"], 0.0) + np.array([row[f"p:{label}"] for label in LABELS])
    for id_, answer in student.teacher.items():
        assert asked[id_] == TEACHERS
        np.testing.assert_allclose(answer, sums[id_] / TEACHERS, atol=1e-5)


def test_the_history_has_the_teachers_term_which_its_weight_scales(home: Path, tmp_path: Path) -> None:
    terms = []
    for weight in (1.0, 2.0):
        values = distilled(weight=weight)
        values["training"] |= {"epochs": 1, "batch_size": 1000}  # one step: both are measured before any is taken
        done = train(home, write_recipe(tmp_path / "r.toml", values | {"teacher": values["teacher"] | {
            "recipe": str(home / "teacher.toml")}}), tmp_path / f"run-{weight}")  # fmt: skip
        assert done.code == 0, done.error
        row = json.loads((cell_of(tmp_path / f"run-{weight}") / "history.jsonl").read_text())
        terms.append(row["loss"])

    assert terms[0].keys() == {"total", "classification", "teacher"}
    assert terms[0]["classification"] == terms[1]["classification"]
    assert terms[1]["teacher"] == pytest.approx(2 * terms[0]["teacher"])
    assert terms[0]["total"] == pytest.approx(terms[0]["classification"] + terms[0]["teacher"])


def test_an_ensemble_teaches_all_seeds_and_without_one_each_seed_has_its_own(
    home: Path, tmp_path: Path, given: list[Dataset]
) -> None:
    for name, ensemble in (("shared", 1), ("own", 0)):
        values = distilled(str(home / "teacher.toml"), ensemble=ensemble, cross_fit=2)
        done = train(home, write_recipe(tmp_path / f"{name}.toml", values), tmp_path / name, "--seeds", 2)
        assert done.code == 0, done.error

    trained = [
        sorted(path.parent.name for path in (tmp_path / name).glob("teacher/fold-*/seed-*/part-*"))
        for name in ("shared", "own")
    ]
    assert trained == [["seed-0"] * 2, ["seed-0"] * 2 + ["seed-1"] * 2]
    answers = [dataset.teacher for dataset in given if dataset.teacher is not None]
    first, second, own, other = ([answer[id_].tolist() for id_ in sorted(answer)] for answer in answers)
    assert first == second == own != other


def test_a_mended_student_finds_the_teachers_that_are_there(home: Path, tmp_path: Path) -> None:
    """Teachers are trained first; what fails after them must not hold the folder or throw them away."""
    values = distilled(str(home / "teacher.toml"))
    broken = {**values, "training": {**values["training"], "learning_rates": {"head": 1e30}, "clip": 0.0}}
    first = train(home, write_recipe(tmp_path / "r.toml", broken), tmp_path / "run")
    assert first.code == 2
    assert "became NaN or infinite" in first.error
    teachers = sorted((tmp_path / "run" / "teacher").rglob("cell.json"))
    before = [path.stat().st_mtime_ns for path in teachers]

    second = train(home, write_recipe(tmp_path / "r.toml", values), tmp_path / "run")

    assert second.code == 0, second.error
    assert len(teachers) == PARTS * TEACHERS
    assert [path.stat().st_mtime_ns for path in teachers] == before


def test_a_student_that_cannot_be_taught_is_refused_before_its_teachers_are_trained(home: Path, tmp_path: Path) -> None:
    rates = distilled(str(home / "teacher.toml"))
    rates["training"] |= {"learning_rates": {"heads": 1e-3}}
    fitted = distilled(str(home / "teacher.toml"), model="majority")
    stage = {**recipe_values("single"), "seeds": 1}
    write_recipe(tmp_path / "stage.toml", stage)
    second = distilled(str(home / "teacher.toml"), model="linear")
    second["encoders"] = {"audio": {"name": "checkpoint", "recipe": "stage.toml"}}
    without = "learns without gradients"
    for values, told in [
        (rates, "parameter group"),
        (fitted, f"'majority' {without}"),
        (second, f"'linear' {without}"),
    ]:
        done = train(home, write_recipe(tmp_path / "r.toml", values), tmp_path / "run")

        assert done.code == 2
        assert told in done.error
        assert not list(tmp_path.rglob("cell.json"))


def test_a_checkpoint_tells_of_its_teacher(home: Path) -> None:
    checkpoint = cell_of(home / "run") / "checkpoint"

    told = json.loads((checkpoint / "provenance.json").read_text())["transforms"]["teacher"]

    assert (told["teacher"], told["cross_fit"], told["ensemble"], told["weight"]) == ("bc_lstm", PARTS, TEACHERS, 0.5)
    assert told["encoders"]["audio"]["features"] == "sound"
    card = (checkpoint / "README.md").read_text()
    assert "merkit/models/bc_lstm.py" in json.loads((checkpoint / "provenance.json").read_text())["code"]
    assert f"* teacher: teacher bc_lstm, cross_fit {PARTS}, ensemble {TEACHERS}, weight 0.5\n" in card


def test_a_distilled_checkpoint_answers_alone_and_training_again_changes_nothing(home: Path, tmp_path: Path) -> None:
    before = (cell_of(home / "run") / "cell.json").stat().st_mtime_ns
    stored = pq.read_table(cell_of(home / "run") / "predictions.parquet").to_pylist()

    assert train(home, home / "distilled.toml", home / "run", "--seeds", 2).code == 0
    out = tmp_path / "p.parquet"
    checkpoint = cell_of(home / "run") / "checkpoint"
    assert call("-q", "predict", home / "data", "--checkpoint", checkpoint, "--out", out).code == 0

    assert (cell_of(home / "run") / "cell.json").stat().st_mtime_ns == before
    assert not any("teacher" in path.name for path in checkpoint.rglob("*"))
    again = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    for row in stored:
        assert [row[f"p:{label}"] for label in LABELS] == pytest.approx(
            [again[row["id"]][f"p:{label}"] for label in LABELS], abs=1e-5
        )


def test_other_teachers_make_another_model(home: Path, tmp_path: Path) -> None:
    write_recipe(tmp_path / "teacher.toml", recipe_values("bc_lstm", epochs=2))
    recipe = write_recipe(tmp_path / "distilled.toml", distilled(weight=0.5))

    refused = train(home, recipe, home / "run")
    assert refused.code == 2
    assert "holds a run of another recipe" in refused.error
    assert train(home, recipe, tmp_path / "run").code == 0

    ours, theirs = weights(tmp_path / "run"), weights(home / "run")
    assert any((ours[name] != theirs[name]).any() for name in ours)


def test_a_feature_extractor_may_have_a_teacher(home: Path, tmp_path: Path) -> None:
    stage = distilled(str(home / "teacher.toml"), ensemble=1)
    values = recipe_values("bc_lstm", epochs=1)
    write_recipe(tmp_path / "stage.toml", stage)
    values["encoders"] = {"audio": {"name": "checkpoint", "recipe": "stage.toml"}}

    done = train(home, write_recipe(tmp_path / "r.toml", values), tmp_path / "run")

    assert done.code == 0, done.error
    assert (
        len(list((tmp_path / "run" / "feature-extractors" / "audio" / "teacher").glob("fold-*/seed-0/part-*"))) == PARTS
    )
    features = gather([tmp_path / "run"])[0].entries[0].features
    assert features == "audio: single (distilled from bc_lstm on audio) on published features (sound), not cross-fitted"


def test_a_report_names_the_teacher(home: Path) -> None:
    entry = gather([home / "run"])[0].entries[0]

    assert entry.features == "audio: published features (sound); distilled from bc_lstm on audio"


def test_mistakes_in_a_teacher(home: Path, tmp_path: Path) -> None:
    teacher = recipe_values("bc_lstm", epochs=1)
    two_stages = recipe_values("bc_lstm")
    two_stages["encoders"] = {"audio": {"name": "checkpoint", "recipe": recipe_values("single")}}
    borrowed = recipe_values("bc_lstm")
    borrowed["encoders"] = {"audio": {"name": "checkpoint", "checkpoint": str(cell_of(home / "run") / "checkpoint")}}
    crossed = recipe_values("bc_lstm")
    crossed["encoders"] = {"audio": {"name": "checkpoint", "recipe": distilled(teacher), "cross_fit": 2}}
    without = distilled()
    del without["teacher"]["recipe"]
    for values, told in [
        (crossed, "encoders.audio.cross_fit: its recipe has a teacher, which has learned from the parts that are held"),
        (distilled("none.toml"), "No recipe named 'none.toml'"),
        (without, "teacher.recipe: is missing"),
        (distilled(teacher, cross_fit=1), "teacher.cross_fit = 1: input should be greater than or equal to 2"),
        (distilled(teacher, weight=0), "teacher.weight = 0: input should be greater than 0"),
        (distilled(teacher, crossfit=3), "teacher: No key named 'crossfit'"),
        (distilled(teacher, cross_fit=99), "cross_fit = 99: the training split has only 12 conversations"),
        (distilled({**teacher, "protocol": "parley"}), "teacher.recipe.protocol = 'parley': both recipes need 'table'"),
        (distilled({**teacher, "options": {"label": "mood"}}), "teacher.recipe.options: differ from those of"),
        (distilled({**teacher, "sedes": 1}), "teacher.recipe: top level: No key named 'sedes'"),
        (distilled(distilled(teacher)), "teacher.recipe: has a teacher of its own"),
        (distilled(two_stages), "teacher.recipe: has a feature extractor of its own"),
        (
            distilled(borrowed),
            "teacher.recipe: has a trained model for an encoder, which may know the held-out conversations",
        ),
        (distilled(teacher, weight=float("inf")), "teacher.weight = inf: input should be a finite number"),
    ]:
        done = train(home, write_recipe(tmp_path / "r.toml", values), tmp_path / told[:20].replace("/", "-"))

        assert done.code == 2, (told, done.out)
        assert told in done.error, done.error
        assert done.error.count("\n") == 1, done.error
