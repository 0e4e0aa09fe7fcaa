"""Plug-ins: models, encoders, corpora and the like, found by name and imported only when asked for.

A plug-in is a Python file that exports one ``SPEC``. It is a file of merkit (``merkit/models/concat.py`` is
``concat``), a module of an installed package that declares it as an entry point of the group ``merkit.models``
(``merkit.encoders``, …), or a file of the user, which is named by its path: ``./gmu.py``.
"""

import difflib
import hashlib
import importlib
import importlib.abc
import importlib.util
import os
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, ClassVar

from merkit.core.errors import PluginError, UnknownNameError
from merkit.core.source import PACKAGE, code_hashes, read

KINDS = {
    "models": "model",
    "encoders": "encoder",
    "corpora": "corpus",
    "protocols": "protocol",
    "aligners": "aligner",
    "views": "view engine",
}
"""Package below ``merkit`` to the word for one of its members."""

PLUGINS = "MERKIT_PLUGINS"
"""Environment variable: files of the user that are known by their names as well, separated as in ``PATH``."""

_IMPORTING = RLock()


@dataclass(frozen=True)
class Origin:
    """Where a plug-in was found."""

    kind: str
    """A key of ``KINDS``."""
    name: str
    module: str
    file: Path
    content: bytes = field(repr=False)
    """Of the file when it was imported."""
    code: Mapping[str, str]
    """Hash of the file, and of every other file outside merkit that it imports, by name; empty for a file of merkit."""
    distribution: str | None = None
    """The installed package; ``None``: a file of merkit or of the user."""
    version: str | None = None
    """Of the installed package."""

    @property
    def built_in(self) -> bool:
        """Whether merkit brings the plug-in along."""
        return self.module.startswith("merkit.")

    @property
    def reference(self) -> str:
        """What a recipe says to get this plug-in from any folder: its name, or the absolute path of the user's file."""
        return self.name if self.built_in or self.distribution is not None else str(self.file)

    def __str__(self) -> str:
        if self.built_in:
            return "merkit"
        return str(self.file) if self.distribution is None else f"{self.distribution} {self.version}"


@dataclass(frozen=True, kw_only=True)
class PlugInSpec:
    """What the file of every plug-in exports as ``SPEC``, whatever its kind."""

    kind: ClassVar[str]
    """A key of ``KINDS``."""
    name: str
    """The file's name; a protocol has hyphens where the file has underscores."""
    summary: str
    """One line for ``merkit list``."""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """Set by ``load``."""

    @property
    def reference(self) -> str:
        """What a recipe says to get this plug-in."""
        return self.name if self.origin is None else self.origin.reference


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind (``models``, ``encoders``, …), sorted.

    Raises:
        PluginError: A file in ``MERKIT_PLUGINS`` is no plug-in.
    """
    return sorted(_offers(kind))


def load(kind: str, reference: str) -> Any:
    """Import one plug-in and return its ``SPEC``.

    Args:
        kind: A key of ``KINDS``.
        reference: A name, or the path of a file that ends in ``.py``.

    Raises:
        UnknownNameError: Nothing has the name; the message suggests the nearest one.
        PluginError: The file is missing, cannot be imported or is no plug-in of this kind, or two have the same name.
    """
    if reference.endswith(".py"):
        return _load_file(Path(reference), kind)
    known = _offers(kind)
    offers = known.get(reference, {})
    if not offers:
        raise UnknownNameError(unknown(KINDS[kind], reference, sorted(known)))
    if len(offers) > 1:
        raise PluginError(f"Two {kind} are named '{reference}', from {' and '.join(offers)}: rename or remove one")
    return next(iter(offers.values()))()


@cache
def load_built_in(kind: str, name: str) -> Any:
    """Import one plug-in that merkit provides and return its ``SPEC``; nothing outside merkit is looked at.

    Raises:
        UnknownNameError: merkit has none of this name.
    """
    if name not in _built_in(kind):
        raise UnknownNameError(unknown(KINDS[kind], name, sorted(_built_in(kind))))
    module = importlib.import_module(f"merkit.{kind}.{name.replace('-', '_')}")
    return _checked(module, kind, name, f"merkit.{kind}")


def name_of(kind: str, reference: str) -> str:
    """Return the name that a reference stands for, without importing anything.

    >>> name_of("models", "/home/me/gmu.py")
    'gmu'
    """
    return _name(kind, Path(reference).stem) if reference.endswith(".py") else reference


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that does not exist.

    >>> unknown("model", "cmaht", ["ada2i", "cmath"])
    "No model named 'cmaht'. Did you mean 'cmath'? Known: ada2i, cmath"
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"No {kind} named '{name}'.{hint} Known: {', '.join(known)}"


def _name(kind: str, stem: str) -> str:
    return stem.replace("_", "-") if kind == "protocols" else stem


@cache
def _built_in(kind: str) -> frozenset[str]:
    modules = (module for module in pkgutil.iter_modules([str(PACKAGE / kind)]) if not module.ispkg)
    return frozenset(_name(kind, module.name) for module in modules if not module.name.startswith("_"))


@cache
def _installed(kind: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(dict.fromkeys(entry_points(group=f"merkit.{kind}")))


def _offers(kind: str) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return by name and source what loads a plug-in."""
    offers: dict[str, dict[str, Callable[[], Any]]] = defaultdict(dict)
    for name in _built_in(kind):
        offers[name]["merkit"] = partial(load_built_in, kind, name)
    for entry in _installed(kind, tuple(sys.path)):
        offers[entry.name][f"the package '{_distribution(entry)[0]}'"] = partial(_load_entry, kind, entry)
    for path in filter(None, os.environ.get(PLUGINS, "").split(os.pathsep)):
        spec = _load_file(Path(path))
        if spec.kind == kind:
            offers[spec.name][str(spec.origin.file)] = partial(_load_file, spec.origin.file, kind)
    return offers


def _load_entry(kind: str, entry: EntryPoint) -> Any:
    distribution, version = _distribution(entry)
    source = f"{distribution} {version}, entry point {entry.name} = {entry.value}"
    try:
        module = importlib.import_module(entry.module)
    except Exception as error:
        raise PluginError(_broken(source, error)) from error
    return _checked(module, kind, entry.name, source, distribution, version)


def _load_file(path: Path, kind: str | None = None) -> Any:
    """Import a file of the user; one whose content has changed is imported anew."""
    path = path.resolve()
    try:
        source = path.read_bytes()
    except OSError as error:
        word = "plug-in" if kind is None else KINDS[kind]
        raise PluginError(f"No {word} '{path}' ({error.strerror}): give the path of its file.") from None
    name = f"merkit_file_{path.stem}_{hashlib.sha256(str(path).encode() + source).hexdigest()[:16]}"
    with _IMPORTING:
        module = sys.modules.get(name)
        if module is None:
            loader = _SourceLoader(path, source)
            found = importlib.util.spec_from_loader(name, loader)
            assert found is not None
            module = sys.modules[name] = importlib.util.module_from_spec(found)
            try:
                loader.exec_module(module)
            except Exception as error:
                del sys.modules[name]
                raise PluginError(_broken(str(path), error)) from error
    return _checked(module, kind, None, str(path), content=source)


class _SourceLoader(importlib.abc.SourceLoader):
    """Runs the source that was read: no compiled file is written, nor an older one used."""

    def __init__(self, path: Path, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: Any) -> bytes:
        return self._source


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return ("unknown", "unknown") if entry.dist is None else (entry.dist.name, entry.dist.version)


def _broken(source: str, error: Exception) -> str:
    return f"{source}: cannot be imported: {type(error).__name__}: {error}"


def _checked(
    module: ModuleType,
    kind: str | None,
    name: str | None,
    source: str,
    distribution: str | None = None,
    version: str | None = None,
    content: bytes | None = None,
) -> Any:
    """Return the ``SPEC`` of a module with its origin."""
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, PlugInSpec):
        wanted = "a plug-in" if kind is None else KINDS[kind]
        raise PluginError(f"{source}: no SPEC found, expected one of {wanted}, such as SPEC = ModelSpec(name=…)")
    if kind is not None and spec.kind != kind:
        raise PluginError(f"{source}: SPEC is of kind {KINDS[spec.kind]}, expected {KINDS[kind]}")
    file = Path(module.__file__ or "")
    expected = _name(spec.kind, file.stem) if name is None else name
    if spec.name != expected:
        raise PluginError(f"{source}: SPEC.name is '{spec.name}', expected '{expected}': rename one of them")
    taken = {*_built_in(spec.kind), *(entry.name for entry in _installed(spec.kind, tuple(sys.path)))}
    if name is None and spec.name in taken:
        raise PluginError(f"{source}: '{spec.name}' is the name of another {KINDS[spec.kind]} already: rename the file")
    content = read(file) if content is None else content
    code = {} if file.is_relative_to(PACKAGE) else code_hashes({file: content})
    origin = Origin(spec.kind, spec.name, module.__name__, file, content, code, distribution, version)
    return replace(spec, origin=origin)
