"""Extraction of features, in batches of bounded duration: resumable, with memory independent of the corpus' size.

Turns are read a window at a time. Within a window, batches are cut from *all* turns that have the modality, the longest
first; turns that the store has already are left out only then. A shard has whole batches. So an utterance has the same
batch mates whether or not extraction was interrupted, and its array is the same: a batch of another shape could change
the order of additions.
"""

import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice

import numpy as np

from merkit.core.encoder import Array, Encoder
from merkit.core.errors import MediaError, MerkitError
from merkit.core.progress import ProgressCallback
from merkit.core.types import Turn
from merkit.data.features.store import FeatureStore, MemoryStore

WINDOW = 1024
"""Turns that are sorted by duration together."""
SHARD_ROWS = 4096
SHARD_BYTES = 64 << 20
SHARD_S = 30.0
"""A shard is written when it has that many utterances or bytes, or after that many seconds."""

_Item = tuple[Turn, str]
"""A turn and the hash of its content."""


def extract_features(
    encoder: Encoder,
    turns: Iterable[Turn],
    store: FeatureStore | MemoryStore,
    *,
    batch_s: float = 60.0,
    progress: ProgressCallback | None = None,
    failures: dict[str, str] | None = None,
) -> int:
    """Extract and store what the store lacks; return the number of these utterances.

    ``turns`` is read once, lazily; those without the encoder's modality are skipped. A batch is ``batch_s`` seconds at
    most with padding (number times longest), except for a single longer turn. ``progress`` is called after each batch
    with the number of turns done and of all turns (0 where ``turns`` has no length).

    An error or Ctrl-C stores finished batches first; a kill loses at most the last 30 seconds and a batch. The same
    call resumes. With ``failures`` an utterance that cannot be extracted is recorded there by its id, with the reason,
    and the others go on; its batch is then extracted one by one.

    Raises:
        MerkitError: Without ``failures``: an input cannot be read, or its features are empty, NaN (unless the
            encoder ``may_be_undefined``) or infinite; names the utterance. An error of an encoder or a store is always
            raised.
    """
    total = len(turns) if isinstance(turns, Sized) else 0
    done = count = 0
    shard = _Shard(store)
    iterator = iter(turns)
    try:
        while window := list(islice(iterator, WINDOW)):
            batches = _batches(encoder, window, batch_s, failures)
            done += len(window) - sum(len(batch) for batch in batches)
            for batch in batches:
                lacking = shard.lacking(batch)
                if lacking:
                    taken, arrays = _extract_or_record(encoder, lacking, failures)
                    shard.take(taken, arrays)
                    count += len(taken)
                done += len(batch)
                if progress is not None:
                    progress(f"{encoder.modality} features", done, total)
            if progress is not None and not batches:
                progress(f"{encoder.modality} features", done, total)
    finally:
        shard.write()
    return count


class _Shard:
    """Finished batches that are not stored yet."""

    def __init__(self, store: FeatureStore | MemoryStore) -> None:
        self._store = store
        self._rows: dict[str, tuple[str, str, Array]] = {}
        self._bytes = 0
        self._since = time.monotonic()

    def lacking(self, batch: Sequence[_Item]) -> list[_Item]:
        lacking = set(self._store.missing({turn.utterance.id: content for turn, content in batch}))
        return [
            (turn, content)
            for turn, content in batch
            if turn.utterance.id in lacking and self._rows.get(turn.utterance.id, ("", ""))[1] != content
        ]

    def take(self, items: Sequence[_Item], arrays: Sequence[Array]) -> None:
        for (turn, content), array in zip(items, arrays, strict=True):
            self._rows[turn.utterance.id] = (turn.utterance.id, content, array)
            self._bytes += array.nbytes
        late = time.monotonic() - self._since > SHARD_S
        if late or len(self._rows) >= SHARD_ROWS or self._bytes >= SHARD_BYTES:
            self.write()

    def write(self) -> None:
        rows = list(self._rows.values())
        self._rows, self._bytes = {}, 0
        self._store.add(rows)
        self._since = time.monotonic()


def _batches(
    encoder: Encoder, window: Sequence[Turn], batch_s: float, failures: dict[str, str] | None
) -> list[list[_Item]]:
    contents: dict[str, tuple[float, _Item]] = {}
    for turn in window:
        try:
            content = encoder.content(turn)
            if content is not None:
                contents[turn.utterance.id] = (encoder.duration_s(turn), (turn, content))
        except MerkitError as error:  # its recording is missing or has no header
            if failures is None:
                raise
            failures[turn.utterance.id] = str(error)
    ordered = sorted(contents.values(), key=lambda entry: -entry[0])  # stable: equal ones keep their order
    return list(_cut(ordered, batch_s))


def _cut(ordered: Iterable[tuple[float, _Item]], batch_s: float) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    longest = 0.0
    for duration_s, item in ordered:
        if batch and (len(batch) + 1) * longest > batch_s:
            yield batch
            batch = []
        if not batch:
            longest = duration_s
        batch.append(item)
    if batch:
        yield batch


def _extract_or_record(
    encoder: Encoder, items: Sequence[_Item], failures: dict[str, str] | None
) -> tuple[list[_Item], list[Array]]:
    """Extract a batch; where an utterance of it fails and failures are recorded, extract the others one by one."""
    try:
        return list(items), _extract(encoder, [turn for turn, _ in items])
    except MerkitError:
        if failures is None:
            raise
    taken, arrays = [], []
    for item in items:
        try:
            arrays += _extract(encoder, [item[0]])
            taken.append(item)
        except MerkitError as error:
            if not is_about(error, item[0]):
                raise
            failures[item[0].utterance.id] = str(error)
    return taken, arrays


def is_about(error: MerkitError, turn: Turn) -> bool:
    """Return whether an error is one of this utterance's input, and not of an encoder or its installation."""
    return isinstance(error, MediaError) or f"'{turn.utterance.id}'" in str(error)


def _extract(encoder: Encoder, turns: Sequence[Turn]) -> list[Array]:
    arrays = encoder.extract(turns)
    for turn, array in zip(turns, arrays, strict=True):
        name = turn.utterance.id
        if len(array) == 0:
            raise MerkitError(f"Features of '{name}' are empty (shape {array.shape}). Is its recording too short?")
        if not np.issubdtype(array.dtype, np.floating):
            continue
        bad = np.isinf(array) if encoder.may_be_undefined else ~np.isfinite(array)
        if bad.any():
            what = "infinite" if encoder.may_be_undefined else "NaN or infinite"
            raise MerkitError(
                f"Features of '{name}' have {int(bad.sum())} {what} values of {array.size}. "
                "Is its recording damaged or silent? Check with `merkit doctor`, and leave it out or correct it"
            )
    return arrays
