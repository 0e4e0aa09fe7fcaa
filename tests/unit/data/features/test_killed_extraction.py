"""SIGKILL at any moment of an extraction changes nothing in what the same command has made in the end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from merkit.data.features.store import FeatureStore

SCRIPT = Path(__file__).with_name("killed_extraction.py")
TURNS = 200
PLANS = {
    "undisturbed": [("never", 0)],
    "before the first batch": [("batch", 0), ("never", 0)],
    "after some batches": [("batch", 3), ("never", 0)],
    "again and again": [("batch", 7), ("batch", 1), ("batch", 9), ("batch", 0), ("batch", 5), ("never", 0)],
    "before the first index": [("between", 0), ("never", 0)],
    "before a later index": [("between", 3), ("between", 2), ("never", 0)],
    "while data is written": [("half", 2), ("never", 0)],
    "two at once": [("two", 0)],
}
KILLED = -signal.SIGKILL
QUARTER = TURNS // 4  # an exit status is a byte: the script gives a quarter of what it extracted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def statuses(folder: Path) -> dict[str, list[list[int]]]:
    plans = json.dumps({str(folder / name): plan for name, plan in PLANS.items()})
    done = subprocess.run([sys.executable, str(SCRIPT), plans], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return {Path(name).name: found for name, found in json.loads(done.stdout).items()}


def arrays(features: Path) -> dict[str, bytes]:
    store = FeatureStore.open(features, {"encoder": "fake"}, "fake")
    found = {f"u{i}": store.get(f"u{i}", str(i)) for i in range(TURNS)}
    assert all(np.isfinite(array).all() and array.shape[1:] == (4,) for array in found.values())
    return {name: array.tobytes() for name, array in found.items()}


@pytest.mark.parametrize("name", [name for name in PLANS if name not in {"undisturbed", "two at once"}])
def test_killed_and_resumed_extraction_is_bit_equal_to_the_undisturbed_one(
    folder: Path, statuses: dict[str, list[list[int]]], name: str
) -> None:
    *killed, [resumed] = statuses[name]

    assert killed == [[KILLED]] * (len(PLANS[name]) - 1)
    assert 0 < resumed <= QUARTER
    assert statuses["undisturbed"] == [[QUARTER]]
    assert arrays(folder / name) == arrays(folder / "undisturbed")


@pytest.mark.parametrize("name", ["again and again", "before a later index"])
def test_what_was_stored_before_a_kill_is_not_extracted_again(statuses: dict[str, list[list[int]]], name: str) -> None:
    *_, [resumed] = statuses[name]

    assert resumed < QUARTER


@pytest.mark.parametrize("name", list(PLANS))
def test_nothing_half_written_remains(folder: Path, statuses: dict[str, list[list[int]]], name: str) -> None:
    assert name in statuses

    (store,) = (folder / name).iterdir()

    data = {path.stem for path in store.glob("*.safetensors")}
    assert data == {path.stem for path in store.glob("*.parquet")} != set()
    assert not list(store.glob(".tmp-*"))


def test_two_processes_that_fill_one_store_leave_it_whole(folder: Path, statuses: dict[str, list[list[int]]]) -> None:
    assert len(statuses["two at once"][0]) == 2
    assert all(0 <= status <= QUARTER for status in statuses["two at once"][0])

    assert arrays(folder / "two at once") == arrays(folder / "undisturbed")
