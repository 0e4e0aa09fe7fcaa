"""Stored features, once per utterance, identified by the content they were made of.

A store is a folder ``<encoder>-<fingerprint>/`` with ``encoder.json`` (the whole fingerprint) and shards. A shard is
two files: ``shard-….safetensors`` has the arrays of some utterances, concatenated along time, as the tensor ``data``;
``shard-….parquet`` has their ``id``, ``content``, ``offset`` and ``length``. The index is written last, so that a
killed process leaves at most data without an index, which is removed when the store is opened again. Every shard has a
name of its own, so that several processes can fill one store; each sees what the others added when it opens the store
again. Where an id was stored twice, the later shard counts.
"""

import fcntl
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from merkit.core.encoder import Array
from merkit.core.errors import MerkitError
from merkit.data.features.index import FeatureIndex, IndexRows, index_rows
from merkit.data.files import TEMPORARY, atomic_path, make_folder, remove

FORMAT = 1
"""Number of the layout described above, in ``encoder.json``."""

_INDEXING = Lock()
"""Of all stores: a lock of its own would keep a store from being pickled."""
_LOG = logging.getLogger(__name__)
_Kind = tuple[np.dtype[Any], tuple[int, ...]]


def fingerprint_hash(fingerprint: Mapping[str, Any]) -> str:
    """Return 40 hexadecimal digits that name a fingerprint; the order of its keys does not matter."""
    canonical = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=20).hexdigest()


class MemoryStore:
    """The arrays ``[time, *dim]`` of one encoder in memory, with the interface of `FeatureStore`."""

    def __init__(self) -> None:
        self._arrays: dict[str, tuple[str, Array]] = {}
        self._kind: _Kind | None = None

    def get(self, utterance_id: str, content: str) -> Array:
        """Return an utterance's array, as `FeatureStore.get`."""
        if self.missing({utterance_id: content}):
            raise KeyError(utterance_id)
        return self._arrays[utterance_id][1]

    def length(self, utterance_id: str) -> int:
        """Return the number of frames of an utterance's array."""
        return len(self._arrays[utterance_id][1])

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Return those ids of ``wanted`` (id to content hash) that are missing with that content, in its order."""
        return [name for name, content in wanted.items() if self._arrays.get(name, ("",))[0] != content]

    def add(self, rows: Sequence[tuple[str, str, Array]]) -> None:
        """Add arrays: id, content hash, array.

        Raises:
            MerkitError: An array is empty or differs in type or ``dim`` from the others.
        """
        self._kind = _checked_kind(rows, self._kind, "this call")
        self._arrays |= {name: (content, array) for name, content, array in rows}


class FeatureStore:
    """The stored arrays ``[time, *dim]`` of one encoder; all share their type and ``dim``.

    A file is open only while it is read, so that a store can be passed to other processes and memory does not grow.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = FeatureIndex()
        self._shards: list[Path] = []
        self._kind: _Kind | None = None

    @classmethod
    def open(cls, features: Path, fingerprint: Mapping[str, Any], name: str) -> "FeatureStore":
        """Open or begin the store of an encoder below the folder ``features``; remove files left by killed writers.

        Raises:
            MerkitError: The folder cannot be written to, belongs to another fingerprint, or holds damaged files.
        """
        digest = fingerprint_hash(fingerprint)
        store = cls(features / f"{name}-{digest[:12]}")
        about = store.folder / "encoder.json"
        if about.exists():
            _check_encoder(about, digest)
        else:
            make_folder(store.folder)
            with store._lock(fcntl.LOCK_SH), atomic_path(about) as temporary:
                content = {"format": FORMAT, "name": name, "fingerprint": fingerprint}
                temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        store._clean()
        store._read_indexes()
        return store

    def __len__(self) -> int:
        """Return how many utterances are stored."""
        return len(self._index)

    def get(self, utterance_id: str, content: str) -> Array:
        """Return an utterance's array ``[time, *dim]``, read from disk.

        Raises:
            KeyError: It is not stored, or was made of another content.
            MerkitError: The shard is damaged.
        """
        location = self._index.find(utterance_id, content)
        if location is None:
            raise KeyError(utterance_id)
        shard, start, stop = location
        with _opened(self._shards[shard]) as data:
            return np.asarray(data[start:stop])

    def length(self, utterance_id: str) -> int:
        """Return the number of frames of an utterance's array.

        Raises:
            KeyError: It is not stored.
        """
        location = self._index.find(utterance_id)
        if location is None:
            raise KeyError(utterance_id)
        return location[2] - location[1]

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Return those ids of ``wanted`` (id to content hash) that are missing with that content, in its order."""
        return [
            utterance_id for utterance_id, content in wanted.items() if self._index.find(utterance_id, content) is None
        ]

    def add(self, rows: Sequence[tuple[str, str, Array]]) -> None:
        """Store rows (id, content hash, array) as one shard, atomically.

        Raises:
            MerkitError: An array is empty or differs in type or ``dim`` from the store's, or the disk is full.
        """
        if not rows:
            return
        kind = _checked_kind(rows, self._kind, f"'{self.folder}'")
        lengths = [len(array) for _, _, array in rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        ids, contents = [row[0] for row in rows], [row[1] for row in rows]
        data = self.folder / f"shard-{_number(self._shards) + 1:08d}-{secrets.token_hex(4)}.safetensors"
        table = pyarrow.table({"id": ids, "content": contents, "offset": offsets, "length": lengths})
        with self._lock(fcntl.LOCK_SH):
            with atomic_path(data) as temporary:
                temporary.write_bytes(save({"data": np.concatenate([array for _, _, array in rows])}))
            with atomic_path(data.with_suffix(".parquet")) as temporary, temporary.open("wb") as file:
                pyarrow.parquet.write_table(table, file)
        with _INDEXING:
            self._kind = kind
            self._shards.append(data)
            self._index.add([index_rows(len(self._shards) - 1, ids, contents, offsets.tolist(), lengths)])

    def _read_indexes(self) -> None:
        present = set(self.folder.iterdir())
        shards: list[IndexRows] = []
        for path in sorted(path for path in present if path.suffix == ".parquet" and path.name.startswith("shard-")):
            data = path.with_suffix(".safetensors")
            if data not in present and not data.exists():  # another process may have added it since
                _LOG.warning("'%s' is missing: its features will be extracted again", data)
                continue
            try:
                table = pyarrow.parquet.read_table(
                    path, columns=["id", "content", "offset", "length"], memory_map=False
                )
            except (pyarrow.ArrowException, OSError) as error:
                raise MerkitError(f"'{path}' is damaged ({error}). Remove it and run again") from error
            shards.append(index_rows(len(self._shards), *(table[name].to_pylist() for name in table.column_names)))
            self._shards.append(data)
        if shards:
            self._index.add(shards)
            with _opened(self._shards[0]) as data_slice:
                none = data_slice[0:0]
                self._kind = (none.dtype, none.shape[1:])

    def _clean(self) -> None:
        """Remove unfinished files, unless another process is writing now: they may be its own."""
        try:
            with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                present = {path.name for path in self.folder.iterdir()}
                for name in present:
                    orphan = name.startswith("shard-") and name.endswith(".safetensors")
                    if name.startswith(TEMPORARY) or (
                        orphan and f"{name.removesuffix('.safetensors')}.parquet" not in present
                    ):
                        remove(self.folder / name)
        except OSError as error:  # locked, or a read-only store
            _LOG.debug("leftovers in '%s' stay: %s", self.folder, error)

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Hold the folder's lock, which the system releases when the process is killed."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _opened(shard: Path) -> Iterator[Any]:
    try:
        with safe_open(str(shard), framework="numpy") as file:
            yield file.get_slice("data")
    except (SafetensorError, OSError) as error:
        index = shard.with_suffix(".parquet").name
        raise MerkitError(
            f"'{shard}' is damaged or missing ({error}). Remove it and '{index}' and extract again"
        ) from error


def _checked_kind(rows: Sequence[tuple[str, str, Array]], kind: _Kind | None, where: str) -> _Kind | None:
    """Return the type and dimensions that all arrays share, those already stored included."""
    for name, _, array in rows:
        own = (array.dtype, array.shape[1:])
        if array.ndim == 0 or len(array) == 0:
            raise MerkitError(f"Features of '{name}' are empty (shape {array.shape}). Is its recording too short?")
        kind = kind or own
        if own != kind:
            raise MerkitError(
                f"Features of '{name}' are {_described(own)}, those of the others in {where} "
                f"{_described(kind)}. The encoder must give all utterances the same"
            )
    return kind


def _check_encoder(about: Path, digest: str) -> None:
    try:
        content = json.loads(about.read_text(encoding="utf-8"))
        stored, number = fingerprint_hash(content["fingerprint"]), content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MerkitError(f"'{about}' is damaged ({error}). Remove its folder to extract again") from error
    if number != FORMAT:
        raise MerkitError(
            f"'{about}' has format {number}, this merkit reads {FORMAT}. Remove its folder to extract again"
        )
    if stored != digest:
        raise MerkitError(
            f"'{about}' is not the encoder that its folder is named after ({stored[:12]}, not {digest[:12]}). "
            "Was it changed by hand? Remove the folder to extract again"
        )


def _number(shards: Sequence[Path]) -> int:
    return max((int(path.name.split("-")[1]) for path in shards[-1:]), default=0)


def _described(kind: _Kind) -> str:
    return f"{kind[0]} [time{''.join(f', {size}' for size in kind[1])}]"
