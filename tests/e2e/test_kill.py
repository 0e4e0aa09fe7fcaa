"""Work survives: killed at any moment, the same command goes on and ends with the same figures and bytes."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from tests.tiny import recipe_values, write_corpus, write_recipe

KILLED = """
import os, signal, sys
left = int(sys.argv.pop(1))
from merkit.data import files
real = files.atomic_path
from contextlib import contextmanager

@contextmanager
def counted(path):
    global left
    with real(path) as temporary:
        yield temporary
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

files.atomic_path = counted
from merkit.cli.main import run
run()
"""
"""The command line, killed at the n-th moment that can hurt: just before or just after a file takes its place."""


def command(*arguments: str, killed_at: int = 0) -> int:
    code = ["-c", KILLED, str(killed_at)] if killed_at else ["-m", "merkit"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *code, "-q", *arguments], env=environment, capture_output=True).returncode


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    write_corpus(folder / "data", conversations=10)
    write_recipe(folder / "r.toml", {**recipe_values("bc_lstm", epochs=3), "seeds": 2})
    assert command("train", str(folder / "r.toml"), "--data", str(folder / "data"), "--out", str(folder / "calm")) == 0
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


def test_prediction_killed_again_and_again_ends_with_the_same_file(data: Path) -> None:
    checkpoint = next((data / "calm").glob("fold-*/seed-0/checkpoint"))
    arguments = ("predict", str(data / "data"), "--checkpoint", str(checkpoint), "--out")
    assert command(*arguments, str(data / "calm.parquet")) == 0

    for moment in (1, 2, 3):  # before the key, after it, before the first part
        assert command(*arguments, str(data / "stormy.parquet"), killed_at=moment) == -signal.SIGKILL
    assert command(*arguments, str(data / "stormy.parquet")) == 0

    assert (data / "stormy.parquet").read_bytes() == (data / "calm.parquet").read_bytes()
    assert not (data / "stormy.parquet.parts").exists()
