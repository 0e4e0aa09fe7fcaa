"""A strict reader of CTranslate2's ``model.bin``, version 6.

Little endian: u32 version; string specification; u32 its revision; u32 count of variables; then per variable string
name, u8 rank, u32 per axis, u8 type, u32 bytes, data; then u32 count of aliases, each two strings (alias, variable).
A string is u16 length and as many bytes, of which the last is zero. Source: ``ctranslate2/specs/model_spec.py`` of
OpenNMT/CTranslate2, 4.8.
"""

import math
import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.data.files import open_file

_VERSION = 6
_TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2")
"""By the number that a file has for them."""
_MOST_AXES = 8
_MOST_VARIABLES = 1_000_000
_LEAST_BYTES = {"variables": 11, "aliases": 8}
"""Of an entry: a name of one letter and of one element, or two names of one letter each."""


@dataclass(frozen=True)
class CTranslate2Model:
    """What a ``model.bin`` holds; the arrays are read-only views of the file."""

    specification: str
    revision: int
    variables: Mapping[str, Array]
    aliases: Mapping[str, str]


def read_ctranslate2(pieces: Sequence[Path]) -> CTranslate2Model:
    """Read a model, whole or in pieces that are joined in this order.

    One file is mapped into memory and read where an array is used; pieces are copied into memory.

    Raises:
        MerkitError: A file is missing, or the model is truncated, damaged, of another version, or none at all.
    """
    source = " + ".join(str(piece) for piece in pieces)
    content = _mapped(pieces[0]) if len(pieces) == 1 else np.concatenate([_mapped(piece) for piece in pieces])
    try:
        return _parse(_Reader(content))
    except ValueError as error:
        raise MerkitError(
            f"{source}: no CTranslate2 model of version {_VERSION}: {error}. Get the file again"
        ) from error


def _mapped(path: Path) -> npt.NDArray[np.uint8]:
    with open_file(path) as file:
        if file.seek(0, 2) == 0:  # what cannot be mapped
            return np.zeros(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


class _Reader:
    """A place in the bytes of a file; every step is checked against the end."""

    def __init__(self, content: npt.NDArray[np.uint8]) -> None:
        self._content = content
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._place

    def take(self, size: int, what: str) -> npt.NDArray[np.uint8]:
        if size > self.left:
            raise ValueError(f"it ends within {what}: {self.left:,} bytes left, {size:,} expected")
        self._place += size
        return self._content[self._place - size : self._place]

    def number(self, kind: str, what: str) -> int:
        (value,) = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}"), what).tobytes())
        return int(value)

    def string(self, what: str) -> str:
        text = self.take(self.number("H", what), what).tobytes()
        name = text.removesuffix(b"\0")
        if not name or name == text or b"\0" in name:
            raise ValueError(f"{what} is {text[:40]!r}, expected a text that ends with a zero")
        return name.decode()  # an error of this is a ValueError as well

    def count(self, what: str) -> int:
        value = self.number("I", f"the count of {what}")
        if value > _MOST_VARIABLES or value * _LEAST_BYTES[what] > self.left:
            raise ValueError(f"{self.left:,} bytes cannot hold {value:,} {what}")
        return value


def _parse(reader: _Reader) -> CTranslate2Model:
    version = reader.number("I", "its version")
    if version != _VERSION:
        raise ValueError(f"its version is {version}")
    specification = reader.string("the name of the specification")
    revision = reader.number("I", "the revision of the specification")
    variables: dict[str, Array] = {}
    for number in range(reader.count("variables")):
        name, values = _variable(reader, f"variable {number}")
        if name in variables:
            raise ValueError(f"the variable {name[:80]!r} occurs twice")
        variables[name] = values
    aliases: dict[str, str] = {}
    for number in range(reader.count("aliases")):
        alias, name = reader.string(f"alias {number}"), reader.string(f"alias {number}")
        if alias in variables or alias in aliases or name not in variables:
            raise ValueError(f"the alias {alias[:80]!r} of {name[:80]!r} occurs twice or stands for no variable")
        aliases[alias] = name
    if reader.left:
        raise ValueError(f"{reader.left:,} bytes follow its end")
    return CTranslate2Model(specification, revision, variables, aliases)


def _variable(reader: _Reader, which: str) -> tuple[str, Array]:
    name = reader.string(f"the name of {which}")
    what = f"{which}, {name[:80]!r}"
    rank = reader.number("B", what)
    if rank > _MOST_AXES:
        raise ValueError(f"{what} has {rank} axes, expected {_MOST_AXES} at most")
    shape = tuple(reader.number("I", what) for _ in range(rank))
    kind = reader.number("B", what)
    if kind >= len(_TYPES):
        raise ValueError(f"{what} has type {kind}, expected 0 to {len(_TYPES) - 1}")
    size = reader.number("I", what)
    expected = math.prod(shape) * np.dtype(_TYPES[kind]).itemsize
    if size != expected or 0 in shape:
        raise ValueError(f"{what} has {size:,} bytes and shape {shape}, which needs {expected:,} and no empty axis")
    return name, reader.take(size, what).view(_TYPES[kind]).reshape(shape)
