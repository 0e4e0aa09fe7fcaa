"""The list of training-split transforms: a new one needs its own file and a line in the list, nothing else."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.tiny import recipe_values, write_corpus

from merkit.data.dataset import Dataset
from merkit.experiments import run_cell
from merkit.experiments.cell import Cell
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.experiments.transform import Resources, TrainCell, Transform
from merkit.experiments.transforms import registry


class HalfOfIt(Transform):
    """Keeps every second item."""

    name = "half"
    summary = "Half of the items."
    version: ClassVar[int]
    calls: ClassVar[list[str]]

    @classmethod
    def of(cls, cell: Cell) -> "HalfOfIt":
        return cls()

    def prepare(self, train: TrainCell) -> None:
        self.calls.append("prepare")

    def identity(self) -> Any:
        self.calls.append("identity")
        return self.version

    def describe(self) -> Mapping[str, Any]:
        return {"kept": "every second item"}

    def apply(self, dataset: Dataset, resources: Resources) -> Dataset:
        self.calls.append("apply")
        assert resources.encoders.keys() == dataset.sources.keys()
        return replace(dataset, items=dataset.items[::2])


def test_a_transform_of_the_list_is_prepared_hashed_applied_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_corpus(tmp_path / "data", conversations=10).root
    recipe = check_recipe(recipe_values("single", epochs=1), "r.toml")
    learned: list[int] = []
    real = run_cell.train
    monkeypatch.setattr(run_cell, "train", lambda m, d, *a, **k: (learned.append(len(d)), real(m, d, *a, **k))[1])

    def train(version: int) -> list[str]:
        HalfOfIt.version, HalfOfIt.calls = version, []
        monkeypatch.setattr(registry, "TRANSFORMS", (HalfOfIt,))
        train_recipe(recipe, data, tmp_path / "run")
        return HalfOfIt.calls

    assert train(1) == ["prepare", "identity", "apply"]
    assert train(1) == ["prepare", "identity"]  # the cell is complete
    assert train(2) == ["prepare", "identity", "apply"]  # other data: another cell

    assert learned == [15, 15]  # of the 30 utterances in 6 training conversations
    checkpoint = next((tmp_path / "run").glob("fold-*/seed-0/checkpoint"))
    assert json.loads((checkpoint / "provenance.json").read_text())["transforms"]["half"] == {
        "kept": "every second item"
    }
    assert "* half: kept every second item\n" in (checkpoint / "README.md").read_text()
