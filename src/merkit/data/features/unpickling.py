"""An unpickler that cannot run code: it reads containers, strings, numbers and arrays, and refuses everything else.

A pickle is a program that can only do harm by looking up a function by name and calling it. Here each name that occurs
in files of numbers is replaced by a builder of this module, and any other name is an error before anything is called.
Arrays are rebuilt from their bytes with plain element types, because NumPy's own reconstruction trusts what a pickle
says about memory: a forged element type could turn bytes into pointers.
"""

import collections
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from merkit.core.encoder import Array
from merkit.core.errors import MerkitError, UnsafeFileError

_ELEMENTS = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][0-9]+|O8?")
"""Element types without structure: booleans, numbers, strings, objects."""

_MALFORMED = (
    pickle.UnpicklingError,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""Errors that the unpickler and the builders below raise on malformed bytes."""


def read_pickle_safely(path: Path) -> Any:
    """Read a pickle made of containers, strings, numbers and NumPy arrays.

    Strings that Python 2 wrote are read as Latin-1, as the literature's feature files need. Subclasses of ``dict`` are
    returned as ``dict``.

    Raises:
        UnsafeFileError: The file asks for anything else; names it, and nothing was called.
        MerkitError: The file is missing, truncated or no pickle.
    """
    try:
        with path.open("rb") as stream:
            return _plain(_Reader(stream, encoding="latin1").load(), {})
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f"{path}: {error}, expected only containers, strings, numbers and arrays; nothing of it was run."
            " Ask its authors for an npz or CSV file"
        ) from None
    except OSError as error:
        raise MerkitError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise MerkitError(f"{path}: nested too deeply to be a file of features") from error
    except _MALFORMED as error:
        raise MerkitError(f"{path}: no pickle of arrays, or truncated ({type(error).__name__}: {error})") from error


class _Builder:
    """A function that a pickle can call but not change."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., Any]) -> None:
        self._build = build

    def __call__(self, *arguments: Any) -> Any:
        return self._build(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UnsafeFileError(f"asks to change '{self._build.__name__}'")


class _Element:
    """Replaces ``numpy.dtype`` while reading; accepts plain element types and byte orders only."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.dtype = np.dtype(bool)
        if not (isinstance(code, str) and _ELEMENTS.fullmatch(code)):
            raise UnsafeFileError(f"asks for arrays of element type {str(code)[:40]!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *structure = state[1:5]
        if any(structure) or order not in ("<", ">", "=", "|"):
            raise UnsafeFileError("asks for arrays of structured elements")
        self.dtype = self.dtype.newbyteorder(order)


class _Rebuilt:
    """Replaces an array until its state is read; ``_plain`` then inserts the array."""

    def __init__(self) -> None:
        self.flat: Array = np.empty(0)
        self.array: Array = self.flat

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, element, fortran, content = state[-4:]
        self.fill(content, element, shape, "F" if fortran else "C")

    def fill(self, content: Any, element: _Element, shape: tuple[int, ...], order: Any) -> None:
        if element.dtype.hasobject:
            if not isinstance(content, list):
                raise UnsafeFileError("asks for objects made of bytes")
            self.flat = np.empty(len(content), dtype=object)
            for index, element_object in enumerate(content):
                self.flat[index] = element_object
        else:
            self.flat = np.frombuffer(_as_bytes(content), dtype=element.dtype).copy()
        self.array = self.flat.reshape(shape, order=order)


def _reconstruct(kind: Any, *_: Any) -> _Rebuilt:
    """Replace ``numpy._core.multiarray._reconstruct``."""
    if kind is not _NDARRAY:
        raise UnsafeFileError("asks for a subclass of array")
    return _Rebuilt()


def _from_buffer(content: Any, element: _Element, shape: tuple[int, ...], order: Any) -> _Rebuilt:
    """Replace ``numpy._core.numeric._frombuffer``."""
    rebuilt = _Rebuilt()
    rebuilt.fill(content, element, shape, order)
    return rebuilt


def _scalar(element: _Element, content: Any) -> Any:
    """Replace ``numpy._core.multiarray.scalar``."""
    if element.dtype.hasobject:
        raise UnsafeFileError("asks for an object where a number should be")
    return np.frombuffer(_as_bytes(content), dtype=element.dtype)[0]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Replace ``_codecs.encode``, which old pickle protocols write bytes with."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafeFileError(f"asks for the codec {str(encoding)[:40]!r}")
    return text.encode("latin1")


def _as_bytes(content: Any) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))


_NDARRAY = "numpy.ndarray"

_KNOWN: Mapping[tuple[str, str], Any] = {
    **{
        (f"numpy.{core}.{module}", name): _Builder(builder)
        for core in ("core", "_core")
        for module, name, builder in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Element,
    ("_codecs", "encode"): _Builder(_encode),
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, list, dict, tuple, str, bytes, bytearray, int, float, complex, bool)
    },
}
"""Every name that a pickle may look up, and its replacement."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise UnsafeFileError(f"asks for '{module}.{name}'") from None


def _plain(thing: Any, seen: dict[int, tuple[Any, Any]]) -> Any:
    """Return a value with arrays instead of their replacements; lists are changed in place, loops followed once."""
    if type(thing) in (str, int, float, bool, bytes, type(None)):
        return thing
    if id(thing) in seen:
        return seen[id(thing)][1]
    if isinstance(thing, list):
        seen[id(thing)] = (thing, thing)
        thing[:] = [_plain(item, seen) for item in thing]
    elif isinstance(thing, dict):
        result: dict[Any, Any] = {}
        seen[id(thing)] = (thing, result)
        result.update((_plain(key, seen), _plain(value, seen)) for key, value in thing.items())
    elif isinstance(thing, (tuple, set, frozenset)):
        seen[id(thing)] = (thing, type(thing)(_plain(item, seen) for item in thing))
    elif isinstance(thing, _Rebuilt):
        seen[id(thing)] = (thing, thing.array)
        if thing.flat.dtype.hasobject:
            for index, item in enumerate(thing.flat):
                thing.flat[index] = _plain(item, seen)
    elif isinstance(thing, (complex, bytearray, np.generic)):
        return thing
    else:
        raise UnsafeFileError(f"holds a bare '{getattr(thing, '__name__', type(thing).__name__)}'")
    return seen[id(thing)][1]
