"""A reader of pickles that cannot run code: it reads containers, strings, numbers and arrays, and refuses the rest.

A pickle is a program. This is a machine for the part of it that writes data: it calls nothing but the builders of
`_pickled_names`, and time and memory are bounded by the file's size, whatever the file says about sizes, nesting and
what is to be hashed. Python's own machine reserves any memory that it is asked for, and hashes what takes for ever.
"""

import codecs
import re
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from merkit.core.errors import MerkitError, UnsafeFileError
from merkit.data.files import open_file
from merkit.formats._pickled_names import KNOWN, Budget, Element, Name, Unfilled, check_key, filled, shown

_MALFORMED = (EOFError, ArithmeticError, LookupError, MemoryError, TypeError, ValueError)
"""Errors that the machine and the builders raise on malformed bytes."""

_PROTOCOL = 5
_INTEGER_BYTES = 16
"""Longest integer: no feature needs more."""
_DEPTH = 50
"""Deepest nesting of containers."""
_MEMO = 100
"""Bytes that a place in the memo takes."""
_UNFOLDED = 20_000_000
"""How many more items than bytes a file may have, where an item counts each time that it is referred to."""
_FLOATS = re.compile(rb"(?:G.{8})+", re.DOTALL)
_FLOAT = np.dtype([("code", "u1"), ("value", ">f8")])
_PLAIN = frozenset({str, int, float, bool, bytes, type(None), complex, bytearray})
_CONTAINERS = (list, tuple, dict, set, frozenset)


def read_pickle_safely(path: Path) -> Any:
    """Read a pickle made of containers, strings, numbers and NumPy arrays.

    Strings that Python 2 wrote are read as Latin-1, as the literature's feature files need. Subclasses of ``dict`` are
    returned as ``dict``. Keys are strings, numbers, or tuples of few of them.

    Raises:
        UnsafeFileError: The file asks for anything else; names it, and nothing was called.
        MerkitError: The file is missing, truncated or no pickle.
    """
    with open_file(path) as file:
        data = file.read()
    try:
        result = _Machine(data).run()
        _check_size(result, _UNFOLDED + 8 * len(data))
        return result
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f"{path}: {error}, expected only containers, strings, numbers and arrays; nothing of it was run."
            " Ask its authors for an npz or CSV file"
        ) from None
    except _MALFORMED as error:
        raise MerkitError(
            f"{path}: no pickle of arrays, or truncated ({type(error).__name__}: {str(error)[:120]})"
        ) from error


class _Machine:
    """Reads opcodes one after the other; ``pickletools`` of the standard library describes each of them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._budget = Budget(len(data))
        self._steps: Mapping[int, Callable[[], object]] = self._opcodes()

    def run(self) -> Any:
        """Return what the pickle stands for."""
        steps, data = self._steps, self._data
        while True:
            code = data[self._at]
            self._at += 1
            if code == _STOP:
                break
            if code not in steps:
                raise ValueError(f"opcode {bytes([code])!r}, which no file of features has")
            steps[code]()
        if self._at < len(data):
            raise UnsafeFileError("has bytes after its end")
        if len(self._stack) != 1:
            raise ValueError(f"{len(self._stack)} values at the end, expected 1")
        return self._stack[0]

    def _opcodes(self) -> dict[int, Callable[[], object]]:
        push, pop = self._push, self._pop
        steps: dict[bytes, Callable[[], object]] = {
            b"\x80": self._protocol,
            b"\x95": lambda: self._skip(8),  # a frame: its length is not needed
            b"(": lambda: self._marks.append(len(self._stack)),
            b"0": self._drop,
            b"1": self._items,
            b"2": lambda: push(self._stack[-1]),
            b"N": lambda: push(None),
            b"\x88": lambda: push(True),
            b"\x89": lambda: push(False),
            b"I": lambda: push(_integer_line(self._line())),
            b"L": lambda: push(_integer_line(self._line().rstrip(b"L"))),
            b"F": lambda: push(float(self._line())),
            b"S": lambda: push(_quoted(self._line())),
            b"V": lambda: push(self._line().decode("raw-unicode-escape")),
            b"J": lambda: push(self._number("<i")),
            b"K": lambda: push(self._number("<B")),
            b"M": lambda: push(self._number("<H")),
            b"G": self._floats,
            b"\x8a": lambda: push(_integer(self._sized("<B"))),
            b"\x8b": lambda: push(_integer(self._sized("<I"))),
            b"T": lambda: push(self._sized("<I").decode("latin1")),
            b"U": lambda: push(self._sized("<B").decode("latin1")),
            b"X": lambda: push(self._sized("<I").decode()),
            b"\x8c": lambda: push(self._sized("<B").decode()),
            b"\x8d": lambda: push(self._sized("<Q").decode()),
            b"B": lambda: push(self._sized("<I")),
            b"C": lambda: push(self._sized("<B")),
            b"\x8e": lambda: push(self._sized("<Q")),
            b"\x96": lambda: push(bytearray(self._sized("<Q"))),
            b")": lambda: push(()),
            b"]": lambda: self._make([]),
            b"}": lambda: self._make({}),
            b"\x8f": lambda: self._make(set()),
            b"\x85": lambda: self._make((pop(),)),
            b"\x86": lambda: self._make((pop(), pop())[::-1]),
            b"\x87": lambda: self._make((pop(), pop(), pop())[::-1]),
            b"t": lambda: self._make(tuple(self._items())),
            b"l": lambda: self._make(self._items()),
            b"d": lambda: self._make(_put_pairs({}, self._items())),
            b"\x91": lambda: self._make(frozenset(_keys(self._items()))),
            b"a": lambda: self._append([pop()]),
            b"e": lambda: self._append(self._items()),
            b"s": lambda: self._set_items([pop(), pop()][::-1]),
            b"u": lambda: self._set_items(self._items()),
            b"\x90": self._add_items,
            b"c": lambda: push(_known(self._line().decode(), self._line().decode())),
            b"i": lambda: self._instance(_known(self._line().decode(), self._line().decode())),
            b"\x93": lambda: push(_known(*(pop(), pop())[::-1])),
            b"R": self._reduce,
            b"b": self._build,
            b"g": lambda: push(self._memo[_integer_line(self._line())]),
            b"h": lambda: push(self._memo[self._number("<B")]),
            b"j": lambda: push(self._memo[self._number("<I")]),
            b"p": lambda: self._put(_integer_line(self._line())),
            b"q": lambda: self._put(self._number("<B")),
            b"r": lambda: self._put(self._number("<I")),
            b"\x94": lambda: self._put(len(self._memo)),
        }
        return {code[0]: step for code, step in steps.items()}

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise ValueError("a mark where a value should be")
        return self._stack.pop()

    def _drop(self) -> None:
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._stack.pop()

    def _make(self, container: Any) -> None:
        self._budget.spend(sys.getsizeof(container))  # an empty set of one byte takes 216
        self._stack.append(container)

    def _items(self) -> list[Any]:
        """Return what lies above the last mark."""
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _take(self, count: int) -> bytes:
        start = self._at
        self._skip(count)
        return self._data[start : self._at]

    def _skip(self, count: int) -> None:
        if count > len(self._data) - self._at:
            raise EOFError(f"{count} bytes expected, {len(self._data) - self._at} found")
        self._at += count

    def _line(self) -> bytes:
        end = self._data.index(b"\n", self._at)
        line = self._data[self._at : end]
        self._at = end + 1
        return line

    def _number(self, layout: str) -> int:
        (number,) = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return int(number)

    def _sized(self, layout: str) -> bytes:
        return self._take(self._number(layout))

    def _floats(self) -> None:
        """Push a floating-point number, and all that follow it at once: vectors are often lists of them."""
        run = _FLOATS.match(self._data, self._at - 1)
        if run is None:
            raise EOFError("a number is cut")
        self._at = run.end()
        self._stack += np.frombuffer(run.group(), dtype=_FLOAT)["value"].tolist()

    def _protocol(self) -> None:
        if self._number("<B") > _PROTOCOL:
            raise ValueError(f"protocol above {_PROTOCOL}")

    def _append(self, items: list[Any]) -> None:
        target = self._target(list)
        target += items

    def _set_items(self, items: list[Any]) -> None:
        _put_pairs(self._target(dict), items)

    def _add_items(self) -> None:
        items = self._items()
        self._target(set).update(_keys(items))

    def _target(self, kind: type[Any]) -> Any:
        target = self._stack[-1]
        if type(target) is not kind:
            raise UnsafeFileError(f"asks to put things into a '{type(target).__name__}'")
        return target

    def _instance(self, name: Name) -> None:
        raise UnsafeFileError(f"asks for an instance of '{name.name}'")

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not (isinstance(name, Name) and isinstance(arguments, tuple)):
            raise UnsafeFileError(f"asks to call a '{type(name).__name__}'")
        self._stack.append(name.call(self._budget, arguments))

    def _build(self) -> None:
        state, target = self._pop(), self._stack[-1]
        if isinstance(target, Element):
            target.set_state(state)
        elif isinstance(target, Unfilled):
            self._stack[-1] = array = filled(self._budget, state)
            self._memo.update(dict.fromkeys(target.places, array))
        else:
            named = target.name if isinstance(target, Name) else type(target).__name__
            raise UnsafeFileError(f"asks to change '{named}'")

    def _put(self, place: int) -> None:
        self._budget.spend(_MEMO)
        self._memo[place] = top = self._stack[-1]
        if isinstance(top, Unfilled):
            top.places.append(place)


_STOP = ord(".")


def _known(module: Any, name: Any) -> Name:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise UnsafeFileError(f"asks for a name made of {shown(module)} and {shown(name)}")
    known = KNOWN.get((module, name))
    if known is None:
        raise UnsafeFileError(f"asks for {shown(f'{module}.{name}')}")
    return known


def _keys(items: list[Any]) -> list[Any]:
    for item in items:
        check_key(item)
    return items


def _put_pairs(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Put keys and values, which follow each other, into a dictionary."""
    target.update(zip(_keys(items[::2]), items[1::2], strict=True))
    return target


def _integer(content: bytes) -> int:
    if len(content) > _INTEGER_BYTES:
        raise UnsafeFileError(f"has an integer of {len(content)} bytes")
    return int.from_bytes(content, "little", signed=True)


def _integer_line(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    if len(line) > 3 * _INTEGER_BYTES:
        raise UnsafeFileError(f"has an integer of {len(line)} digits")
    return int(line)


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] not in (b'"', b"'") or line[-1:] != line[:1]:
        raise ValueError("a string without quotes")
    return bytes(codecs.escape_decode(line[1:-1])[0]).decode("latin1")


def _check_size(root: Any, most: int) -> None:
    """Refuse what is nested deeply, holds itself, has things in it that are no data, or is much larger than it looks.

    An item that is referred to twice counts twice, as a loop over the result visits it twice: 375 bytes can stand for
    more lists than any loop can visit.
    """
    sizes: dict[int, int] = {}
    path: list[tuple[Any, list[Any], list[Any]]] = []  # values that hold others, these, and those not visited yet

    def enter(value: Any) -> None:
        if id(value) in sizes:
            return
        if len(path) == _DEPTH:  # what holds itself ends here as well
            raise UnsafeFileError("is nested too deeply")
        nested = _nested(value)
        path.append((value, nested, nested.copy()))

    enter(root)
    while path:
        value, nested, waiting = path[-1]
        if waiting:
            enter(waiting.pop())
            continue
        path.pop()
        length = value.size if isinstance(value, np.ndarray) else len(value) if isinstance(value, _CONTAINERS) else 0
        sizes[id(value)] = size = 1 + length + sum(sizes[id(each)] for each in nested)
        if size > most:
            raise UnsafeFileError("stands for more items than its size explains")


def _nested(value: Any) -> list[Any]:
    """Return those of a value's items that hold others, or are no data."""
    if isinstance(value, dict):
        items = [*value, *value.values()]
    elif isinstance(value, _CONTAINERS):
        items = list(value)
    elif isinstance(value, np.ndarray):
        items = value.ravel().tolist() if value.dtype.hasobject else []
    elif isinstance(value, np.generic) or type(value) in _PLAIN:
        items = []
    else:
        named = value.name if isinstance(value, Name) else type(value).__name__
        raise UnsafeFileError(f"holds a bare '{named}'")
    if set(map(type, items)) <= _PLAIN:
        return []
    return [item for item in items if type(item) not in _PLAIN and not isinstance(item, np.generic)]
