"""Which lines of merkit run: each statement notes its line first, and coverage reports on the notes.

In Python 3.11 coverage itself can only watch every line of every library, which makes the suite half as slow again.
"""

import ast
import builtins
import sys
from collections.abc import Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from unittest.mock import patch

from coverage import CoverageData

NOTES = "__executed_lines__"
"""A module's global: a byte for each line, 1 if it ran."""


class ExecutedLines(MetaPathFinder):
    """Notes which lines of a package run once it is the first of ``sys.meta_path``."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._notes: dict[str, bytearray] = {}
        """By path of the source."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((spec for finder in others if (spec := finder.find_spec(fullname, path, target))), None)
        if spec is not None and isinstance(loader := spec.loader, SourceFileLoader):
            loader.path_stats = _no_cache  # type: ignore[method-assign]
            loader.exec_module = partial(self._execute, loader)  # type: ignore[method-assign]
        return spec

    def write(self, file: Path) -> None:
        """Add all that ran to coverage's ``file``, with those files of the package that nothing imported."""
        if not self._notes:  # as in the process that hands tests out to others
            return
        data = CoverageData(str(file))
        data.add_lines({path: [line for line, ran in enumerate(notes) if ran] for path, notes in self._notes.items()})
        folder = Path(str(sys.modules[self.package].__file__)).parent
        data.touch_files([str(path) for path in folder.rglob("*.py")])
        data.write()

    def _execute(self, loader: SourceFileLoader, module: ModuleType) -> None:
        with patch("builtins.compile", partial(_compile_noting, builtins.compile, loader.path)):
            code = loader.get_code(module.__name__)
        assert isinstance(code, CodeType)
        lines = loader.get_data(loader.path).count(b"\n") + 2
        vars(module)[NOTES] = self._notes.setdefault(loader.path, bytearray(lines))
        exec(code, vars(module))


def _no_cache(path: str) -> dict[str, Any]:
    raise OSError(f"{path}: what notes its lines is neither read from a cache nor written to one")


def _compile_noting(real: Any, path: str, source: Any, filename: str, mode: str, flags: int = 0, **options: Any) -> Any:
    """Compile ``path`` with notes; the import hook that checks types takes the tree from here and compiles it again."""
    if filename != path or isinstance(source, ast.AST):
        return real(source, filename, mode, flags, **options)
    tree = real(source, filename, mode, ast.PyCF_ONLY_AST, **options)
    _note(tree)
    return tree if flags & ast.PyCF_ONLY_AST else real(tree, filename, mode, flags, **options)


def _note(node: ast.AST) -> None:
    """Put a note in front of each statement below ``node``; a branch's own line, as ``except``, is noted within it."""
    for child in ast.iter_child_nodes(node):
        _note(child)
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(node, name, None)
        if not isinstance(statements, list) or not statements:  # a lambda's body is an expression
            continue
        noted: list[ast.stmt] = []
        if isinstance(node, ast.ExceptHandler | ast.match_case):
            own = node.pattern if isinstance(node, ast.match_case) else node
            noted.append(_noting(own.lineno, statements[0]))
        late: list[ast.stmt] = []
        for place, statement in enumerate(statements):
            if not (place == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                parts = [*getattr(statement, "decorator_list", []), statement]
                late += [_noting(part.lineno, statement) for part in parts]
            if not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):  # nothing before those
                noted += late
                late = []
            noted.append(statement)
        setattr(node, name, noted)


def _noting(line: int, at: ast.stmt) -> ast.stmt:
    note = ast.parse(f"{NOTES}[{line}] = 1").body[0]
    for part in ast.walk(note):
        ast.copy_location(part, at)
    return note
