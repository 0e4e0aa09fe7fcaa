"""The notes of what ran are those that coverage's own tracer makes, whatever else changes the source on import."""

import importlib
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest
from jaxtyping import install_import_hook
from tests.executed_lines import ExecutedLines

SOURCE = '''
"""Every kind of statement, half of them run."""

from __future__ import annotations

import functools
from typing import NamedTuple


class Pair(NamedTuple):
    """Two numbers."""

    a: int
    b: int = 2
    """The second."""

    @property
    @functools.lru_cache(
        maxsize=1,
    )
    def both(
        self,
    ) -> int:
        """Add."""
        return (
            self.a
            + self.b
        )

    def never(self) -> int:
        return 0


def branches(n: int) -> str:
    if n == 0:
        return "zero"
    elif n == 1:
        found = "one"
    else:
        found = "many"
    for _ in range(n):
        pass
    else:
        found += "."
    while n:
        n -= 1
        if n == 100:
            break
    try:
        1 / n
    except ValueError:
        raise
    except (
        ZeroDivisionError
    ):
        found += "!"
    else:
        found = ""
    finally:
        found += "?"
    with open(__file__) as file: found += file.name[:0]
    match found:
        case "one.!?" if len(found) > 1:
            return found
        case _:
            return "other"


double = lambda n: (
    2 * n
)
assert double(2) == 4
answer = [branches(1), *(
    str(n)
    for n in range(2)
)]
total = Pair(1).both
assert (answer[0], total) == ("one.!?", 3)
if total > 100:
    del total


def inner():
    global total
    def nested():
        yield 1
        yield 2
    total = next(nested())
    async def later(): await total

inner()
'''.lstrip()


@pytest.fixture(params=["as it is", "beside a hook that changes it"])
def package(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "noted"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "kinds.py").write_text(SOURCE)
    (folder / "unused.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    hook = install_import_hook(["noted"], "beartype.beartype") if "hook" in request.param else None
    yield "noted"
    for name in ("noted", "noted.kinds"):
        sys.modules.pop(name, None)
    if hook is not None:
        hook.uninstall()


def missing(file: Path, path: Path) -> list[int]:
    measured = coverage.Coverage(data_file=str(file), config_file=False)
    measured.load()
    _, statements, _, missing, _ = measured.analysis2(str(path))
    assert statements
    return list(missing)


def test_the_notes_are_what_coverage_finds(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / package / "kinds.py"
    py_compile.compile(str(source))
    cached = {path: path.read_bytes() for path in tmp_path.rglob("*.pyc")}
    executed = ExecutedLines(package)

    monkeypatch.setattr(sys, "meta_path", [executed, *sys.meta_path])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    importlib.import_module(f"{package}.kinds")
    executed.write(tmp_path / "ours")

    tracer = coverage.Coverage(data_file=str(tmp_path / "theirs"), config_file=False, include=[str(source)])
    tracer.start()
    exec(compile(SOURCE, str(source), "exec"), {"__name__": "kinds", "__file__": str(source)})
    tracer.stop()
    tracer.save()
    lines = SOURCE.splitlines()
    handler = lines.index("    except ValueError:") + 1  # asked and passed over: noted where it is entered alone
    assert cached
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.pyc")} == cached
    assert missing(tmp_path / "ours", source) == sorted([*missing(tmp_path / "theirs", source), handler])
    assert missing(tmp_path / "ours", tmp_path / package / "unused.py") == [1]
