"""Stored features, once per utterance, identified by the content they were made of.

A store is a folder ``<encoder>-<fingerprint>/`` with ``encoder.json`` (the whole fingerprint) and shards (see
`merkit.data.features.shards`). The index of a shard is written last, so that a killed process leaves at most data
without an index, which is removed when the store is opened again. Every shard has a name of its own, so that several
processes can fill one store; each sees what the others added when it opens the store again. Where an id was stored
twice, the later shard counts.

A shard is checked, every byte of it, when a process first asks for one of its utterances, and an array again whenever
it is read. A damaged shard is named and removed, so that extraction, which has the same batches again, replaces it
whole.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.data.checksums import is_stamped, seal, unseal
from merkit.data.features.index import FeatureIndex, IndexRows, index_rows
from merkit.data.features.shards import Kind, Shard, adopt, is_intact, number_of, read_index, write_shard
from merkit.data.files import TEMPORARY, atomic_path, make_folder, remove

FORMAT = 2
"""Number of the layout described above, in ``encoder.json``. Shards of format 1 have no checksums."""

_INDEXING = Lock()
"""Of all stores: a lock of its own would keep a store from being pickled."""
_LOG = logging.getLogger(__name__)


def fingerprint_hash(fingerprint: Mapping[str, Any]) -> str:
    """Return 40 hexadecimal digits that name a fingerprint; the order of its keys does not matter."""
    canonical = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=20).hexdigest()


class MemoryStore:
    """The arrays ``[time, *dim]`` of one encoder in memory, with the interface of `FeatureStore`."""

    def __init__(self) -> None:
        self._arrays: dict[str, tuple[str, Array]] = {}
        self._kind: Kind | None = None

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

    def keep(self, ids: Collection[str]) -> None:
        """Forget the arrays of all other utterances."""
        self._arrays = {name: array for name, array in self._arrays.items() if name in ids}


class FeatureStore:
    """The stored arrays ``[time, *dim]`` of one encoder; all share their type and ``dim``.

    A file is open only while it is read, so that a store can be passed to other processes and memory does not grow.
    """

    def __init__(self, folder: Path, encoder: str) -> None:
        self.folder = folder
        self._encoder = encoder
        self._index = FeatureIndex()
        self._shards: list[Shard] = []
        self._checked: set[int] = set()
        self._kind: Kind | None = None

    @classmethod
    def open(cls, features: Path, fingerprint: Mapping[str, Any], name: str) -> "FeatureStore":
        """Open or begin the store of an encoder below the folder ``features``; remove files left by killed writers.

        Damaged files are named and count as missing. Shards of format 1 are given checksums, as they are now.

        Raises:
            MerkitError: The folder cannot be written to, belongs to another fingerprint, or is of a newer format.
        """
        digest = fingerprint_hash(fingerprint)
        store = cls(features / f"{name}-{digest[:12]}", digest)
        about = store.folder / "encoder.json"
        if _number_of_format(about, digest) != FORMAT:
            make_folder(store.folder)
            store._adopt()
            with store._lock(fcntl.LOCK_SH), atomic_path(about) as temporary:
                content = {"fingerprint": fingerprint, "format": FORMAT, "name": name}
                temporary.write_text(seal(json.loads(json.dumps(content, sort_keys=True))), encoding="utf-8")
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
        return self._shards[location.shard].read(location.start, location.stop, location.crc32)

    def length(self, utterance_id: str) -> int:
        """Return the number of frames of an utterance's array.

        Raises:
            KeyError: It is not stored.
        """
        location = self._index.find(utterance_id)
        if location is None:
            raise KeyError(utterance_id)
        return location.stop - location.start

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Return those ids of ``wanted`` (id to content hash) that are missing with that content, in its order.

        What a damaged shard holds is missing; it is named and removed.
        """
        for name, content in wanted.items():
            location = self._index.find(name, content)
            if location is not None and location.shard not in self._checked:
                self._check(location.shard)
        return [name for name, content in wanted.items() if self._index.find(name, content) is None]

    def add(self, rows: Sequence[tuple[str, str, Array]]) -> None:
        """Store rows (id, content hash, array) as one shard, atomically.

        Raises:
            MerkitError: An array is empty or differs in type or ``dim`` from the store's, or the disk is full.
        """
        if not rows:
            return
        kind = _checked_kind(rows, self._kind, f"'{self.folder}'")
        last = max((number_of(shard.path) or 0 for shard in self._shards[-1:]), default=0)
        with self._lock(fcntl.LOCK_SH):
            shard, written = write_shard(self.folder, last + 1, self._encoder, rows)
        with _INDEXING:
            self._kind = kind
            self._checked.add(len(self._shards))
            self._shards.append(shard)
            self._index.add([index_rows(len(self._shards) - 1, written)])

    def _check(self, number: int) -> None:
        """Name and remove a shard that is damaged."""
        shard = self._shards[number]
        path, why = shard.path, "its content is not what was written"
        try:
            intact = is_intact(shard)
        except ValueError as error:
            intact, path, why = False, shard.index, str(error)
        except OSError as error:
            raise MerkitError(f"'{shard.path}' cannot be read ({error}). Repeat the command") from error
        if not intact:
            self._discard(path, why)
            with _INDEXING:
                self._index.drop(number)
        self._checked.add(number)

    def _discard(self, path: Path, why: str) -> None:
        _LOG.warning("'%s' is damaged (%s): its features are extracted again", path, why)
        for file in (path.with_suffix(".parquet"), path.with_suffix(".safetensors")):
            remove(file)

    def _adopt(self) -> None:
        """Give checksums to the shards of an earlier version."""
        found = self.folder.glob("shard-*.parquet")
        old = sorted(path for path in found if number_of(path) is not None and not is_stamped(path))
        if not old:
            return
        adopted = 0
        with self._lock(fcntl.LOCK_EX):
            for path in old:
                try:
                    adopt(path, self._encoder)
                    adopted += 1
                except ValueError as error:
                    self._discard(path, str(error))
                except FileNotFoundError:  # of its data, or all of it is adopted by another process
                    if path.exists():
                        self._discard(path.with_suffix(".safetensors"), "it is missing")
        if adopted:
            _LOG.info(
                "'%s': %d shards of an earlier version now have checksums, as they are today", self.folder, adopted
            )

    def _read_indexes(self) -> None:
        present = set(self.folder.iterdir())
        shards: list[IndexRows] = []
        for path in sorted(path for path in present if path.suffix == ".parquet" and path.name.startswith("shard-")):
            data = path.with_suffix(".safetensors")
            if number_of(path) is None or not is_stamped(path):
                _LOG.warning("'%s' is no shard of this store and left out. Remove it", path)
                continue
            if data not in present and not data.exists():  # another process may have added it since
                self._discard(data, "it is missing")
                continue
            try:
                shard, rows = read_index(path)
            except FileNotFoundError:  # another process found it damaged
                continue
            except ValueError as error:
                self._discard(path, str(error))
                continue
            except OSError as error:
                raise MerkitError(f"'{path}' cannot be read ({error}). Repeat the command") from error
            if shard.encoder != self._encoder:
                _LOG.warning("'%s' was made by another encoder and is left out. Remove it and its arrays", path)
                continue
            shards.append(index_rows(len(self._shards), rows))
            self._shards.append(shard)
        if shards:
            self._index.add(shards)
            self._kind = self._shards[0].kind

    def _clean(self) -> None:
        """Remove unfinished files, unless another process is writing now: they may be its own."""
        try:
            with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                present = {path.name for path in self.folder.iterdir()}
                for path in map(self.folder.joinpath, present):
                    orphan = path.suffix == ".safetensors" and number_of(path) is not None
                    if path.name.startswith(TEMPORARY) or (orphan and path.with_suffix(".parquet").name not in present):
                        remove(path)
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


def _checked_kind(rows: Sequence[tuple[str, str, Array]], kind: Kind | None, where: str) -> Kind | None:
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


def _number_of_format(about: Path, digest: str) -> int | None:
    """Return the format of a store; ``None`` where ``encoder.json`` is missing, or damaged, which is logged.

    Raises:
        MerkitError: It is of a newer format, or belongs to another fingerprint.
    """
    try:
        content = unseal(about)
        stored, number = fingerprint_hash(content["fingerprint"]), int(content["format"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        _LOG.warning("'%s' is damaged (%s): it is written anew", about, error)
        return None
    except OSError as error:
        raise MerkitError(f"'{about}' cannot be read ({error.strerror})") from error
    if number > FORMAT:
        raise MerkitError(
            f"'{about}' has format {number}, this merkit reads {FORMAT}. Remove its folder to extract again"
        )
    if stored != digest:
        raise MerkitError(
            f"'{about}' is not the encoder that its folder is named after ({stored[:12]}, not {digest[:12]}). "
            "Was it changed by hand? Remove the folder to extract again"
        )
    return number


def _described(kind: Kind) -> str:
    return f"{kind[0]} [time{''.join(f', {size}' for size in kind[1])}]"
