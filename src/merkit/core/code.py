"""Hashes of source files and of what they import, which comments, docstrings and layout do not change.

Followed are imports of merkit's modules and, from files outside merkit, of modules beside them or of their package.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


def code_hashes(files: Iterable[Path], counts: Callable[[str], bool]) -> dict[str, str]:
    """Return a hash of each file and of every file that it imports, directly or not, by its path below its root.

    Files of one name in several folders share an entry.

    Args:
        files: Python files.
        counts: Whether the module of merkit with this name is followed.
    """
    waiting, files = list(files), set()
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            waiting += _imported(file, counts)
    hashes: dict[str, set[str]] = {}
    for file in files:
        hashes.setdefault(file.relative_to(_root(file)).as_posix(), set()).add(_source(file).hash)
    return {name: " ".join(sorted(hashes[name])) for name in sorted(hashes)}


def syntax_hash(tree: ast.AST) -> str:
    """Return 16 hexadecimal digits of a syntax tree, the same for all versions of Python."""
    return hashlib.blake2b(json.dumps(_shape(tree)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class _Source:
    hash: str
    imports: tuple[tuple[int, str], ...]
    """The number of leading dots and the name of all that is imported, and of all that is imported from it."""


def _source(file: Path) -> _Source:
    return _package_source(file) if file.is_relative_to(_PACKAGE) else _parsed(file.read_bytes())


@cache
def _package_source(file: Path) -> _Source:
    """Read a file of merkit once: the process goes on with the code that it has loaded."""
    return _parsed(file.read_bytes())


@cache
def _parsed(content: bytes) -> _Source:
    try:
        tree: ast.AST = ast.parse(content)
    except (SyntaxError, ValueError):
        tree = ast.Constant(content)
    imports: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}." if node.module else ""
            imports += [(node.level, module + alias.name) for alias in node.names]
    return _Source(syntax_hash(tree), tuple(imports))


def _imported(file: Path, counts: Callable[[str], bool]) -> Iterator[Path]:
    root, inside = _root(file), file.is_relative_to(_PACKAGE)
    *packages, own = file.relative_to(root).with_suffix("").parts
    if not inside:
        yield from _modules(root, packages)
    for level, name in _source(file).imports:
        parts = name.split(".")
        if parts[0] == "merkit" and not level:
            for end in range(2, len(parts) + 1):
                module = _PACKAGE.joinpath(*parts[1:end]).with_suffix(".py")
                if counts(".".join(parts[:end])) and module.is_file():
                    yield module
        elif level and not inside:
            yield from _modules(file.parents[level - 1], parts)
        elif not inside and (parts[0] in (*packages[:1], own) or root.name not in ("site-packages", "dist-packages")):
            yield from _modules(root, parts)


def _modules(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield the files that an import of a dotted name runs, as far as they are below a folder."""
    for end in range(1, len(parts) + 1):
        path = folder.joinpath(*parts[:end])
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


def _root(file: Path) -> Path:
    """Return the folder from which a file is imported: that of its outermost package, or its own."""
    return next(folder for folder in file.parents if not (folder / "__init__.py").exists())


def _shape(node: Any) -> Any:
    """Return a syntax tree as JSON values without docstrings and positions, the same for all versions of Python."""
    if isinstance(node, list):
        return [_shape(each) for each in node if not _is_docstring(each)]
    if isinstance(node, ast.JoinedStr):  # Python 3.12.1 ends a nested format with an empty string
        node = ast.JoinedStr([each for each in node.values if getattr(each, "value", None) != ""])
    if isinstance(node, ast.AST):
        fields = ((name, _shape(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *((name, value) for name, value in fields if value not in (None, "None", []))]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
