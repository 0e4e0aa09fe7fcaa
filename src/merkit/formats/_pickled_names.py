"""The names that a pickle of features may look up, and what stands for each: builders of this module, never a callable.

Arrays are rebuilt from their bytes with plain element types, because NumPy's own reconstruction trusts what a pickle
says about memory: a forged element type could turn bytes into pointers, and a size that no byte stands for could fill
the memory. The memory of all that a builder makes is bounded by the size of the file.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from merkit.core.arrays import Array
from merkit.core.errors import UnsafeFileError

_ELEMENTS = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][0-9]+|O8?")
"""Element types without structure: booleans, numbers, strings, objects."""
_ROWS = 1_000_000
"""Longest axis of an array without elements: it takes no memory, but time to iterate over."""
_KEY = 4096
"""Longest string that may be a key: long ones that are equal take long to compare."""
_TUPLE_KEY = 4
"""Most parts of a tuple that may be a key."""


class Budget:
    """How many bytes of memory a file may still take besides its numbers and strings: 64 MB and 16 times its size."""

    def __init__(self, size: int) -> None:
        self._left = (1 << 26) + 16 * size

    def spend(self, count: int) -> None:
        """Take bytes from the budget.

        Raises:
            UnsafeFileError: It is used up.
        """
        self._left -= count
        if self._left < 0:
            raise UnsafeFileError("takes more memory than its size explains")


class Name:
    """What stands for a name: it can be called if it has a builder, which gets the budget first."""

    def __init__(self, name: str, build: Callable[..., Any] | None) -> None:
        self.name = name
        self._build = build

    def call(self, budget: Budget, arguments: tuple[Any, ...]) -> Any:
        """Return what the builder makes of the arguments.

        Raises:
            UnsafeFileError: There is no builder, or it refuses the arguments.
        """
        if self._build is None:
            raise UnsafeFileError(f"asks to call '{self.name}'")
        return self._build(budget, *arguments)


class Element:
    """Replaces ``numpy.dtype``; has plain element types and byte orders only."""

    def __init__(self, _: Budget, code: Any, *__: Any) -> None:
        if not (isinstance(code, str) and _ELEMENTS.fullmatch(code)):
            raise UnsafeFileError(f"asks for arrays of element type {shown(code)}")
        self.dtype = np.dtype(code)

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take the byte order from the state of a dtype."""
        order, *structure = state[1:5]
        if any(structure) or order not in ("<", ">", "=", "|"):
            raise UnsafeFileError("asks for arrays of structured elements")
        self.dtype = self.dtype.newbyteorder(order)


class Unfilled:
    """Stands for an array until its state is read."""

    def __init__(self) -> None:
        self.places: list[int] = []
        """Where the memo has it."""


def filled(budget: Budget, state: tuple[Any, ...]) -> Array:
    """Return the array of a state as ``ndarray`` writes it."""
    shape, element, fortran, content = state[-4:]
    return _array(budget, content, element, shape, "F" if fortran else "C")


def check_key(key: Any, inside: bool = False) -> None:
    """Refuse a key that could take for ever to hash or to compare: deep ones, long ones, and those made to collide.

    Raises:
        UnsafeFileError: It is not a string, a number of at most 61 bits, or a short tuple of strings and small numbers.
    """
    if isinstance(key, (str, bytes)):
        fits = len(key) <= _KEY
    elif isinstance(key, (bool, float, np.bool_, np.floating)) or key is None:
        fits = not inside
    elif isinstance(key, (int, np.integer)):
        fits = abs(int(key)) < (2**31 if inside else 2**61 - 1)
    else:
        fits = type(key) is tuple and not inside and len(key) <= _TUPLE_KEY
        if fits:
            for part in key:
                check_key(part, inside=True)
    if not fits:
        raise UnsafeFileError(f"has a key that is no name or number ({type(key).__name__})")


def shown(value: Any) -> str:
    """Return a value for a message: a short string or number itself, the type of all else, which may be endless."""
    return repr(value)[:80] if isinstance(value, (str, int)) else f"a {type(value).__name__}"


def _reconstruct(_: Budget, kind: Any, *__: Any) -> Unfilled:
    """Replace ``numpy._core.multiarray._reconstruct``."""
    if kind is not _NDARRAY:
        raise UnsafeFileError("asks for a subclass of array")
    return Unfilled()


def _array(budget: Budget, content: Any, element: Any, shape: Any, order: Any) -> Array:
    """Replace ``numpy._core.numeric._frombuffer``."""
    if not isinstance(element, Element) or order not in ("C", "F"):
        raise UnsafeFileError("asks for an array of no known element type or order")
    if element.dtype.hasobject:
        if not isinstance(content, list):
            raise UnsafeFileError("asks for objects made of bytes")
        budget.spend(8 * len(content))
        flat = np.empty(len(content), dtype=object)
        for index, item in enumerate(content):
            flat[index] = item
    else:
        flat = np.frombuffer(_as_bytes(budget, content), dtype=element.dtype).copy()
    axes = shape if isinstance(shape, tuple) else (shape,)
    if not all(type(axis) is int and 0 <= axis <= max(flat.size, _ROWS) for axis in axes):
        raise UnsafeFileError(f"asks for an array of shape {', '.join(map(shown, axes[:4]))}")
    return flat.reshape(axes, order=order)


def _scalar(budget: Budget, element: Any, content: Any) -> Any:
    """Replace ``numpy._core.multiarray.scalar``."""
    if not isinstance(element, Element) or element.dtype.hasobject:
        raise UnsafeFileError("asks for an object where a number should be")
    return np.frombuffer(_as_bytes(budget, content), dtype=element.dtype)[0]


def _encode(budget: Budget, text: Any, encoding: Any = "latin1") -> bytes:
    """Replace ``_codecs.encode``, which old pickle protocols write bytes with."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafeFileError(f"asks for the codec {shown(encoding)}")
    return _as_bytes(budget, text)


def _bytearray(budget: Budget, content: Any = b"", encoding: Any = "latin1") -> bytearray:
    """Replace ``bytearray``."""
    return bytearray(_encode(budget, content, encoding) if isinstance(content, str) else _as_bytes(budget, content))


def _complex(_: Budget, real: Any, imaginary: Any) -> complex:
    """Replace ``complex``."""
    if not (isinstance(real, float) and isinstance(imaginary, float)):
        raise UnsafeFileError("asks for a complex number of no two numbers")
    return complex(real, imaginary)


def _set(kind: type[Any]) -> Callable[..., Any]:
    """Return what replaces ``set`` or ``frozenset``."""

    def build(budget: Budget, items: Any = ()) -> Any:
        if not isinstance(items, (list, tuple)):
            raise UnsafeFileError(f"asks for a set of a '{type(items).__name__}'")
        budget.spend(64 * len(items))
        for item in items:
            check_key(item)
        return kind(items)

    return build


def _ordered(budget: Budget, pairs: Any = ()) -> dict[Any, Any]:
    """Replace ``collections.OrderedDict``: a plain dictionary."""
    if not (isinstance(pairs, (list, tuple)) and all(isinstance(pair, (list, tuple)) for pair in pairs)):
        raise UnsafeFileError("asks for a dictionary of no pairs")
    budget.spend(64 * len(pairs))
    for key, _ in pairs:
        check_key(key)
    return dict(pairs)


def _default(_: Budget, __: Any = None) -> dict[Any, Any]:
    """Replace ``collections.defaultdict``: a plain dictionary."""
    return {}


def _as_bytes(budget: Budget, content: Any = b"") -> bytes:
    """Replace ``bytes``, which old protocols call without arguments."""
    if not isinstance(content, (str, bytes, bytearray)):
        raise UnsafeFileError(f"asks for bytes made of a '{type(content).__name__}'")
    budget.spend(len(content))
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


_BUILTINS: Mapping[str, Callable[..., Any] | None] = {
    "set": _set(set),
    "frozenset": _set(frozenset),
    "bytes": _as_bytes,
    "bytearray": _bytearray,
    "complex": _complex,
    **dict.fromkeys(("list", "dict", "tuple", "str", "int", "float", "bool")),
}


def _names() -> Mapping[tuple[str, str], Name]:
    builders: dict[str, Callable[..., Any] | None] = {
        **{
            f"numpy.{core}.{name}": builder
            for core in ("core", "_core")
            for name, builder in (
                ("multiarray._reconstruct", _reconstruct),
                ("multiarray.scalar", _scalar),
                ("numeric._frombuffer", _array),
            )
        },
        "numpy.ndarray": None,
        "numpy.dtype": Element,
        "_codecs.encode": _encode,
        "collections.OrderedDict": _ordered,
        "collections.defaultdict": _default,
        **{
            f"{module}.{name}": builder for module in ("builtins", "__builtin__") for name, builder in _BUILTINS.items()
        },
    }
    split = {(*name.rsplit(".", 1),): Name(name, builder) for name, builder in builders.items()}
    return {(module, name): known for (module, name), known in split.items()}


KNOWN = _names()
"""Every name that a pickle may look up; those without a builder are what dictionaries fill themselves with."""

_NDARRAY = KNOWN["numpy", "ndarray"]
