"""What files of features look like inside: from keys, lists and arrays to one array per utterance id.

npz, HDF5 and pickles all hold a tree of names and arrays. The layouts that are understood, each also below a name that
is chosen (`chosen`), or that is the modality's:

* id to array: ``[dim]`` (a vector) or ``[time, dim]`` (a sequence), or to a group with ``features``;
* ``ids`` beside ``features``: a vector for each, ``[ids, dim]``; the frames of all sequences, ``[frames, dim]``, with
  their ``lengths``; or padded sequences, ``[ids, time, dim]``, with their ``lengths``;
* such tables under ``train``, ``valid``, ``test``, as of the aligned files of CMU-MOSI and CMU-MOSEI;
* ``data`` beside ``metadata``, as of a computational sequence (``.csd``) of the CMU Multimodal SDK;
* a tuple of dictionaries by conversation, the first with lists of ids, as of bc-LSTM and DialogueRNN;
* a tuple of dictionaries by id, one for each split.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.core.phrases import listed

IDS, FEATURES, LENGTHS, COLUMNS = "ids", "features", "lengths", "columns"
"""Names of the arrays of a table, which exported files have as well."""
_SPLITS = frozenset({"train", "valid", "validation", "val", "dev", "test"})
_ALIASES = {"text": ("text", "language"), "audio": ("audio", "acoustic"), "video": ("video", "vision", "visual")}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Arrays ``[time, dim]`` of numbers by id, as a file has them, and the names of the columns where it names them."""

    arrays: Mapping[str, Array]
    columns: tuple[str, ...] = ()


def interpret(tree: Any, modality: str, chosen: str | None) -> FeatureSet:
    """Return the features in a tree of mappings, sequences and arrays.

    Args:
        tree: The content of a file.
        modality: Its features are taken where the tree has several.
        chosen: A name, or a position in a tuple, of the features to take instead.

    Raises:
        MerkitError: No layout fits, or the tree has several sets of features and none is chosen.
    """
    if isinstance(tree, Mapping):
        return _of_mapping({_text(key): value for key, value in tree.items()}, modality, chosen)
    if isinstance(tree, (list, tuple)) and tree and all(isinstance(item, Mapping) for item in tree[:1]):
        return _of_tuple(tree, modality, chosen)
    raise MerkitError(f"holds {_kind(tree)}, expected features by utterance id")


def refuse_duplicates(ids: Sequence[str], hint: str = "") -> None:
    """Raise an error that counts the ids that occur more than once, and names some."""
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise MerkitError(f"has {len(repeated):,} duplicate ids{hint}: {listed(repeated, 3)}")


def _of_mapping(tree: Mapping[str, Any], modality: str, chosen: str | None) -> FeatureSet:
    ids = next((name for name in (IDS, "id") if name in tree and _is_list(tree[name])), None)
    if ids is not None:
        return _of_table(tree, ids, modality, chosen)
    if tree and tree.keys() <= _SPLITS and all(isinstance(value, Mapping) for value in tree.values()):
        return _merged(interpret(value, modality, chosen) for value in tree.values())
    if chosen is not None and chosen in tree:
        return interpret(tree[chosen], modality, None)
    if "data" in tree and "metadata" in tree:
        return interpret(tree["data"], modality, chosen)
    named = [name for name in _ALIASES[modality] if isinstance(tree.get(name), Mapping)]
    if chosen is None and named:
        return interpret(tree[named[0]], modality, None)
    only = next(iter(tree.values())) if len(tree) == 1 else None
    if isinstance(only, Mapping) and FEATURES not in only:
        return interpret(only, modality, chosen)
    if chosen is not None:
        raise MerkitError(f"has no features '{chosen}', found {_listed(tree)}")
    if not tree:
        raise MerkitError("holds nothing")
    return FeatureSet({name: _array(value, name) for name, value in tree.items()})


def _of_table(tree: Mapping[str, Any], ids: str, modality: str, chosen: str | None) -> FeatureSet:
    names = [chosen] if chosen is not None else [FEATURES, *_ALIASES[modality]]
    name = next((name for name in names if name in tree), None)
    if name is None:
        raise MerkitError(
            f"has no array {' or '.join(names)} beside '{ids}', found {_listed(tree)}; name one with --array"
        )
    known = _ids(tree[ids])
    features, lengths = _numbers(tree[name], name), _lengths(tree, name)
    columns = tuple(_ids(tree[COLUMNS])) if COLUMNS in tree else ()
    if lengths is None:
        if len(features) != len(known):
            raise MerkitError(f"'{name}' has {len(features):,} rows for {len(known):,} ids")
        lengths = np.full(len(known), features.shape[1] if features.ndim == 3 else 1)
    refuse_duplicates(known)
    total = int(lengths.sum())
    if len(lengths) != len(known) or (lengths < 0).any():
        raise MerkitError(f"the lengths of '{name}' are no {len(known):,} counts of frames")
    if features.ndim == 3 and len(features) == len(known) and (lengths <= features.shape[1]).all():
        return FeatureSet({key: features[row, : lengths[row]] for row, key in enumerate(known)}, columns)
    if features.ndim == 2 and len(features) == total:
        ends = np.cumsum(lengths)
        parts = zip(known, ends - lengths, ends, strict=True)
        return FeatureSet({key: features[start:end] for key, start, end in parts}, columns)
    raise MerkitError(
        f"'{name}' has the shape {list(features.shape)} for {len(known):,} ids with {total:,} frames,"
        " expected [ids, dim], [frames, dim] or [ids, time, dim]"
    )


def _of_tuple(items: Sequence[Any], modality: str, chosen: str | None) -> FeatureSet:
    conversations = items[0]
    if not all(_is_list(ids) and len(ids) and isinstance(_first(ids), (str, bytes)) for ids in conversations.values()):
        if chosen is not None:
            if not (chosen.isdecimal() and int(chosen) < len(items)):
                raise MerkitError(f"has no position {chosen}, found {len(items)}: 0 to {len(items) - 1}")
            return interpret(items[int(chosen)], modality, None)
        return _merged(interpret(item, modality, None) for item in items)
    sets = {position: item for position, item in enumerate(items) if position and _is_aligned(item, conversations)}
    described = ", ".join(f"{position} ({_dim(item)} columns)" for position, item in sets.items()) or "none"
    if chosen is None and len(sets) == 1:
        chosen = str(next(iter(sets)))
    if chosen is None or not chosen.isdecimal() or int(chosen) not in sets:
        raise MerkitError(f"holds features at the positions {described}; name one with --array")
    ids, rows = [], []
    for conversation, names in conversations.items():
        ids += _ids(names)
        rows += [_array(row, f"{conversation}") for row in sets[int(chosen)][conversation]]
    refuse_duplicates(ids)
    return FeatureSet(dict(zip(ids, rows, strict=True)))


def _is_aligned(item: Any, conversations: Mapping[Hashable, Any]) -> bool:
    """Return whether an item has one vector or sequence for each id of each conversation."""
    if not isinstance(item, Mapping) or item.keys() != conversations.keys():
        return False
    return all(
        isinstance(item[name], (list, tuple, np.ndarray))
        and len(item[name]) == len(ids)
        and all(isinstance(row, (list, np.ndarray)) for row in item[name])
        for name, ids in conversations.items()
    )


def _dim(item: Mapping[Hashable, Any]) -> int:
    return int(np.shape(_first(next(iter(item.values()))))[-1])


def _merged(sets: Iterable[FeatureSet]) -> FeatureSet:
    found = list(sets)
    refuse_duplicates([name for one in found for name in one.arrays], " in several splits")
    return FeatureSet({name: array for one in found for name, array in one.arrays.items()}, found[0].columns)


def _array(value: Any, name: str) -> Array:
    """Return the array ``[time, dim]`` of one utterance; a vector is a sequence of one."""
    if isinstance(value, Mapping):
        keys = {_text(key): inner for key, inner in value.items()}
        if FEATURES not in keys:
            found = f"'{name}' is a group of {_listed(keys)}"
            raise MerkitError(f"{found}, expected an array or '{FEATURES}' in it; --array names a group of ids")
        value = keys[FEATURES]
    array = _numbers(value, name)
    if array.ndim not in (1, 2):
        raise MerkitError(f"'{name}' has the shape {list(array.shape)}, expected [dim] or [time, dim]")
    return array[None] if array.ndim == 1 else array


def _numbers(value: Any, name: str) -> Array:
    """Return an array of real numbers."""
    try:
        array = np.asarray(value)
        if array.dtype == object:  # a list of arrays, as pickles have
            array = np.stack([np.asarray(row, dtype=np.float64) for row in array])
    except (ValueError, TypeError):
        raise MerkitError(f"'{name}' is no array of numbers of one width") from None
    if array.dtype.kind not in "fiub":
        raise MerkitError(f"'{name}' holds {'text' if array.dtype.kind in 'US' else array.dtype}, expected numbers")
    return array


def _lengths(tree: Mapping[str, Any], name: str) -> npt.NDArray[np.int64] | None:
    found = next((tree[key] for key in (f"{name}_{LENGTHS}", LENGTHS) if key in tree), None)
    if found is None:
        return None
    lengths = _numbers(found, LENGTHS)
    if lengths.ndim != 1 or (lengths != np.floor(lengths)).any():
        raise MerkitError(f"the lengths of '{name}' are no list of whole numbers")
    return lengths.astype(np.int64)


def _ids(values: Any) -> list[str]:
    return [_text(value) for value in np.asarray(values, dtype=object).reshape(-1).tolist()]


def _text(value: Any) -> str:
    """Return an id as text.

    Raises:
        MerkitError: It is neither text nor a whole number.
    """
    if isinstance(value, (bytes, np.bytes_)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (str, int, np.integer)) and not isinstance(value, bool):
        return str(value)
    raise MerkitError(f"has the id {str(value)[:40]!r}, expected text or a whole number")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim >= 1)


def _first(values: Any) -> Any:
    return next(iter(values), None)


def _listed(tree: Mapping[str, Any]) -> str:
    return listed(sorted(tree), 6)


def _kind(tree: Any) -> str:
    return f"an array {list(tree.shape)}" if isinstance(tree, np.ndarray) else f"a {type(tree).__name__}"
