"""Run the unit and contract tests of what has changed since ``main``; the whole suite is `tests/run.py`.

A changed module's tests are those of its own name and those that import it; a changed plug-in's are its contract tests
as well. A module that many tests import is left to the whole suite but for the nearest ones.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = 20
"""Test files, so that an answer takes less than two minutes."""
CONTRACTS = ("models", "encoders", "corpora", "protocols", "aligners")


def main() -> int:
    changed = changed_files()
    files, plug_ins = chosen_tests(changed)
    if len(files) > MOST:
        print(f"{len(files)} test files concern what changed; {len(files) - MOST} are left to make test")
    code = run([str(ROOT / file) for file in files[:MOST]]) if files else 0
    for kind in sorted({kind for kind, _ in plug_ins}):
        chosen = " or ".join(sorted(name for other, name in plug_ins if other == kind))
        code = code or run([str(ROOT / "tests" / "contract" / f"test_{kind}.py"), "-k", chosen])
    if not files and not plug_ins:
        print("nothing has changed that a unit or contract test concerns")
    return code


def run(arguments: list[str]) -> int:
    """Run pytest in a process of its own; that no test was chosen is no failure."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-x", "--durations=3", *arguments]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code


def changed_files() -> list[Path]:
    """Return the files that differ from where this branch left ``main``; on ``main``, from the last commit but one."""
    base = next((base for name in ("main", "origin/main") if (base := _git("merge-base", "HEAD", name))), "HEAD")
    if base == _git("rev-parse", "HEAD") and not _git("status", "--porcelain"):
        base = "HEAD~1"
    untracked = _git("ls-files", "--others", "--exclude-standard")
    named = [*_git("diff", "--name-only", base).splitlines(), *untracked.splitlines()]
    return [Path(name) for name in named if (ROOT / name).exists()]


def chosen_tests(changed: Iterable[Path]) -> tuple[list[Path], set[tuple[str, str]]]:
    """Return the test files, nearest first, and the plug-ins by kind and name, that changed files concern."""
    texts = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8")
        for folder in ("unit", "property", "contract")
        for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))
    }
    nearest: list[Path] = []
    others: list[Path] = []
    plug_ins: set[tuple[str, str]] = set()
    for file in changed:
        if file in texts:
            nearest.append(file)
        elif file.parts[:1] in (("recipes",), ("grids",)):
            nearest += [path for path in texts if path.name in ("test_recipe.py", "test_grid.py")]
        elif file.parts[:2] == ("src", "merkit") and file.suffix == ".py":
            module = ".".join(file.with_suffix("").parts[1:])
            own = Path("tests", "unit", *file.parts[2:-1], f"test_{file.stem.strip('_')}.py")
            nearest += [own] if own in texts else []
            package, name = module.rpartition(".")[::2]
            imports = re.compile(rf"\b{re.escape(module)}\b|from {re.escape(package)} import .*\b{re.escape(name)}\b")
            others += [path for path, text in texts.items() if imports.search(text)]
            if len(file.parts) == 4 and file.parts[2] in CONTRACTS and not name.startswith("_"):
                plug_ins.add((file.parts[2], name.replace("_", "-") if file.parts[2] == "protocols" else name))
    return list(dict.fromkeys([*nearest, *others])), plug_ins


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
