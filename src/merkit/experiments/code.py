"""Hashes of the source files that make a cell's result, so that results of other code are not mistaken for today's.

Counted are the modules of the plug-ins that a cell uses, the cell runner, and every merkit module that they import,
directly or not. Comments, docstrings and layout do not count. A process reads each file once.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
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
    loaded = {spec.origin.file: spec.origin.content for spec in plug_ins if spec.origin}
    waiting = [_PACKAGE / "experiments" / "run_cell.py", *loaded]
    sources: dict[Path, bytes] = {}
    while waiting:
        file = waiting.pop()
        if file not in sources:
            sources[file] = loaded[file] if file in loaded else _read(file)
            waiting += _imported(file, sources[file])
    return dict(sorted((file.relative_to(_root(file)).as_posix(), source_hash(sources[file])) for file in sources))


def check_code(folder: Path, stored: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a cell whose settings and data are today's and whose code is not.

    Raises:
        MerkitError: Names the files that differ.
    """
    differing = sorted(name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name))
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        features = ""
        if any(name.startswith("merkit/encoders/") for name in differing):
            features = " Stored features are used again unless an encoder's version is raised or their folder removed."
        raise MerkitError(
            f"'{folder}' was made by other code, from the same settings and data: {', '.join(differing[:5])}{more} "
            "changed since. Repeat the command with --again to train it anew, give another folder with --out, or "
            f"restore the files.{features}"
        )


_read = cache(Path.read_bytes)  # once: the process goes on with the code that it has loaded


@cache
def _imported(file: Path, content: bytes) -> Sequence[Path]:
    """Return the files of merkit's modules, and of modules beside a plug-in's file, that a file imports."""
    imports: list[str] = []  # names of modules, and of what is imported from them
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    files = []
    for name in imports:
        ours = name.startswith("merkit.")
        if name in _WITHOUT_EFFECT or (file.is_relative_to(_PACKAGE) and not ours):
            continue
        level = len(name) - len(name.lstrip("."))
        base = _PACKAGE.parent if ours else file.parents[level - 1] if level else _root(file)
        path = base.joinpath(*name.lstrip(".").split(".")).with_suffix(".py")
        if path.is_file():  # a module, neither a package nor a name in a module
            files.append(path)
    return files


def _root(file: Path) -> Path:
    """Return the folder from which a file is imported: that of its outermost package, or its own."""
    return next(folder for folder in file.parents if not (folder / "__init__.py").exists())
