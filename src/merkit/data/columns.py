"""Columns of texts that merkit makes for a corpus, kept beside its table: ``asr_text``, the output of a recogniser.

A column is a folder ``<data>/columns/<name>/`` with ``maker.json`` (name, fingerprint) and parts (see `Parts`), one row
per utterance: ``id``, ``input`` (hash of the recording and the times), ``text``, ``language``, ``left_out`` (passages
that were recognised and left out) and ``error`` (why it could not be read). The table itself and its hash stay as they
are, so that the runs that were trained on it stay those of this corpus, and a user's own table is never rewritten.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from merkit.core.errors import ManifestError, MediaError, MerkitError
from merkit.core.phrases import listed, number_of
from merkit.core.types import Utterance
from merkit.data.checksums import unseal
from merkit.data.media.audio import recording_hash
from merkit.data.parts import Parts, describe_store, is_fingerprint

FOLDER = "columns"
"""Below a corpus' folder."""
ASR_TEXT = "asr_text"
FORMAT = 1

_LOG = logging.getLogger(__name__)
_ABOUT = "maker.json"
_NAMED = 5
_STRINGS = [(name, pa.string()) for name in ("id", "input", "text", "language")]
_SCHEMA = pa.schema([*_STRINGS, ("left_out", pa.int64()), ("error", pa.string())])


@dataclass(frozen=True, slots=True)
class TextRow:
    """One utterance's text, with a hash of what it was made of."""

    id: str
    input: str | None
    """``None``: there was no such file."""
    text: str | None
    """``None``: there are no words."""
    language: str | None = None
    left_out: int = 0
    error: str | None = None


class TextColumn:
    """A stored column.

    Raises:
        MerkitError: There is none, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            about = unseal(folder / _ABOUT)
            number, self.maker, self.fingerprint = about["format"], str(about["maker"]), dict(about["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"'{folder / _ABOUT}' is damaged ({error}): remove '{folder}'") from error
        if number != FORMAT:
            raise ManifestError(f"'{folder}' has format {number}, this merkit reads {FORMAT}: remove it")
        self._parts = Parts(folder, "maker", self.fingerprint, _SCHEMA, lambda row: TextRow(**row))
        self.rows = {row.id: row for row in self._parts.rows}

    @classmethod
    def create(cls, folder: Path, maker: str, fingerprint: Mapping[str, Any]) -> "TextColumn":
        """Open a column, or begin a new one.

        Raises:
            MerkitError: The folder holds a column by another maker or with other settings.
        """
        describe_store(folder / _ABOUT, {"format": FORMAT, "maker": maker, "fingerprint": dict(fingerprint)})
        column = cls(folder)
        if not is_fingerprint(column.fingerprint, fingerprint):
            raise MerkitError(
                f"'{folder}' was made by '{column.maker}' or with other settings: remove that folder, or move it away"
            )
        column._parts.remove_damaged()
        return column

    def add(self, rows: Sequence[TextRow]) -> None:
        """Store rows in one part."""
        if rows:
            self._parts.add([asdict(row) for row in rows])
            self.rows |= {row.id: row for row in rows}


def stored_columns(data: Path) -> list[str]:
    """Return the names of the columns beside a corpus' table."""
    return sorted(path.parent.name for path in (data / FOLDER).glob(f"*/{_ABOUT}"))


def read_column(data: Path, name: str, utterances: Sequence[Utterance]) -> dict[str, str | None]:
    """Return the texts of a stored column by id; ``None`` where there are no words, or no readable sound.

    Utterances without readable sound are named in a warning.

    Raises:
        ManifestError: The column lacks utterances as they are now; counts and names them.
    """
    column = TextColumn(data / FOLDER / name)
    missing = [u.id for u in utterances if u.audio is not None and not is_current(column.rows.get(u.id), u, data)]
    if missing:
        raise ManifestError(
            f"{data}: column '{name}' lacks {len(missing)} of {len(utterances)} utterances as they are now: "
            f"{listed(missing, _NAMED)}. Run 'merkit transcribe {data}' again"
        )
    unread = [u.id for u in utterances if u.audio is not None and column.rows[u.id].error is not None]
    if unread:
        _LOG.warning(
            "%s: column '%s' has no text of %s whose sound could not be read: %s. Run 'merkit transcribe %s' again",
            *(data, name, number_of(len(unread), "utterance"), listed(unread, _NAMED), data),
        )
    return {u.id: None if u.audio is None else column.rows[u.id].text for u in utterances}


def is_current(row: TextRow | None, utterance: Utterance, data: Path) -> bool:
    """Return whether a row was made of an utterance's recording as it is now."""
    return row is not None and row.input == sound_hash(utterance, data)


def sound_hash(utterance: Utterance, data: Path) -> str | None:
    """Return a hash of an utterance's recording and times; ``None``: there is no such recording."""
    audio = utterance.audio
    if audio is None:
        return None
    try:
        read = (recording_hash(data / audio if isinstance(audio, str) else audio), utterance.start_s, utterance.end_s)
    except MediaError:
        return None
    return hashlib.blake2b(repr(read).encode(), digest_size=20).hexdigest()
