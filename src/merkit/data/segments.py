"""Stored alignments, identified by the content they were made of, as features are.

An alignment is a folder ``<data>/segments/<name>/`` with ``aligner.json`` (fingerprint, settings) and parts (see
`Parts`), one row per utterance: ``id``, ``input`` (hash of recording and words), ``content`` (of what else the aligner
read), ``tiers`` (names) and ``spans`` (tier, label, start and end in seconds). No tiers: the utterance could not be
aligned, and the user chose to read such utterances frame by frame.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from merkit.core.alignment import TIERS, Alignment, Interval, SegmentRequest, TierName
from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.core.phrases import listed
from merkit.core.types import Turn
from merkit.data.checksums import unseal
from merkit.data.dataset import SegmentTier
from merkit.data.media.audio import recording_hash
from merkit.data.parts import Parts, describe_store, is_fingerprint

FOLDER = "segments"
"""Below a corpus' folder."""
FORMAT = 1

_ABOUT = "aligner.json"
_NAMED = 5
_SPANS = pa.list_(
    pa.struct([("tier", pa.string()), ("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
)
_STRINGS = [(name, pa.string()) for name in ("id", "input", "content")]
_SCHEMA = pa.schema([*_STRINGS, ("tiers", pa.list_(pa.string())), ("spans", _SPANS)])


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance's alignment, with hashes of what it was made of."""

    id: str
    input: str
    content: str
    tiers: Alignment


class Alignments:
    """Alignments of utterances, in memory."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def get(self, name: str) -> Row | None:
        """Return an utterance's row, or ``None`` where it has none."""
        return self._rows.get(name)

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows; an id's earlier row is replaced."""
        self._rows |= {row.id: row for row in rows}

    def times(self, tiers: Iterable[TierName]) -> dict[str, SegmentTier]:
        """Return by tier the function from an utterance's id to the times of its segments."""
        return {tier: partial(_times, self._rows, tier) for tier in tiers}


class AlignmentStore(Alignments):
    """One alignment of a corpus."""

    def __init__(self, folder: Path) -> None:
        """Open a stored alignment.

        Raises:
            MerkitError: There is none, or it is damaged.
        """
        super().__init__()
        self.folder = folder
        about = _read_about(folder)
        self.aligner = str(about["aligner"])
        self.fingerprint: Mapping[str, Any] = about["fingerprint"]
        self._parts = Parts(folder, "aligner", self.fingerprint, _SCHEMA, _row)
        super().add(self._parts.rows)

    @classmethod
    def create(cls, folder: Path, aligner: str, fingerprint: Mapping[str, Any]) -> "AlignmentStore":
        """Open an alignment, or begin a new one.

        Raises:
            MerkitError: The folder holds an alignment by another aligner or other settings.
        """
        about = {"format": FORMAT, "aligner": aligner, "fingerprint": dict(fingerprint)}
        describe_store(folder / _ABOUT, about)
        store = cls(folder)
        if not is_fingerprint(store.fingerprint, fingerprint):
            raise MerkitError(
                f"'{folder}' was made by another aligner or with other settings. Give this one a name of its own with "
                "--name, or remove the folder"
            )
        store._parts.remove_damaged()
        return store

    def add(self, rows: Sequence[Row]) -> None:
        """Store rows in one part."""
        if rows:
            self._parts.add([_values(row) for row in rows])
            super().add(rows)


def input_hash(turn: Turn) -> str | None:
    """Return a hash of an utterance's recording and words, or ``None`` where it lacks one of them.

    Raises:
        MerkitError: The recording is missing.
    """
    recording, utterance = turn.recording, turn.utterance
    if recording is None or utterance.text is None:
        return None
    read = (recording_hash(recording), utterance.start_s, utterance.end_s, utterance.text)
    return hashlib.blake2b(repr(read).encode(), digest_size=20).hexdigest()


def open_segments(request: SegmentRequest | None, turns: Iterable[Turn], data: Path) -> dict[str, SegmentTier]:
    """Return the times of each requested tier, from the alignment beside a corpus.

    Utterances without audio or words have no segments. All others must be stored with their present content.

    Args:
        request: What the model reads.
        turns: All utterances of the batches.
        data: The corpus' folder.

    Raises:
        MerkitError: There is no such alignment, or it lacks a tier or utterances; counts and names them.
    """
    if request is None:
        return {}
    folder = data / FOLDER / request.alignment
    store = AlignmentStore(folder)
    inputs = {turn.utterance.id: input_hash(turn) for turn in turns}
    wanted = {name: read for name, read in inputs.items() if read is not None}
    current = {name: row for name, read in wanted.items() if (row := store.get(name)) and row.input == read}
    missing = [name for name in wanted if name not in current]
    if missing:
        raise MerkitError(
            f"'{folder}' lacks {len(missing)} of {len(wanted)} utterances as they are now: {listed(missing, _NAMED)}. "
            f"Run 'merkit align {data} --with {store.aligner} --name {folder.name}' again; with --unaligned frame, "
            "what cannot be aligned is read frame by frame"
        )
    for tier in request.tiers:
        without = [name for name, row in current.items() if row.tiers and tier not in row.tiers]
        if without:
            known = {name for row in current.values() for name in row.tiers}
            raise MerkitError(
                f"'{folder}' has no {tier}s of {len(without)} utterances, '{without[0]}' first; its tiers are "
                f"{', '.join(name for name in TIERS if name in known)}. Choose config.granularities or another "
                "config.alignment"
            )
    return {tier: partial(_times, current, tier) for tier in request.tiers}


def describe_alignment(request: SegmentRequest, data: Path) -> Mapping[str, Any]:
    """Return what a checkpoint records of its alignment: the name, and the aligner's fingerprint."""
    return {"name": request.alignment, "aligner": AlignmentStore(data / FOLDER / request.alignment).fingerprint}


def segments_content(tiers: Mapping[str, SegmentTier], name: str) -> list[Any]:
    """Return the times of an utterance's segments by tier, as values to be hashed."""
    arrays = {tier: times(name) for tier, times in tiers.items()}
    return [(tier, None if array is None else array.tolist()) for tier, array in arrays.items()]


def _times(rows: Mapping[str, Row], tier: TierName, name: str) -> Array | None:
    intervals = rows[name].tiers.get(tier, ()) if name in rows else ()
    return np.array([(each.start_s, each.end_s) for each in intervals]) if intervals else None


def _row(values: Mapping[str, Any]) -> Row:
    return Row(values["id"], values["input"], values["content"], _alignment(values))


def _values(row: Row) -> dict[str, Any]:
    spans = [{"tier": tier, **asdict(each)} for tier, intervals in row.tiers.items() for each in intervals]
    return {"id": row.id, "input": row.input, "content": row.content, "tiers": list(row.tiers), "spans": spans}


def _alignment(row: Mapping[str, Any]) -> Alignment:
    return {
        tier: tuple(Interval(s["label"], s["start_s"], s["end_s"]) for s in row["spans"] if s["tier"] == tier)
        for tier in row["tiers"]
    }


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / _ABOUT
    command = f"merkit align {folder.parent.parent} --with ALIGNER --name {folder.name}"
    try:
        about = unseal(path)
        number, _ = about["format"], (about["aligner"], dict(about["fingerprint"]))
    except FileNotFoundError:
        raise MerkitError(
            f"No alignment '{folder.name}' in '{folder.parent}': make it with '{command}', or name another with "
            "config.alignment"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MerkitError(f"'{path}' is damaged ({error}). Repair it with '{command}'") from error
    if number != FORMAT:
        raise MerkitError(
            f"'{path}' has format {number}, this merkit reads {FORMAT}. Remove its folder and align again"
        )
    return about
