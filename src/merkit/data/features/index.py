"""Where each utterance's features lie: an index that stays small in memory.

Ids are kept as 64-bit hashes in sorted arrays, 40 bytes an utterance where a dictionary takes three hundred. Among ten
million utterances two share a hash with a probability of 3 in a million; then one of them counts as not stored, for the
content is hashed with the id: one is never returned for the other.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from merkit.data.features.shards import Rows

IndexRows = npt.NDArray[np.void]
"""Rows of the index, made by ``index_rows``."""


class Location(NamedTuple):
    """Where an utterance's array lies."""

    shard: int
    start: int
    """Its first frame in the shard."""
    stop: int
    """One past its last frame."""
    crc32: int


class FeatureIndex:
    """A map from (utterance id, content hash) to a location; what is added later replaces an id's earlier row."""

    def __init__(self) -> None:
        self._rows = np.zeros(0, _ROW)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, shards: Iterable[IndexRows]) -> None:
        """Add the rows of shards, oldest first; all at once, for each call sorts."""
        rows = np.concatenate([self._rows, *shards])
        order = np.argsort(rows["id"], kind="stable")
        rows = rows[order]
        newest = np.ones(len(rows), bool)
        newest[:-1] = rows["id"][1:] != rows["id"][:-1]
        self._rows = rows[newest]

    def drop(self, shard: int) -> None:
        """Remove all rows of a shard."""
        self._rows = self._rows[self._rows["shard"] != shard]

    def find(self, utterance_id: str, content: str | None = None) -> Location | None:
        """Return where an utterance's array lies.

        ``None`` if it is not stored, or (content given) not with this content.
        """
        rows, key = self._rows, _hash(utterance_id)  # another thread may add meanwhile
        at = int(np.searchsorted(rows["id"], key))
        if at == len(rows) or rows["id"][at] != key:
            return None
        row = rows[at]
        if content is not None and row["content"] != _hash(utterance_id, content):
            return None
        start, stop = int(row["offset"]), int(row["offset"] + row["length"])
        return Location(int(row["shard"]), start, stop, int(row["crc32"]))


def index_rows(shard: int, rows: Rows) -> IndexRows:
    """Return the index rows of one shard."""
    found = np.zeros(len(rows.ids), _ROW)
    found["id"] = [_hash(utterance_id) for utterance_id in rows.ids]
    found["content"] = [_hash(*both) for both in zip(rows.ids, rows.contents, strict=True)]
    found["shard"], found["offset"], found["length"] = shard, rows.offsets, rows.lengths
    found["crc32"] = rows.crc32s
    return found


_ROW = np.dtype([("id", "u8"), ("content", "u8"), ("shard", "i4"), ("offset", "i8"), ("length", "i8"), ("crc32", "u4")])


def _hash(*texts: str) -> np.uint64:
    joined = "\0".join(texts).encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "little"))
