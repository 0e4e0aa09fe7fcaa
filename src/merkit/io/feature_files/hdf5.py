"""HDF5 files of features (``.h5``, ``.csd``) with h5py, the extra ``hdf5``; links that leave the file are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError, UnsafeFileError, first_line
from merkit.data.expansion import most_bytes
from merkit.data.files import open_file

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DEEPEST = 8
_NAME_BYTES = 4096
"""What a name counts: groups that link to each other could be walked through for ever."""
_PIECE = 1 << 26
"""Bytes of text that are read at once."""


def read_hdf5(path: Path) -> dict[str, Any]:
    """Return the groups and datasets of a file as dictionaries and arrays; text as text.

    Raises:
        UnsafeFileError: A link leads out of its group or the file, or a dataset claims more than the file can hold.
        MerkitError: h5py is missing, or the file cannot be read.
    """
    h5py = _h5py()
    try:
        with open_file(path) as stream:
            size = stream.seek(0, 2)
        with h5py.File(path, "r", locking="best-effort") as file:
            return _Reader(h5py, path, size).group(file, 0)
    except MerkitError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise MerkitError(f"{path}: cannot be read as HDF5: {first_line(error)}") from error


def write_hdf5(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays of numbers or text as datasets, the same bytes for the same arrays.

    Raises:
        MerkitError: h5py is missing.
    """
    h5py = _h5py()
    with h5py.File(path, "w", track_order=False) as file:
        for name, array in arrays.items():
            values = array.astype(h5py.string_dtype()) if array.dtype.kind == "U" else array
            file.create_dataset(name, data=values, track_times=False)


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError:
        raise MerkitError("HDF5 files need the extra 'hdf5': pip install 'merkit[hdf5]'") from None
    return h5py


class _Reader:
    """Walks through a file, and counts what it has read: the file says how large it claims to be."""

    def __init__(self, h5py: Any, path: Path, size: int) -> None:
        self._h5py, self._path, self._size = h5py, path, size
        self._left = most_bytes(size)

    def group(self, group: Any, depth: int) -> dict[str, Any]:
        """Return what lies in a group, by name."""
        if depth > _DEEPEST:
            raise UnsafeFileError(f"{self._path}: groups in groups, more than {_DEEPEST} deep")
        found: dict[str, Any] = {}
        for name in group:
            self._spend(name, _NAME_BYTES)
            if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                raise UnsafeFileError(f"{self._path}: '{name}' is a link to elsewhere, expected the data itself")
            item = group[name]
            if isinstance(item, self._h5py.Group):
                found[name] = self.group(item, depth + 1)
            elif isinstance(item, self._h5py.Dataset):
                found[name] = self._dataset(item)
            else:
                raise MerkitError(f"{self._path}: '{name}' is a type, expected data")
        return found

    def _dataset(self, dataset: Any) -> Any:
        if dataset.is_virtual or dataset.external:
            raise UnsafeFileError(f"{self._path}: '{dataset.name}' lies in another file, expected the data itself")
        self._spend(dataset.name, dataset.nbytes)
        if self._h5py.check_string_dtype(dataset.dtype) is not None:
            return self._text(dataset)
        if dataset.dtype.hasobject:
            raise MerkitError(f"{self._path}: '{dataset.name}' is {dataset.dtype}, expected numbers or text")
        return dataset[()]

    def _text(self, dataset: Any) -> Any:
        """Return text; that of any length is read in pieces: each could be the longest of the file, again and again."""
        text = dataset.asstr("utf-8", "replace")
        if dataset.ndim != 1 or not dataset.dtype.hasobject:
            return np.asarray(text[()], dtype=object)
        step = max(1, _PIECE // self._size)
        pieces, length = [np.empty(0, dtype=object)], 0
        for start in range(0, len(dataset), step):
            pieces.append(np.asarray(text[start : start + step], dtype=object))
            length += sum(map(len, pieces[-1]))
            if length > self._size:  # it is never packed
                self._spend(dataset.name, most_bytes(self._size))
        return np.concatenate(pieces)

    def _spend(self, name: str, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise UnsafeFileError(
                f"{self._path}: '{name[:80]}' claims {count:,} bytes, which the file's {self._size:,} do not explain"
            )
