"""Features that others made, published with a corpus or imported: storing them beside a manifest.

The folder ``precomputed/<name>`` of a manifest has ``features.safetensors`` (all arrays, concatenated,
``[time, dim]``), ``index.parquet`` (``id``, ``start``, ``length``) and ``columns.json`` (name, modality, column names,
hashes of the other two), which is written last: after an interruption the hashes differ, and reading is refused.
"""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from pydantic import ValidationError
from safetensors.numpy import load_file

from merkit.core.corpus import PublishedFeatures
from merkit.core.encoder import as_float32
from merkit.core.errors import ManifestError
from merkit.core.settings import Settings
from merkit.data.files import atomic_path, file_hash, write_safetensors, write_texts

_FEATURES, _INDEX, _PAGE = "features.safetensors", "index.parquet", "columns.json"
_REMEDY = "prepare the corpus or import the features again"


class _Page(Settings):
    """The content of ``columns.json``."""

    name: str
    modality: str
    columns: tuple[str, ...]
    dim: int
    features: str
    index: str


def write_published(folder: Path, features: PublishedFeatures) -> None:
    """Write features in float32, the same bytes for the same features.

    Raises:
        ManifestError: There is no array, or one is not ``[time, dim]`` with ``time >= 1`` and the dim of the others.
    """
    if not features.arrays:
        raise ManifestError(f"features '{features.name}': no utterance has any")
    dim = len(features.columns) or next(iter(features.arrays.values())).shape[-1]
    for name, array in features.arrays.items():
        if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] != dim:
            shape = list(array.shape)
            raise ManifestError(f"features '{features.name}' of '{name}': shape {shape}, expected [1 or more, {dim}]")
    lengths = np.array([len(array) for array in features.arrays.values()], dtype=np.int64)
    index = pyarrow.table({"id": list(features.arrays), "start": np.cumsum(lengths) - lengths, "length": lengths})
    with atomic_path(folder / _FEATURES) as temporary:
        write_safetensors({"features": as_float32(np.concatenate(list(features.arrays.values())))}, temporary, {})
    with atomic_path(folder / _INDEX) as temporary:
        pyarrow.parquet.write_table(index, temporary)
    page = _Page(
        name=features.name,
        modality=features.modality,
        columns=features.columns,
        dim=dim,
        features=file_hash(folder / _FEATURES),
        index=file_hash(folder / _INDEX),
    )
    write_texts({folder / _PAGE: page.model_dump_json(indent=2) + "\n"})


def read_published(folder: Path) -> PublishedFeatures:
    """Read what ``write_published`` wrote; arrays are float32 ``[time, dim]``, undefined cells NaN.

    Raises:
        ManifestError: The folder is missing, incomplete or was changed; the message names the known sets.
    """
    if not (folder / _PAGE).is_file():
        known = ", ".join(sorted(page.parent.name for page in folder.parent.glob(f"*/{_PAGE}"))) or "none"
        raise ManifestError(f"No precomputed features '{folder.name}' in {folder.parent}. Known: {known}")
    try:
        page = _Page.model_validate_json((folder / _PAGE).read_bytes())
    except ValidationError as error:
        raise ManifestError(
            f"{folder / _PAGE}: not as written by merkit; prepare the corpus or import the features again"
        ) from error
    for name, expected in ((_FEATURES, page.features), (_INDEX, page.index)):
        if not (folder / name).is_file() or file_hash(folder / name) != expected:
            raise ManifestError(f"{folder / name}: missing, or not the file that {_PAGE} names; {_REMEDY}")
    features = load_file(folder / _FEATURES)["features"]
    index = pyarrow.parquet.read_table(folder / _INDEX, partitioning=None).to_pydict()
    arrays = {
        name: features[start : start + length]
        for name, start, length in zip(index["id"], index["start"], index["length"], strict=True)
    }
    return PublishedFeatures(page.name, page.modality, arrays, page.columns)
