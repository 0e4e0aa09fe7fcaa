"""Hashes of the source files that make a cell's result, so that results of other code are not mistaken for today's.

Counted are the modules of the plug-ins that a cell uses, the cell runner, and every merkit module that they import,
directly or not. Comments, docstrings and layout do not count.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import merkit
from merkit.core.errors import MerkitError
from merkit.core.lookup import PlugInSpec
from merkit.core.source import source_hash

_PACKAGE = Path(merkit.__file__).parent
_WITHOUT_EFFECT = frozenset(
    f"merkit.{name}"
    for name in (
        "core.errors",
        "core.lookup",
        "core.progress",
        "experiments.code",
        "experiments.lock",
        "experiments.mistakes",
        "experiments.provenance",
        "experiments.resume",
        "io.card",
        "io.provenance",
    )
)
"""Modules that describe or find results and do not compute them."""


def code_hashes(plug_ins: Iterable[PlugInSpec]) -> dict[str, str]:
    """Return a hash of each source file that takes part in training and prediction, by its name.

    Args:
        plug_ins: Each ``SPEC`` that is used.
    """
    waiting = [_PACKAGE / "experiments" / "run_cell.py", *(spec.origin.file for spec in plug_ins if spec.origin)]
    files: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            waiting += _imported(file)
    return dict(sorted((file.relative_to(_root(file)).as_posix(), source_hash(_read(file))) for file in files))


def check_code(folder: Path, stored: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a cell whose settings and data are today's and whose code is not.

    Raises:
        MerkitError: Names the files that differ.
    """
    differing = sorted(name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name))
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise MerkitError(
            f"'{folder}' was made by other code, from the same settings and data: {', '.join(differing[:5])}{more} "
            "changed since. Repeat the command with --again to train it anew, give another folder with --out, or "
            "restore the files."
        )


def _read(file: Path) -> bytes:
    """Return a file's content; a file of merkit is read once: the process goes on with the code that it has loaded."""
    return _read_once(file) if file.is_relative_to(_PACKAGE) else file.read_bytes()


_read_once = cache(Path.read_bytes)


@cache
def _imports(content: bytes) -> list[str]:
    """Return the names of all modules that are imported, and of what is imported from them."""
    imports: list[str] = []
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return imports


def _imported(file: Path) -> Iterator[Path]:
    """Yield the files of merkit's modules, and of modules beside a plug-in's file, that a file imports."""
    for name in _imports(_read(file)):
        ours = name.startswith("merkit.")
        if name in _WITHOUT_EFFECT or (file.is_relative_to(_PACKAGE) and not ours):
            continue
        level = len(name) - len(name.lstrip("."))
        base = _PACKAGE.parent if ours else file.parents[level - 1] if level else _root(file)
        path = base.joinpath(*name.lstrip(".").split(".")).with_suffix(".py")
        if path.is_file():  # a module, neither a package nor a name in a module
            yield path


def _root(file: Path) -> Path:
    """Return the folder from which a file is imported: that of its outermost package, or its own."""
    return next(folder for folder in file.parents if not (folder / "__init__.py").exists())
