"""HDF5 files of features (``.h5``, ``.csd``) with h5py, the extra ``hdf5``; links that leave the file are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from merkit.core.encoder import Array
from merkit.core.errors import MerkitError, UnsafeFileError, first_line

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DEEPEST = 8
_LARGEST_RATIO = 1100
"""Of a dataset's bytes to those in the file; deflate reaches 1032."""


def read_hdf5(path: Path) -> dict[str, Any]:
    """Return the groups and datasets of a file as dictionaries and arrays; text as text.

    Raises:
        UnsafeFileError: A link leads out of its group or the file, or a dataset claims more than the file can hold.
        MerkitError: h5py is missing, or the file cannot be read.
    """
    h5py = _h5py()
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _group(h5py, file, path, 0)
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


def _group(h5py: Any, group: Any, path: Path, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise UnsafeFileError(f"{path}: groups in groups, more than {_DEEPEST} deep")
    found: dict[str, Any] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeFileError(f"{path}: '{name}' is a link to elsewhere, expected the data itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            found[name] = _group(h5py, item, path, depth + 1)
        elif isinstance(item, h5py.Dataset):
            found[name] = _dataset(h5py, item, path)
        else:
            raise MerkitError(f"{path}: '{name}' is a type, expected data")
    return found


def _dataset(h5py: Any, dataset: Any, path: Path) -> Any:
    stored = dataset.id.get_storage_size()
    if dataset.is_virtual or dataset.external:
        raise UnsafeFileError(f"{path}: '{dataset.name}' lies in another file, expected the data itself")
    if dataset.nbytes > max(stored, 1) * _LARGEST_RATIO:
        raise UnsafeFileError(f"{path}: '{dataset.name}' claims {dataset.nbytes:,} bytes, the file holds {stored:,}")
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr("utf-8", "replace")[()], dtype=object)
    return dataset[()]
