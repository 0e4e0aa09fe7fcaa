"""Training, runs, corpora and reports from Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import LABELS, recipe_values, write_corpus, write_recipe

import merkit
from merkit.api.runs import _assignments


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_corpus(folder / "data")
    write_recipe(folder / "recipe.toml", recipe_values("single"))
    return folder


@pytest.fixture(scope="module")
def run(home: Path) -> merkit.Run:
    return merkit.train(
        home / "recipe.toml", str(home / "data"), home / "run", {"training.epochs": 2, "training": {"batch_size": 16}}
    )


def test_a_run_holds_scores_predictions_checkpoints_and_history(run: merkit.Run, home: Path) -> None:
    frame = run.predictions("test").to_pandas()

    assert run.scores["model"] == "single"
    assert run.scores == json.loads((home / "run" / "scores.json").read_text())
    assert run.to_pandas()["metric"].tolist() == list(run.scores["test"])
    assert len(frame) == run.scores["support"] == 30
    accuracy = (frame["true_label"] == frame["label"]).mean()
    assert accuracy == pytest.approx(run.scores["test"]["accuracy"]["mean"])
    assert [f"p:{label}" for label in sorted(LABELS)] == [name for name in frame.columns if name.startswith("p:")]
    assert [row["epoch"] for row in run.history(fold=0, seed=0)] == [1, 2]
    recipe = (home / "run" / "recipe.toml").read_text()
    assert "batch_size = 16" in recipe
    predictions = merkit.load(run.checkpoint(fold=0, seed=0), data=home / "data").predict(home / "data")
    by_id = {prediction.id: prediction.label for prediction in predictions}
    assert frame["label"].tolist() == [by_id[name] for name in frame["id"]]


def test_a_model_of_published_features_reads_no_recordings(run: merkit.Run, home: Path) -> None:
    recognizer = merkit.load(run.checkpoint(), data=home / "data")

    with pytest.raises(merkit.MerkitError, match="reads audio, and 'waveform' has no such input for it"):
        recognizer([0.0] * 16_000, rate_hz=16_000)
    with pytest.raises(merkit.MerkitError, match="sound"):
        merkit.load(run.checkpoint())([0.0] * 16_000, rate_hz=16_000)


def test_a_model_that_reads_nothing_predicts_all_the_same(home: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.toml", recipe_values("majority"))
    recognizer = merkit.load(merkit.train(recipe, home / "data", tmp_path / "run").checkpoint())

    (prediction,) = recognizer.predict([{"text": "hello"}])

    assert prediction.modalities == ()
    assert recognizer([0.0] * 16_000, rate_hz=16_000).segments[0].prediction.label == prediction.label


def test_a_finished_run_is_opened_again_from_its_folder(run: merkit.Run, home: Path) -> None:
    again = merkit.Run(str(home / "run"))

    assert again.scores == run.scores
    assert again.checkpoint() == run.checkpoint()
    assert "test scores" in again._repr_html_()
    assert repr(again) == f"Run('{home / 'run'}')"


def test_what_a_run_does_not_hold_is_refused(run: merkit.Run, home: Path) -> None:
    with pytest.raises(merkit.MerkitError, match="no fold number 3, it has 1"):
        run.checkpoint(fold=3)
    with pytest.raises(merkit.MerkitError, match=r"No history.jsonl of fold 0 and seed 7 in .* is missing"):
        run.history(seed=7)
    with pytest.raises(merkit.MerkitError, match="no predictions of a split 'dev', it stored"):
        run.predictions("dev")
    with pytest.raises(merkit.MerkitError, match=r"no recipe.toml found, so this is not a run"):
        merkit.Run(home / "data").scores  # noqa: B018 (it is computed)


def test_scores_of_a_run_that_lost_a_cell_are_refused_not_remembered(home: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.toml", recipe_values("majority"))
    run = merkit.train(recipe, home / "data", tmp_path / "run", features=str(tmp_path / "features"))

    assert run.scores["support"] == 30
    (run.checkpoint().parent / "cell.json").unlink()
    with pytest.raises(merkit.MerkitError, match=r"finish it with: merkit train .*recipe.toml --data"):
        run.scores  # noqa: B018 (it is computed)


def test_recipes_go_by_name(tmp_path: Path) -> None:
    with pytest.raises(merkit.MerkitError, match=r"No recipe named 'concat/parly'. Did you mean 'concat/parley'"):
        merkit.train("concat/parly", tmp_path, tmp_path)
    with pytest.raises(merkit.MerkitError, match=r"training\.epochs"):
        merkit.train("concat/parley", tmp_path, tmp_path, {"training.epochs": "many"})
    with pytest.raises(merkit.MerkitError, match="overrides is of type list"):
        merkit.train("concat/parley", tmp_path, tmp_path, ["training.epochs=3"])  # type: ignore[arg-type]


def test_a_table_is_prepared_checked_and_reported(run: merkit.Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text("id,text,label\na,hello,calm\nb,hello,cross\n")

    manifest = merkit.prepare("table", raw=str(tmp_path / "my.csv"), out=str(tmp_path / "mine"))
    findings = merkit.doctor(tmp_path / "mine")
    files = merkit.report(str(run.folder), out=tmp_path / "report", data=str(home / "data"))

    assert [utterance.id for utterance in manifest.utterances] == ["a", "b"]
    assert all(isinstance(finding, merkit.Finding) for finding in findings)
    assert files.html.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corpus": "meld"}, r"prepare meld: give the folder of the raw release with --raw DIR \(raw=… in Python\)"),
        ({"corpus": "melt"}, "No corpus named 'melt'. Did you mean 'meld'"),
        ({"corpus": "parley", "options": {"turn": 3}}, "prepare parley: .*'turn'. Did you mean 'turns'"),
    ],
)
def test_what_cannot_be_prepared_is_refused(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(merkit.MerkitError, match=message):
        merkit.prepare(out=tmp_path, **arguments)  # type: ignore[arg-type]


def test_every_public_name_is_there_and_told_to_type_checkers() -> None:
    stub = (Path(merkit.__file__).parent / "__init__.pyi").read_text()

    for name in merkit.__all__:
        assert getattr(merkit, name) is not None
        assert f"{name} as {name}" in stub or name == "__version__"
    assert set(merkit.__all__) <= set(dir(merkit))
    assert stub.count(" as ") == len(merkit.__all__) - 1
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        merkit.lode  # noqa: B018 (it raises)


def test_importing_merkit_imports_nothing_heavy_and_warns_of_nothing() -> None:
    program = "import sys, merkit; print(sorted({'torch', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_values_of_overrides_are_numpys_or_paths_too_and_others_are_refused(tmp_path: Path) -> None:
    values = {"training.epochs": np.int64(3), "encoders.text.weights": Path("network"), "seeds": np.float32(1)}

    assert _assignments(values) == ["training.epochs=3", 'encoders.text.weights="network"', "seeds=1.0"]
    with pytest.raises(merkit.MerkitError, match="overrides: a value is of type object, expected one that TOML has"):
        merkit.train("concat/parley", tmp_path, overrides={"seeds": object()})
