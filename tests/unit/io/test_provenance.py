"""The commit of a result is that of merkit's own checkout, never that of a repository around an installed copy."""

import subprocess
from pathlib import Path

import pytest

from merkit.io.provenance import commit_of


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a package in ``src/merkit`` and one in an environment's folder."""
    for package in ("src/merkit", "venv/site-packages/merkit"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "merkit"\n')
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_checkout_has_its_commit_and_says_when_source_files_differ(repository: Path) -> None:
    commit, package = git(repository, "rev-parse", "HEAD").strip(), repository / "src" / "merkit"

    (repository / "pyproject.toml").write_text('[project]\nname = "merkit"\n# a comment\n')
    assert commit_of(package) == commit
    (package / "new.py").write_text("")
    assert commit_of(package) == f"{commit}-dirty"


def test_a_copy_inside_another_repository_has_no_commit(repository: Path) -> None:
    assert commit_of(repository / "venv" / "site-packages" / "merkit") is None

    (repository / "pyproject.toml").write_text('[project]\nname = "thesis"\n')
    assert commit_of(repository / "src" / "merkit") is None


def test_a_folder_outside_any_repository_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
