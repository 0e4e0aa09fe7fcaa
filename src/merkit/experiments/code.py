"""Hashes of the source files that make a cell's result, so that results of other code are not mistaken for today's.

Counted are the modules of the plug-ins that a cell uses, the cell runner, and every merkit module that they import,
directly or not. Comments, docstrings and layout do not count, as it is the syntax tree that is hashed.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import merkit
from merkit.core.errors import MerkitError
from merkit.core.lookup import PlugInSpec
from merkit.core.syntax import syntax_hash

_PACKAGE = Path(merkit.__file__).parent
_RUNNER = "merkit.experiments.run_cell"
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
    waiting = [_module_file(_RUNNER), *(None if spec.origin is None else spec.origin.file for spec in plug_ins)]
    files: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file is not None and file not in files:
            files.add(file)
            waiting += _imported(file)
    return dict(sorted((_name(file), _source(file).hash) for file in files))


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


@dataclass(frozen=True)
class _Source:
    hash: str
    imports: tuple[str, ...]
    """Names of all modules that are imported, and of what is imported from them."""


def _source(file: Path) -> _Source:
    return _package_source(file) if file.is_relative_to(_PACKAGE) else _parsed(file.read_bytes())


@cache
def _package_source(file: Path) -> _Source:
    """Read a file of merkit once: the process goes on with the code that it has loaded."""
    return _parsed(file.read_bytes())


@cache
def _parsed(content: bytes) -> _Source:
    tree = ast.parse(content)
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return _Source(syntax_hash(tree), tuple(imports))


def _imported(file: Path) -> Iterator[Path | None]:
    """Yield the files of merkit's modules, and of modules beside a plug-in's file, that a file imports."""
    for name in _source(file).imports:
        yield _module_file(name) if name.startswith("merkit.") else _neighbour(file, name)


def _module_file(name: str) -> Path | None:
    """Return the file of one of merkit's modules; ``None`` for a package, a name in a module, or one without effect."""
    path = _PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
    return path if name not in _WITHOUT_EFFECT and path.is_file() else None


def _neighbour(file: Path, name: str) -> Path | None:
    """Return the file of a module beside a plug-in's, or of its package, by the module's absolute or relative name."""
    if file.is_relative_to(_PACKAGE):
        return None
    level = len(name) - len(name.lstrip("."))
    base = file.parents[level - 1] if level else _root(file)
    path = base.joinpath(*name.lstrip(".").split(".")).with_suffix(".py")
    return path if path.is_file() else None


def _root(file: Path) -> Path:
    """Return the folder from which a file outside merkit is imported: that of its package, or its own."""
    return next(folder for folder in file.parents if not (folder / "__init__.py").exists())


def _name(file: Path) -> str:
    root = _PACKAGE.parent if file.is_relative_to(_PACKAGE) else _root(file)
    return file.relative_to(root).as_posix()
