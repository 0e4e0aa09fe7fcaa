"""Where each utterance's features lie: an index that stays small in memory.

Ids are kept as 64-bit hashes in sorted arrays, 36 bytes an utterance where a dictionary takes three hundred. Among ten
million utterances two share a hash with a probability of 3 in a million; then one of them counts as not stored, for the
content is hashed with the id: never is one given for the other.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Place:
    """A stored array: the number of its shard, and its first and one past its last row there."""

    shard: int
    start: int
    stop: int


class FeatureIndex:
    """A map from (utterance id, content hash) to a place; what is added later replaces an id's earlier row."""

    def __init__(self) -> None:
        self._rows = np.zeros(0, _ROW)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, shards: Iterable["IndexedShard"]) -> None:
        """Take in shards, oldest first; all at once, for each call sorts."""
        rows = np.concatenate([self._rows, *(shard.rows for shard in shards)])
        order = np.argsort(rows["id"], kind="stable")
        rows = rows[order]
        newest = np.ones(len(rows), bool)
        newest[:-1] = rows["id"][1:] != rows["id"][:-1]
        self._rows = rows[newest]

    def find(self, utterance_id: str, content: str | None = None) -> Place | None:
        """Return where an utterance lies, or ``None`` if it is not stored, or (content given) not with this content."""
        key = _hash(utterance_id)
        at = int(np.searchsorted(self._rows["id"], key))
        if at == len(self._rows) or self._rows["id"][at] != key:
            return None
        row = self._rows[at]
        if content is not None and row["content"] != _hash(utterance_id, content):
            return None
        return Place(int(row["shard"]), int(row["offset"]), int(row["offset"] + row["length"]))


class IndexedShard:
    """The index rows of one shard, ready to be taken in."""

    def __init__(
        self, number: int, ids: Sequence[str], contents: Sequence[str], offsets: Sequence[int], lengths: Sequence[int]
    ) -> None:
        self.rows: npt.NDArray[np.void] = np.zeros(len(ids), _ROW)
        self.rows["id"] = [_hash(utterance_id) for utterance_id in ids]
        self.rows["content"] = [_hash(*both) for both in zip(ids, contents, strict=True)]
        self.rows["shard"] = number
        self.rows["offset"] = offsets
        self.rows["length"] = lengths


_ROW = np.dtype([("id", "u8"), ("content", "u8"), ("shard", "i4"), ("offset", "i8"), ("length", "i8")])


def _hash(*parts: str) -> np.uint64:
    joined = "\0".join(parts).encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "little"))
