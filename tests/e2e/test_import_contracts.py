"""The import contracts fail where they should: each rule is broken in a copy of the source."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400
LARGEST = 0.16
"""Share of the source that one package below ``merkit`` may have."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(folder: Path) -> set[str]:
    """Run the import linter on a copy, and return the names of the contracts that it says are broken."""
    command = (
        "import sys; from importlinter.cli import lint_imports_command; sys.path[0] = 'src'; lint_imports_command()"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    broken = set(re.findall(r"^(.+) BROKEN", done.stdout, re.MULTILINE))
    assert (done.returncode != 0) is bool(broken)
    return broken


def test_the_source_keeps_all_contracts(copy: Path) -> None:
    assert broken_contracts(copy) == set()


LAYERS = "Imports point only down"


@pytest.mark.parametrize(
    ("file", "line", "contracts"),
    [
        (
            "experiments/run.py",
            "from merkit.evaluation.true_labels import true_labels",
            {LAYERS, "Nothing that trains can reach the labels of the test split"},
        ),
        (
            "models/concat.py",
            "from merkit.protocols.meld7 import SPEC as meld7",
            {LAYERS, "A paper knows no corpus, protocol, loop or metric"},
        ),
        (
            "models/concat.py",
            "from merkit.metrics.classification import METRICS",
            {"A paper knows no corpus, protocol, loop or metric"},
        ),
        ("models/concat.py", "from merkit.models.cmath import Cmath", {"A paper knows no other paper"}),
        ("core/batch.py", "from merkit.data.files import atomic_path", {LAYERS}),
        ("extras/__init__.py", "", {LAYERS}),
    ],
    ids=["experiments-evaluation", "model-protocol", "model-metric", "model-model", "core-data", "new-package"],
)
def test_a_broken_rule_breaks_its_contract(copy: Path, file: str, line: str, contracts: set[str]) -> None:
    path = copy / "src" / "merkit" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{line}\n{path.read_text() if path.exists() else ''}")

    assert broken_contracts(copy) == contracts


def test_no_file_and_no_package_grows_too_large() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "src" / "merkit").rglob("*.py")}
    packages: dict[str, int] = {}
    for path, length in lengths.items():
        name = path.relative_to(ROOT / "src" / "merkit").parts[0]
        packages[name] = packages.get(name, 0) + length

    assert not {str(path): length for path, length in lengths.items() if length > LONGEST}
    assert max(packages.values()) <= LARGEST * sum(packages.values()), packages
