"""The walk-through in docs/contribute/adding-a-paper.md, done to the letter in a temporary copy."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.tiny import recipe_values, write_corpus, write_recipe

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"`([\w/.]+)`:\n\n<!-- run by: .*? -->\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    rubbish = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=rubbish)
    shutil.copy(ROOT / "pyproject.toml", folder)
    blocks = dict(BLOCK.findall((ROOT / "docs" / "contribute" / "adding-a-paper.md").read_text()))
    assert set(blocks) == {"src/merkit/models/gmu.py", "recipes/gmu/parley.toml"}
    for name, content in blocks.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    environment.pop("COVERAGE_FILE", None)
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_contract_tests_cover_the_new_model_without_an_edit(copy: Path) -> None:
    done = run(copy, "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/test_models.py", "-k", "gmu")

    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) > 20


def test_the_new_recipe_is_shipped_and_the_new_model_trains(copy: Path) -> None:
    write_corpus(copy / "data", conversations=10)
    values = recipe_values("gmu", epochs=1)
    assert tomllib.loads((copy / "recipes/gmu/parley.toml").read_text())["model"] == "gmu"
    write_recipe(copy / "r.toml", values)

    listed = run(copy, "merkit", "list", "models")
    trained = run(copy, "merkit", "train", "r.toml", "--data", "data", "--out", "run", "--json")

    assert "gmu" in listed.stdout
    assert trained.returncode == 0, trained.stderr[-3000:]
    assert '"model": "gmu"' in trained.stdout
    assert run(copy, "merkit", "cite", "gmu").stdout.startswith("@inproceedings{arevalo2017gated")
