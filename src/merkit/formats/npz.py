"""A safe reader of npz files: memory is reserved only after the file is known to hold the data that it claims."""

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError, UnsafeFileError, first_line
from merkit.data.expansion import most_bytes
from merkit.data.files import open_file

_ROWS = 1_000_000
"""Longest axis of an array without elements: it takes no memory, but time to iterate over."""
_ENCRYPTED = 1
_MALFORMED = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    EOFError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of the libraries that read headers of archives and arrays."""


def read_npz(path: Path) -> dict[str, Array]:
    """Read all arrays of an npz file.

    Raises:
        UnsafeFileError: An array has objects, which only a pickle could load.
        MerkitError: The file is missing, truncated, encrypted or no npz, has a name twice, or claims more than it
            holds.
    """
    with open_file(path) as stream:
        start = stream.read(6)
        if start == b"\x93NUMPY":
            raise MerkitError(f"{path}: holds one array, expected an npz with names")
        if start.startswith(b"\x80"):
            raise _unsafe(path)
        try:
            size = stream.seek(0, 2)
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
                _check_members(members, size)
                return {member.filename.removesuffix(".npy"): _read(archive, member) for member in members}
        except UnsafeFileError:
            raise _unsafe(path) from None
        except _MALFORMED as error:
            reason = first_line(error)[:200]
            raise MerkitError(f"{path}: cannot be read as npz: {reason}. Get the file again") from error


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    for member in members:
        name = member.filename
        if not name.endswith(".npy"):
            raise ValueError(f"{name[:80]!r} in it is no array")
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{name[:80]!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:80]!r} is packed by method {member.compress_type}, expected 0 or 8")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("a name occurs twice in it")
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_bytes(size):
        raise ValueError(f"{size:,} bytes unpack to {unpacked:,}, which no file of features does")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    name = member.filename[:80]
    with archive.open(member) as stream:
        shape, fortran, kind = _header(stream)
        if kind.hasobject:
            raise UnsafeFileError(name)
        if kind.itemsize == 0 or (0 in shape and max(shape) > _ROWS):
            raise ValueError(f"{name!r} has elements of {kind.itemsize} bytes and shape {shape}")
        expected = math.prod(shape) * kind.itemsize
        content = bytearray(stream.read())  # to the end: there the checksum is compared
        if len(content) != expected:
            raise ValueError(f"{name!r} has {len(content):,} bytes, shape {shape} of {kind} needs {expected:,}")
    return np.frombuffer(content, dtype=kind).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> "tuple[tuple[int, ...], bool, np.dtype[np.generic]]":
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"an array has format {version}, expected 1.0 or 2.0")


def _unsafe(path: Path) -> UnsafeFileError:
    return UnsafeFileError(f"{path}: holds pickled objects, expected plain arrays; nothing of it was run")
