"""Work survives: killed at any moment, the same command goes on and ends with the same figures and bytes."""

import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from tests.commandline import call
from tests.forked import exit_code
from tests.tiny import recipe_values, write_corpus, write_recipe

from merkit.data import files


def command(*arguments: str, killed_at: int = 0) -> int:
    """Run merkit, killed at the n-th moment that can hurt: just before or just after a file takes its place."""
    left, real = killed_at, files.atomic_path

    def moment() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def counted(path: Path) -> Iterator[Path]:
        with real(path) as temporary:
            yield temporary
            moment()
        moment()

    def run() -> int:
        for module in list(sys.modules.values()):
            if getattr(module, "atomic_path", None) is real:
                module.atomic_path = counted  # type: ignore[attr-defined]
        return call("-q", *arguments).code

    return exit_code(run)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    write_corpus(folder / "data", conversations=10)
    write_recipe(folder / "r.toml", {**recipe_values("bc_lstm", epochs=3), "seeds": 2})
    done = call("-q", "train", folder / "r.toml", "--data", folder / "data", "--out", folder / "calm")
    assert done.code == 0, done.error  # in this process, so that forks have all that is imported
    return folder


def test_training_killed_again_and_again_ends_as_an_undisturbed_one(data: Path) -> None:
    chance = random.Random(0)
    arguments = ("train", str(data / "r.toml"), "--data", str(data / "data"), "--out", str(data / "stormy"))
    kills = 0

    while kills < 3 and command(*arguments, killed_at=chance.randint(1, 12)) == -signal.SIGKILL:
        kills += 1
    assert command(*arguments) == 0

    assert kills >= 2
    for seed in range(2):
        calm, stormy = (next((data / name).glob(f"fold-*/seed-{seed}")) for name in ("calm", "stormy"))
        ours, theirs = (load_file(cell / "checkpoint" / "model.safetensors") for cell in (calm, stormy))
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours)
        tables = [pq.read_table(cell / "predictions.parquet") for cell in (calm, stormy)]
        assert tables[0].equals(tables[1])
        assert not list(stormy.glob("**/.tmp-*"))
        assert not (stormy / "state").exists()


def test_prediction_killed_again_and_again_ends_with_the_same_file(data: Path, tmp_path: Path) -> None:
    checkpoint = next((data / "calm").glob("fold-*/seed-0/checkpoint"))
    arguments = ("predict", str(data / "data"), "--checkpoint", str(checkpoint), "--out")
    stormy = tmp_path / "stormy.parquet"
    assert call("-q", *arguments, data / "calm.parquet").code == 0

    for moment in (1, 2, 3):  # before the key, after it, before the first part
        assert command(*arguments, str(stormy), killed_at=moment) == -signal.SIGKILL
    assert command(*arguments, str(stormy)) == 0

    assert stormy.read_bytes() == (data / "calm.parquet").read_bytes()
    assert not Path(f"{stormy}.parts").exists()
    assert not list(tmp_path.glob(".tmp-*"))
