"""Reading and writing a file of features, whatever its kind; the kind is found by content, not by name."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.data.files import atomic_path, open_file
from merkit.formats.npz import read_npz
from merkit.formats.unpickling import read_pickle_safely
from merkit.io.feature_files.hdf5 import SIGNATURE, read_hdf5, write_hdf5
from merkit.io.feature_files.layouts import COLUMNS, FEATURES, IDS, LENGTHS, FeatureSet, interpret
from merkit.io.feature_files.tables import read_parquet, read_text_table, write_parquet

KINDS = (".npz", ".parquet", ".h5", ".hdf5")
"""Names of the files that are written end in one of these."""
_TABLES, _PICKLES = (".csv", ".tsv", ".jsonl"), (".pkl", ".pickle", ".p")


def read_features(path: Path, modality: str, chosen: str | None = None) -> FeatureSet:
    """Read npz, Parquet, HDF5, a pickle, CSV, TSV or JSONL.

    Args:
        path: The file.
        modality: Its features are taken from a file of several.
        chosen: The name, or the position in a tuple, of the features to take instead.

    Raises:
        MerkitError: The file is missing, of another kind, or holds no features by utterance id; one line.
    """
    with open_file(path) as stream:
        start = stream.read(8)
    try:
        if start.startswith(b"PAR1"):
            return _named(read_parquet(path), chosen)
        if start.startswith(b"PK\x03\x04"):
            return interpret(read_npz(path), modality, chosen)
        if start == SIGNATURE:
            return interpret(read_hdf5(path), modality, chosen)
        if start.startswith(b"\x93NUMPY"):
            raise MerkitError("holds one array without ids; save ids and features together as npz")
        if path.suffix.lower() in _TABLES:
            return _named(read_text_table(path), chosen)
        if start.startswith(b"\x80") or path.suffix.lower() in _PICKLES:
            return interpret(read_pickle_safely(path), modality, chosen)
        raise MerkitError("is neither npz, Parquet, HDF5, CSV, TSV, JSONL nor a pickle, by content and name")
    except MerkitError as error:
        message = str(error).replace("\n", "\\n")  # of a name in the file
        raise type(error)(message if str(path) in message else f"{path}: {message}") from error


def check_target(path: Path) -> None:
    """Refuse a path that `write_features` cannot write to.

    Raises:
        MerkitError: Its ending is of no known kind, or the file exists.
    """
    if path.suffix.lower() not in KINDS:
        raise MerkitError(f"{path}: features are written as {', '.join(KINDS)}, found '{path.suffix}'")
    if path.exists() or path.is_symlink():
        raise MerkitError(f"{path}: exists; choose another file, or remove it")


def write_features(path: Path, arrays: Mapping[str, Array], columns: tuple[str, ...]) -> None:
    """Write arrays ``[time, dim]`` by id in a form that `read_features` reads back equal.

    Raises:
        MerkitError: As `check_target`, or the file cannot be written.
    """
    check_target(path)
    kind = path.suffix.lower()
    with atomic_path(path) as temporary:
        if kind == ".parquet":
            write_parquet(temporary, dict(arrays), columns)
            return
        values = {
            IDS: np.array(list(arrays)),
            FEATURES: np.concatenate(list(arrays.values())),
            LENGTHS: np.array([len(array) for array in arrays.values()], dtype=np.int64),
        }
        if columns:
            values[COLUMNS] = np.array(columns)
        if kind == ".npz":
            np.savez(temporary, allow_pickle=False, **values)
        else:
            write_hdf5(temporary, values)


def _named(found: FeatureSet, chosen: str | None) -> FeatureSet:
    if chosen is not None:
        raise MerkitError("is a table, which holds one set of features: leave out --array")
    return found
