"""Rows about a corpus' utterances that take hours to make: kept in parts, so that a killed command loses little.

A store is a folder with a sealed description of what made its rows (name, fingerprint) and parts
``part-<number>-<hash>.parquet``. Parts are written atomically; where an id was stored twice, the later part counts. The
hash is that of the part's content: a damaged part is named and left out, and the command that made it replaces it.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from merkit.core.errors import MerkitError
from merkit.data.checksums import read_stamped, seal, unseal, write_stamped
from merkit.data.files import remove, write_texts

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Parts(Generic[T]):
    """The parts of a store.

    Args:
        folder: The store's folder.
        maker: What makes rows, such as ``aligner``; the fingerprint's key in a part's metadata.
        fingerprint: That of the maker; parts of another one are left out.
        schema: Of the parts.
        parse: Returns a row of what a part holds of it.

    Raises:
        MerkitError: A part cannot be read now.
    """

    def __init__(
        self,
        folder: Path,
        maker: str,
        fingerprint: Mapping[str, Any],
        schema: pa.Schema,
        parse: Callable[[Mapping[str, Any]], T],
    ) -> None:
        canonical = json.dumps(fingerprint, sort_keys=True)
        self._digest = hashlib.blake2b(canonical.encode(), digest_size=20).hexdigest().encode()
        self._folder, self._fact, self._schema = folder, maker.encode(), schema
        self._count = 0
        self._damaged: list[Path] = []
        self.rows: list[T] = []
        for path in sorted(folder.glob("part-*.parquet")):
            self._count += 1
            try:
                table = pq.read_table(pa.BufferReader(read_stamped(path)))
                if (table.schema.metadata or {}).get(self._fact, self._digest) != self._digest:
                    _LOG.warning("'%s' was made by another %s and is left out. Remove it", path, maker)
                    continue
                self.rows += [parse(row) for row in table.to_pylist()]
            except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
                _LOG.warning("'%s' is damaged (%s) and left out", path, error)
                self._damaged.append(path)
            except OSError as error:
                raise MerkitError(f"'{path}' cannot be read ({error}). Repeat the command") from error

    def add(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Store rows, as the schema has them, in one part."""
        self._count += 1
        table = pa.Table.from_pylist(list(values), schema=self._schema)
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({self._fact: self._digest}), sink)
        write_stamped(self._folder, f"part-{self._count:05d}", sink.getvalue().to_pybytes(), ".parquet")

    def remove_damaged(self) -> None:
        """Remove the parts that were left out as damaged, before their rows are made again."""
        for path in self._damaged:
            remove(path)


def describe_store(path: Path, values: Mapping[str, Any]) -> None:
    """Write the description of a store, unless it has one.

    Raises:
        MerkitError: It cannot be written.
    """
    try:
        unseal(path)
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            _LOG.warning("'%s' is damaged (%s): it is written anew", path, error)
        write_texts({path: seal(values)})


def is_fingerprint(stored: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> bool:
    """Return whether a fingerprint is the stored one, as JSON writes it."""
    return bool(stored == json.loads(json.dumps(dict(fingerprint))))
