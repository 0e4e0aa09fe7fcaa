"""Aligning the utterances of a corpus or of a recording, into a store."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from merkit.core.alignment import Aligner
from merkit.core.errors import MediaError, UnalignableError
from merkit.core.phrases import listed
from merkit.core.progress import ProgressCallback
from merkit.core.types import Turn
from merkit.data.segments import Alignments, Row, input_hash

_PART_ROWS = 100
_PART_S = 30.0
"""Utterances that are stored at a time, or after that many seconds: a killed alignment loses no more."""
_NAMED = 5


@dataclass(frozen=True)
class Aligned:
    """What `align` did: counts of utterances, and by id why the others could not be aligned."""

    new: int
    old: int
    absent: int
    """Utterances that lack sound or words."""
    failed: Mapping[str, str]
    unreadable: Mapping[str, str]
    """By id, why an utterance's input cannot be read."""

    @property
    def failures(self) -> str | None:
        """A sentence that counts and names the utterances that could not be aligned; ``None``: all were."""
        total = self.new + self.old + len(self.failed)
        return describe_failures(self.failed, total) if self.failed else None


def align(
    aligner: Aligner,
    turns: Sequence[Turn],
    store: Alignments,
    *,
    unaligned_as_frames: bool = False,
    unreadable: dict[str, str] | None = None,
    progress: ProgressCallback | None = None,
) -> Aligned:
    """Align the utterances that the store lacks; those that cannot be aligned are named.

    With ``unaligned_as_frames`` these are also stored, without tiers. With ``unreadable`` an utterance whose recording
    cannot be read is recorded there by its id, with the reason, and the others go on.

    Raises:
        MerkitError: Without ``unreadable``: a recording cannot be read. A file of the aligner cannot be read.
    """
    waiting: list[Row] = []
    since = time.monotonic()
    failed: dict[str, str] = {}
    new = old = absent = 0
    try:
        for number, turn in enumerate(turns):
            name = turn.utterance.id
            try:
                read = input_hash(turn)
                if read is None:
                    absent += 1
                elif _is_known(store.get(name), read, content := aligner.content(turn), unaligned_as_frames):
                    old += 1
                else:
                    try:
                        waiting.append(Row(name, read, content, aligner.align(turn)))
                        new += 1
                    except UnalignableError as error:
                        failed[name] = str(error)
                        if unaligned_as_frames:
                            waiting.append(Row(name, read, content, {}))
            except MediaError as error:
                if unreadable is None:
                    raise
                unreadable[name] = str(error)
            if len(waiting) >= _PART_ROWS or time.monotonic() - since > _PART_S:
                store.add(waiting)
                waiting, since = [], time.monotonic()
            if progress is not None:
                progress("alignment", number + 1, len(turns))
    finally:
        store.add(waiting)
    return Aligned(new, old, absent, failed, unreadable or {})


def _is_known(row: Row | None, read: str, content: str, without_tiers: bool) -> bool:
    return row is not None and (row.input, row.content) == (read, content) and (bool(row.tiers) or without_tiers)


def describe_failures(failed: Mapping[str, str], total: int) -> str:
    """Return a sentence that counts and names the utterances that could not be aligned."""
    named = [f"'{name}': {why}" for name, why in failed.items()]
    return f"{len(failed)} of {total} utterances cannot be aligned: {listed(named, _NAMED, '; ')}"
