"""A shard: the arrays of some utterances in one file, and their index in another.

``shard-<number>-<hash>.safetensors`` has the arrays, concatenated along time, as the tensor ``data``.
``shard-<number>-<hash>.parquet`` has their ``id``, ``content``, ``offset``, ``length`` and ``crc32``, and in its
metadata the encoder's hash, the arrays' type and dimensions, and where they begin. The hash in both names is that of
the index file, so that a changed byte of any kind is noticed: in the index by its name, in an array by its CRC-32 (3 GB
a second, where a cryptographic hash takes 0.9), before the arrays by a CRC-32 of the whole header.
"""

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.data.checksums import read_regular, read_stamped, stamped_name
from merkit.data.files import atomic_path, link_or_copy

Kind = tuple[np.dtype[Any], tuple[int, ...]]
"""Type and dimensions ``dim`` that all arrays ``[time, *dim]`` of a store share."""

_NAME = re.compile(r"shard-(\d{8,})-[0-9a-f]+\.(?:parquet|safetensors)")
_OLD = [("id", pa.string()), ("content", pa.string()), ("offset", pa.int64()), ("length", pa.int64())]
_SCHEMA = pa.schema([*_OLD, ("crc32", pa.uint32())])
_FACTS = b"merkit"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Shard:
    """The file of a shard's arrays, and how they lie in it."""

    path: Path
    encoder: str
    """Hash of the fingerprint of the encoder that made the arrays."""
    kind: Kind
    first_byte: int
    """Of the arrays; before it is the header."""
    header_crc32: int

    @property
    def index(self) -> Path:
        """Return the file of its index."""
        return self.path.with_suffix(".parquet")

    @property
    def frame_bytes(self) -> int:
        """Return the size of one frame."""
        dtype, dim = self.kind
        return int(dtype.itemsize * np.prod(dim, dtype=np.int64))

    def read(self, start: int, stop: int, crc32: int) -> Array:
        """Return the frames from ``start`` to before ``stop``, which are one utterance's array.

        Raises:
            MerkitError: They are not what was written.
        """
        dtype, dim = self.kind
        count, offset = (stop - start) * self.frame_bytes, self.first_byte + start * self.frame_bytes
        try:
            array = np.fromfile(self.path, np.uint8, count, offset=offset)
        except OSError as error:
            raise MerkitError(f"'{self.path}' cannot be read ({error}). Repeat the command") from error
        if zlib.crc32(array.data) != crc32 or len(array) != count:
            raise MerkitError(
                f"'{self.path}' was damaged while it was in use. Repeat the command: its features are extracted again"
            )
        return array.view(dtype).reshape(-1, *dim)


@dataclass(frozen=True)
class Rows:
    """The rows of a shard's index."""

    ids: Sequence[str]
    contents: Sequence[str]
    offsets: Sequence[int]
    lengths: Sequence[int]
    crc32s: Sequence[int]


def number_of(path: Path) -> int | None:
    """Return the number in the name of a shard's file; ``None`` for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def write_shard(folder: Path, number: int, encoder: str, items: Sequence[tuple[str, str, Array]]) -> tuple[Shard, Rows]:
    """Write arrays (id, content hash, array) of one kind as a shard; the index last, so that a kill leaves no half."""
    arrays = [np.ascontiguousarray(array) for _, _, array in items]
    kind = (arrays[0].dtype, arrays[0].shape[1:])
    lengths = [len(array) for array in arrays]
    crc32s = [zlib.crc32(array.data) for array in arrays]
    rows = Rows([item[0] for item in items], [item[1] for item in items], _offsets(lengths), lengths, crc32s)
    header = _header(kind, sum(lengths))
    shard = Shard(folder, encoder, kind, len(header), zlib.crc32(header))
    path, index = _named(folder, number, shard, rows)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        for array in arrays:
            file.write(array.data)
    with atomic_path(path.with_suffix(".parquet")) as temporary:
        temporary.write_bytes(index)
    return replace(shard, path=path), rows


def read_index(path: Path) -> tuple[Shard, Rows]:
    """Read and check the index of a shard.

    Raises:
        ValueError: It is not what was written, or no index of a shard.
        OSError: It cannot be read.
    """
    table = _table(read_stamped(path))
    if not table.schema.remove_metadata().equals(_SCHEMA):
        raise ValueError(f"its columns are {', '.join(map(str, table.schema.remove_metadata()))}")
    try:
        facts = json.loads(table.schema.metadata[_FACTS])
        kind = (np.dtype(str(facts["dtype"])), tuple(map(int, facts["dim"])))
        shard = Shard(
            path.with_suffix(".safetensors"),
            str(facts["encoder"]),
            kind,
            int(facts["first_byte"]),
            int(facts["header_crc32"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it does not describe its arrays: {error}") from error
    if kind[0].hasobject or kind[0].itemsize == 0 or min(kind[1], default=1) < 1 or shard.first_byte < 8:
        raise ValueError("it does not describe its arrays")
    return shard, _checked(table)


def is_intact(shard: Shard) -> bool:
    """Return whether every byte of a shard's file is the one that was written; read once in a process.

    Raises:
        OSError: It cannot be read.
        ValueError: The index is not what was written.
    """
    return _is_intact(shard, *_state(shard.path), *_state(shard.index))


def adopt(path: Path, encoder: str) -> None:
    """Give checksums to a shard of an earlier version, as it is now; ``path`` is its index.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be read.
    """
    old = path.with_suffix(".safetensors")
    table = _table(read_regular(path))
    if not set(table.column_names) >= {name for name, _ in _OLD}:
        raise ValueError(f"its columns are {', '.join(table.column_names)}")
    try:
        table = table.select([name for name, _ in _OLD]).cast(pa.schema(_OLD))
        table = table.append_column("crc32", pa.array([0] * len(table), pa.uint32()))
        rows = _checked(table)
        with safe_open(str(old), framework="numpy") as file:
            none = file.get_slice("data")[0:0]
    except (pa.ArrowException, SafetensorError) as error:
        raise ValueError(str(error)) from error
    with old.open("rb") as data:
        size = int.from_bytes(data.read(8), "little")
        data.seek(0)
        header = data.read(8 + size)
        shard = Shard(old, encoder, (none.dtype, none.shape[1:]), 8 + size, zlib.crc32(header))
        if old.stat().st_size != 8 + size + sum(rows.lengths) * shard.frame_bytes:
            raise ValueError("its size is not that of the arrays in its index")
        crc32s = [_crc32(data, length * shard.frame_bytes) for length in rows.lengths]
    number = number_of(path)
    assert number is not None
    new, index = _named(path.parent, number, shard, replace(rows, crc32s=crc32s))
    if not new.exists():
        with atomic_path(new) as temporary:
            link_or_copy(old, temporary)  # a kill before the new index is complete leaves the old shard as it is
    with atomic_path(new.with_suffix(".parquet")) as temporary:
        temporary.write_bytes(index)
    path.unlink(missing_ok=True)
    old.unlink(missing_ok=True)


def _header(kind: Kind, frames: int) -> bytes:
    """Return the header of a safetensors file of one array; the library's own writer would copy the array twice."""
    dtype, dim = kind
    facts = json.loads(save({"data": np.zeros((0, *dim), dtype)})[8:])
    size = frames * dtype.itemsize * np.prod(dim, dtype=np.int64)
    facts["data"] |= {"shape": [frames, *dim], "data_offsets": [0, int(size)]}
    header = json.dumps(facts).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def _offsets(lengths: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(lengths)[:-1].tolist()]


def _named(folder: Path, number: int, shard: Shard, rows: Rows) -> tuple[Path, bytes]:
    """Return the path of a shard's arrays, and the content of its index."""
    facts = {
        "encoder": shard.encoder,
        "dtype": shard.kind[0].str,
        "dim": shard.kind[1],
        "first_byte": shard.first_byte,
        "header_crc32": shard.header_crc32,
    }
    columns = [rows.ids, rows.contents, rows.offsets, rows.lengths, rows.crc32s]
    schema = _SCHEMA.with_metadata({_FACTS: json.dumps(facts)})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(list(map(pa.array, columns, _SCHEMA.types)), schema=schema), sink)
    index = sink.getvalue().to_pybytes()
    return folder / stamped_name(f"shard-{number:08d}", index, ".safetensors"), index


def _table(content: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error


def _checked(table: pa.Table) -> Rows:
    if len(table) == 0 or any(column.null_count for column in table.columns):
        raise ValueError("it has no rows, or empty cells")
    rows = Rows(*(table[name].to_pylist() for name in _SCHEMA.names))
    if len(set(rows.ids)) < len(rows.ids):
        raise ValueError("it names an utterance twice")
    if min(rows.lengths) < 1 or list(rows.offsets) != _offsets(rows.lengths):
        raise ValueError("its offsets are not those of arrays one after the other")
    return rows


def _state(path: Path) -> tuple[int, int, int]:
    now = path.stat()
    return now.st_ino, now.st_size, now.st_mtime_ns


@lru_cache(maxsize=65536)
def _is_intact(shard: Shard, *states: int) -> bool:
    _, rows = read_index(shard.index)
    size = shard.first_byte + sum(rows.lengths) * shard.frame_bytes
    if not shard.path.is_file() or shard.path.stat().st_size != size:
        return False
    with shard.path.open("rb") as file:
        if _crc32(file, shard.first_byte) != shard.header_crc32:
            return False
        return all(
            _crc32(file, length * shard.frame_bytes) == crc32
            for length, crc32 in zip(rows.lengths, rows.crc32s, strict=True)
        )


def _crc32(file: BinaryIO, size: int) -> int:
    crc32 = 0
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        crc32, size = zlib.crc32(block, crc32), size - len(block)
    return crc32
