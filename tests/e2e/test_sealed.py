from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from tests.tiny import LABELS, recipe_values, write_corpus

from merkit.api.training import train_and_score
from merkit.core.errors import MerkitError
from merkit.data.corpus.manifest import write_manifest
from merkit.experiments import run as experiments_run
from merkit.experiments.cell import Cell
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.experiments.run_cell import run_cell


def distilled() -> dict[str, Any]:
    teacher = {"recipe": recipe_values("bc_lstm", epochs=1), "cross_fit": 2}
    return {**recipe_values("concat"), "teacher": teacher}


@pytest.mark.parametrize(
    "values",
    [recipe_values("concat"), recipe_values("bc_lstm"), recipe_values("bag_of_words"), distilled()],
    ids=["concat", "bc_lstm", "bag_of_words", "distilled"],
)
def test_shuffled_test_labels_change_the_score_and_nothing_else(tmp_path: Path, values: dict[str, Any]) -> None:
    manifest = write_corpus(tmp_path / "a", conversations=15)
    write_corpus(tmp_path / "b", conversations=15)
    turned = {name: LABELS[(number + 1) % 3] for number, name in enumerate(LABELS)}
    spoiled = [
        replace(u, attributes={**u.attributes, "label": turned[str(u.attributes["label"])]})
        if u.attributes["split"] == "test"
        else u
        for u in manifest.utterances
    ]
    write_manifest(tmp_path / "b", spoiled, name="tiny", version=1)
    recipe = check_recipe(values, "r.toml")

    scores = [train_and_score(recipe, tmp_path / name, tmp_path / f"run-{name}") for name in "ab"]

    cells = [next((tmp_path / f"run-{name}").glob("fold-*/seed-0")) for name in "ab"]
    weights = [load_file(cell / "checkpoint" / "model.safetensors") for cell in cells]
    assert weights[0].keys() == weights[1].keys()
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    tables = [pq.read_table(cell / "predictions.parquet") for cell in cells]
    assert tables[0].equals(tables[1])
    assert scores[0]["valid"] == scores[1]["valid"]
    assert scores[0]["test"]["accuracy"]["mean"] > scores[1]["test"]["accuracy"]["mean"]


@pytest.mark.parametrize("values", [recipe_values("bag_of_words"), distilled()], ids=["bag_of_words", "distilled"])
def test_code_that_trains_cannot_ask_for_a_test_label(
    tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_corpus(tmp_path / "a", conversations=15)
    asked = []

    def peeking(cell: Cell, *arguments: Any, **options: Any) -> None:
        for utterance in manifest.utterances:
            known = cell.manifest.by_id[utterance.id]
            if utterance.attributes["split"] == "test":
                with pytest.raises(MerkitError, match="has no label"):
                    cell.protocol.label(known)
                asked.append(utterance.id)
            else:
                assert cell.protocol.label(known) == utterance.attributes["label"]
        run_cell(cell, *arguments, **options)

    monkeypatch.setattr(experiments_run, "run_cell", peeking)
    train_recipe(check_recipe(values, "r.toml"), tmp_path / "a", tmp_path / "run")

    assert len(set(asked)) == 15
    assert (tmp_path / "run" / "fold-split" / "seed-0" / "cell.json").exists()


def test_stored_predictions_hold_no_true_label(tmp_path: Path) -> None:
    write_corpus(tmp_path / "a", conversations=10)

    train_recipe(check_recipe(recipe_values("concat"), "r.toml"), tmp_path / "a", tmp_path / "run")

    table = pq.read_table(next((tmp_path / "run").glob("fold-*/seed-0")) / "predictions.parquet")
    assert table.column_names == ["id", "split", "label", "confidence", "modalities", *(f"p:{name}" for name in LABELS)]


def test_the_leaky_figure_is_computed_beside_the_clean_one_and_changes_nothing_of_it(tmp_path: Path) -> None:
    write_corpus(tmp_path / "a", conversations=15)
    recipe = check_recipe(recipe_values("concat", epochs=6), "r.toml")

    clean = train_and_score(recipe, tmp_path / "a", tmp_path / "clean")
    both = train_and_score(recipe, tmp_path / "a", tmp_path / "both", legacy_best_on_test=True)

    assert clean["legacy_best_on_test"] is None
    assert both["test"] == clean["test"]
    assert both["legacy_best_on_test"]["mean_recall"]["mean"] >= clean["test"]["mean_recall"]["mean"]
    assert "leaky" in both["legacy_best_on_test"]["note"]
