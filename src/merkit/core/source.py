"""Hashes of Python source by its meaning (comments, docstrings and layout do not count), and of all that it imports.

Followed are imports of merkit's modules and, from files outside merkit, of modules beside them or of their package.
"""

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
"""The folder of merkit's modules."""


@cache
def source_hash(content: bytes) -> str:
    """Return the SHA-256 of the syntax tree in a file, the same for all versions of Python; of the bytes of no Python.

    >>> source_hash(b"x = 1  # one") == source_hash(b"x = (1)") != source_hash(b"x = 2")
    True
    """
    with suppress(SyntaxError, ValueError):
        content = json.dumps(_shape(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()


def code_hashes(files: Mapping[Path, bytes], follows: Callable[[str], bool] = lambda module: False) -> dict[str, str]:
    """Return the ``source_hash`` of each file and of every file that it imports, by its path below its root.

    Files of one name in several folders share an entry.

    Args:
        files: Python files with the content that was imported; what they import is read once in a process.
        follows: Whether an import of the module of merkit with this name is followed.
    """
    sources, waiting = dict(files), list(files.items())
    while waiting:
        new = {file: read(file) for file in _imported(*waiting.pop(), follows) if file not in sources}
        sources |= new
        waiting += new.items()
    hashes: dict[str, set[str]] = defaultdict(set)
    for file, content in sources.items():
        hashes[file.relative_to(_root(file)).as_posix()].add(source_hash(content))
    return {name: " ".join(sorted(hashes[name])) for name in sorted(hashes)}


def changed_files(stored: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Return the names of files that two results of ``code_hashes`` do not share."""
    return sorted(name for name in stored.keys() | present.keys() if stored.get(name) != present.get(name))


@cache
def read(file: Path) -> bytes:
    """Return a file's content when this process first asked for it: it goes on with the code that it has loaded."""
    return file.read_bytes()


def _imports(content: bytes) -> list[tuple[int, str]]:
    """Return leading dots and names of all modules that are imported, and of what is imported from them."""
    imports: list[tuple[int, str]] = []
    with suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Import):
                imports += [(0, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = f"{node.module}." if node.module else ""
                imports += [(node.level, module + alias.name) for alias in node.names]
    return imports


@cache
def _imported(file: Path, content: bytes, follows: Callable[[str], bool]) -> list[Path]:
    root, inside = _root(file), file.is_relative_to(PACKAGE)
    own = file.relative_to(root).with_suffix("").parts
    files = [] if inside else _modules(root, own[:-1])
    for level, name in _imports(content):
        parts = name.split(".")
        if parts[0] == PACKAGE.name and not level:
            for end in range(2, len(parts) + 1):
                module = PACKAGE.joinpath(*parts[1:end]).with_suffix(".py")
                if follows(".".join(parts[:end])) and module.is_file():
                    files.append(module)
        elif level and not inside:
            files += _modules(file.parents[level - 1], parts)
        elif not inside and (parts[0] == own[0] or root.name not in ("site-packages", "dist-packages")):
            files += _modules(root, parts)
    return files


def _modules(folder: Path, parts: Sequence[str]) -> list[Path]:
    """Return the files below a folder that the import of a dotted name runs."""
    paths = [folder.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    files = (file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py"))
    return [file for file in files if file.is_file()]


def _root(file: Path) -> Path:
    """Return the folder from which a file is imported: that of its outermost package, or its own."""
    return next(folder for folder in file.parents if not (folder / "__init__.py").exists())


def _shape(node: Any) -> Any:
    """Return a syntax tree as JSON values without docstrings and positions."""
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
