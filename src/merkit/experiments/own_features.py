"""Import and export of features, as `merkit features import` and `export` do: joined to a corpus by utterance id."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.core.corpus import PublishedFeatures
from merkit.core.encoder import Array, as_float32
from merkit.core.errors import ManifestError, MerkitError
from merkit.core.phrases import listed
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import read_manifest
from merkit.data.features.published import read_published, write_published
from merkit.encoders.precomputed import FOLDER, PrecomputedConfig
from merkit.experiments.features import corpus_features
from merkit.experiments.mistakes import check_options
from merkit.io.feature_files.files import check_target, write_features
from merkit.io.feature_files.layouts import FeatureSet


@dataclass(frozen=True)
class Imported:
    """Where features were stored, how many utterances have them, and what did not fit together."""

    folder: Path
    utterances: int
    dim: int
    sequences: int
    """Utterances with several frames."""
    missing: int
    """Utterances without features."""
    surplus: int
    """Ids in the file that no utterance has."""
    undefined: int
    """Values that are NaN."""
    padded: int
    """Sequences that begin or end with a frame of zeros, which are taken for data."""
    unchanged: bool
    """Whether the corpus had the same features under this name."""


@dataclass(frozen=True)
class Exported:
    """What a written file holds."""

    utterances: int
    dim: int
    undefined: int


def import_features(
    data: Path,
    found: FeatureSet,
    file: Path,
    modality: str,
    name: str,
    *,
    allow_missing: bool = False,
    allow_undefined: bool = False,
) -> Imported:
    """Store the features of a file in a corpus, for the encoder ``precomputed``.

    Args:
        data: The manifest's folder.
        found: What `read_features` has read.
        file: Where it was read from, for errors.
        modality: What the features describe.
        name: How recipes call them.
        allow_missing: Utterances without features lack the modality; otherwise they are an error.
        allow_undefined: NaN means undefined; otherwise it is an error.

    Raises:
        MerkitError: Ids or values do not fit, or the corpus has other features of this name.
    """
    check_options(PrecomputedConfig, {"features": name}, "--name")
    manifest = read_manifest(data)
    ids = [utterance.id for utterance in manifest.utterances]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        arrays = {key: as_float32(array) for key, array in _joined(found, ids, file, allow_missing).items()}
    undefined = _check_values(arrays, found, file, allow_undefined)
    features = PublishedFeatures(name, modality, arrays, found.columns)
    folder = manifest.root / FOLDER / name
    unchanged = _is_stored(folder, features)
    if not unchanged:
        write_published(folder, features)
    return Imported(
        folder=folder,
        utterances=len(arrays),
        dim=next(iter(arrays.values())).shape[1],
        sequences=sum(len(array) > 1 for array in arrays.values()),
        missing=len(ids) - len(arrays),
        surplus=len(found.arrays) - len(arrays),
        undefined=undefined,
        padded=sum(len(array) > 1 and not (array[0].any() and array[-1].any()) for array in arrays.values()),
        unchanged=unchanged,
    )


def export_features(
    data: Path,
    out: Path,
    *,
    name: str | None = None,
    encoder: str | None = None,
    modality: str | None = None,
    settings: Mapping[str, Any] | None = None,
    features: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Exported:
    """Write a corpus' features, stored under a name or extracted by an encoder, to a file that can be imported.

    Raises:
        MerkitError: There are no such features, they are no vectors, or the file cannot be written or exists.
    """
    if (name is None) == (encoder is None):
        raise MerkitError("give the features' --name, or the --encoder that extracts them")
    check_target(out)  # before the work of extraction
    columns: tuple[str, ...] = ()
    arrays: Mapping[str, Array]
    if name is not None:
        stored = read_published(read_manifest(data).root / FOLDER / name)
        arrays, columns = stored.arrays, stored.columns
    else:
        assert encoder is not None
        arrays = corpus_features(data, encoder, modality, settings or {}, features, progress)
    if not arrays:
        raise MerkitError("there is nothing to export: no utterance has these features")
    for key, array in arrays.items():
        if array.ndim != 2 or array.dtype.kind != "f":
            raise MerkitError(
                f"these features cannot be exported: '{key}' has the shape {list(array.shape)} and the type"
                f" {array.dtype}, expected [time, dim] of real numbers"
            )
    arrays = {key: as_float32(array) for key, array in arrays.items()}
    write_features(out, arrays, columns)
    undefined = sum(int(np.isnan(array).sum()) for array in arrays.values())
    return Exported(len(arrays), next(iter(arrays.values())).shape[1], undefined)


def _joined(found: FeatureSet, ids: Sequence[str], file: Path, allow_missing: bool) -> dict[str, Array]:
    """Return the arrays of the corpus' utterances in its order."""
    arrays = {key: found.arrays[key] for key in ids if key in found.arrays}
    missing = [key for key in ids if key not in found.arrays]
    if not arrays:
        theirs, ours = (", ".join(f"'{key}'" for key in list(some)[:3]) for some in (found.arrays, ids))
        raise MerkitError(
            f"{file}: none of its {len(found.arrays):,} ids is an utterance of the corpus: found {theirs},"
            f" expected {ours}"
        )
    if missing and not allow_missing:
        raise MerkitError(
            f"{file}: {len(missing):,} of {len(ids):,} utterances have no features"
            f" ({listed(missing, 3)}); add them, or give --allow-missing, and these"
            " utterances lack the modality"
        )
    return arrays


def _check_values(arrays: Mapping[str, Array], found: FeatureSet, file: Path, allow_undefined: bool) -> int:
    """Refuse arrays that do not fit together or hold no numbers; return the number of undefined values."""
    dims = Counter(array.shape[1] for array in arrays.values())
    dim = len(found.columns) or dims.most_common(1)[0][0]
    for key, array in arrays.items():
        if array.shape[1] != dim or not dim:
            raise MerkitError(
                f"{file}: '{key}' has {array.shape[1]:,} columns, the others have {dim:,}"
                + ("; a sequence of single numbers has the shape [time, 1]" if len(array) == 1 else "")
            )
        if not len(array):
            raise MerkitError(f"{file}: '{key}' is empty: it has no frame; leave it out")
        infinite = int(np.isinf(array).sum())
        if infinite:
            raise MerkitError(f"{file}: '{key}' has {infinite:,} infinite values, or larger ones than float32 holds")
    undefined = {key: int(np.isnan(array).sum()) for key, array in arrays.items()}
    total = sum(undefined.values())
    if total and not allow_undefined:
        first = next(key for key, count in undefined.items() if count)
        raise MerkitError(
            f"{file}: {total:,} values are NaN or empty, first in '{first}'; correct them, or give --allow-undefined,"
            " and they count as the training split's mean"
        )
    return total


def _is_stored(folder: Path, features: PublishedFeatures) -> bool:
    """Return whether the folder holds these features.

    Raises:
        MerkitError: It holds others; damaged ones are replaced.
    """
    if not folder.exists():
        return False
    try:
        stored = read_published(folder)
    except ManifestError:
        if (folder / "columns.json").exists() or not any(folder.iterdir()):
            return False
        raise MerkitError(f"{folder}: is no folder of features; choose another --name") from None
    same = (
        (stored.modality, stored.columns) == (features.modality, features.columns)
        and stored.arrays.keys() == features.arrays.keys()
        and all(np.array_equal(array, features.arrays[key], equal_nan=True) for key, array in stored.arrays.items())
    )
    if not same:
        raise MerkitError(f"{folder}: holds other features; choose another --name, or remove the folder")
    return True
