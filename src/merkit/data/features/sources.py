"""Sources of a modality's feature arrays: a feature store, or the encoder itself."""

import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.abc import ExecutionLoader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import Array, Encoder
from merkit.core.errors import MerkitError
from merkit.core.progress import ProgressCallback
from merkit.core.source import code_hashes
from merkit.core.types import Turn
from merkit.data.features.extraction import extract_features
from merkit.data.features.store import FeatureStore, MemoryStore, fingerprint_hash


class SpeakerStatistics(NamedTuple):
    """What all arrays of one speaker come to."""

    mean: npt.NDArray[np.float32]
    """``[dim]``"""
    std: npt.NDArray[np.float32]
    """``[dim]``"""
    utterances: int
    """How many there are."""
    seconds: float
    """Their length together."""


class SpeakerMoments(NamedTuple):
    """Sums over all arrays of one speaker, from which the statistics follow; arrays are added one by one."""

    counts: npt.NDArray[np.float64]
    """Defined values, ``[dim]``."""
    sums: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    utterances: int
    seconds: float

    @property
    def statistics(self) -> SpeakerStatistics:
        """The statistics of all arrays."""
        count = np.maximum(self.counts, 1.0)
        mean = self.sums / count
        std = np.sqrt(np.maximum(self.squares / count - mean**2, 0.0))
        std = np.where(std < _SMALLEST_STD, 1.0, std)
        return SpeakerStatistics(mean.astype(np.float32), std.astype(np.float32), self.utterances, self.seconds)


HeldFeatures = dict[str, MemoryStore]
"""Arrays in memory by the encoder's fingerprint, which calls that share them fill."""
Features = Path | HeldFeatures
"""The folder of feature stores, or what is held in memory between calls."""

SpeakerKey = tuple[str, str]
"""A speaker's name, or the conversation where the speaker is unknown."""

_log = logging.getLogger(__name__)

CACHE_BYTES = 256 << 20
"""How much a source keeps in memory of the arrays that it has read."""
_SMALLEST_STD = 1e-5
"""A measure with a smaller standard deviation is constant for a speaker; dividing by it would amplify noise."""


class FeatureSource:
    """The arrays of one modality: read from a store, or extracted when they are needed (``store=None``).

    Arrays from a store are kept in memory up to ``cache_bytes``, so that a small corpus is read once and a large one
    does not fill the memory. ``statistics`` maps a speaker to the mean and standard deviation of all the speaker's
    arrays, for an encoder with ``normalize_by_speaker``.
    """

    def __init__(
        self,
        encoder: Encoder,
        store: FeatureStore | MemoryStore | None,
        statistics: Mapping[SpeakerKey, SpeakerStatistics] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.encoder = encoder
        self.speaker_statistics = statistics
        self._store = store
        self._kept: dict[str, Array | None] = {}
        self._room = 0 if store is None else cache_bytes

    def get(self, turn: Turn) -> Array | None:
        """Return the array ``[time, *dim]`` of a turn, or ``None`` where the turn lacks the modality."""
        array = self.extracted(turn)
        if array is None or self.speaker_statistics is None:
            return array
        own = self.speaker_statistics[speaker_key(turn)]
        return self.encoder.compared(array, own.mean, own.std, own.utterances)

    def extracted(self, turn: Turn) -> Array | None:
        """Return what ``get`` returns, not compared with the speaker."""
        name = turn.utterance.id
        if name in self._kept:
            return self._kept[name]
        array = self._read(turn)
        size = 0 if array is None else array.nbytes
        if size < self._room:
            self._room -= size
            self._kept[name] = array
        return array

    def _read(self, turn: Turn) -> Array | None:
        content = self.encoder.content(turn)
        if content is None:
            return None
        store = self._store
        return self.encoder.extract([turn])[0] if store is None else store.get(turn.utterance.id, content)

    def length(self, turn: Turn) -> int:
        """Return the length that batches are sorted by: frames of a stored array, else hundredths of a second."""
        if self.encoder.content(turn) is None:
            return 0
        if self._store is not None:
            return self._store.length(turn.utterance.id)
        return round(100 * self.encoder.duration_s(turn))


def speaker_statistics(
    arrays: Iterable[tuple[Turn, Array]], duration_s: Callable[[Turn], float]
) -> dict[SpeakerKey, SpeakerStatistics]:
    """Return mean and standard deviation ``[dim]`` over all frames of each speaker's arrays, which are read one by one.

    No label is read, but all of the speaker's recordings are: a test score is then that of a system that
    has access to the speaker's other recordings. Unknown speakers are one person within a conversation, and never
    across two. Undefined measures (NaN) do not count. ``duration_s`` gives the seconds of a turn.
    """
    return {speaker: own.statistics for speaker, own in speaker_moments(arrays, duration_s, {}).items()}


def speaker_moments(
    arrays: Iterable[tuple[Turn, Array]],
    duration_s: Callable[[Turn], float],
    before: Mapping[SpeakerKey, SpeakerMoments],
) -> dict[SpeakerKey, SpeakerMoments]:
    """Return the sums of `speaker_statistics`, added to those of arrays that were read before."""
    moments = dict(before)
    for turn, stored in arrays:
        array = stored.astype(np.float64)
        defined = np.isfinite(array)
        array = np.where(defined, array, 0.0)
        new = defined.sum(0).astype(np.float64), array.sum(0), (array**2).sum(0)
        speaker = speaker_key(turn)
        known = moments.get(speaker)
        if known is None:
            moments[speaker] = SpeakerMoments(*new, 1, duration_s(turn))
        else:
            counts, sums, squares = (a + b for a, b in zip(known[:3], new, strict=True))
            moments[speaker] = SpeakerMoments(
                counts, sums, squares, known.utterances + 1, known.seconds + duration_s(turn)
            )
    return moments


def stored_arrays(
    encoder: Encoder, store: FeatureStore | MemoryStore, turns: Iterable[Turn]
) -> Iterator[tuple[Turn, Array]]:
    """Yield the turns that have the encoder's modality, with their stored arrays."""
    for turn in turns:
        content = encoder.content(turn)
        if content is not None:
            yield turn, store.get(turn.utterance.id, content)


def extracted_arrays(encoder: Encoder, turns: Iterable[Turn]) -> Iterator[tuple[Turn, Array]]:
    """Yield the turns that have the encoder's modality, with their arrays, of which one is in memory at a time."""
    for turn in turns:
        if encoder.content(turn) is not None:
            yield turn, encoder.extract([turn])[0]


def open_store(encoder: Encoder, features: Path) -> FeatureStore:
    """Open or begin the store of this encoder's features, below the folder ``features``."""
    fingerprint = {**encoder.fingerprint(), **_plug_in_code(encoder)}
    return FeatureStore.open(features, fingerprint, str(fingerprint["encoder"]))


def _plug_in_code(encoder: Encoder) -> dict[str, Any]:
    """Return the hashes of the code of an encoder outside merkit: its version is not raised while it is written."""
    module = sys.modules[type(encoder).__module__]
    loader = getattr(module.__spec__, "loader", None)
    if module.__name__.startswith("merkit.") or not isinstance(loader, ExecutionLoader):
        return {}
    file, content = loader.get_filename(module.__name__), loader.get_source(module.__name__) or ""
    return {"code": code_hashes({Path(file): content.encode()})}


def announce_size(encoder: Encoder, turns: Sequence[Turn], store: FeatureStore) -> None:
    """Log the disk space of the features yet to be extracted, for encoders whose features take much.

    Raises:
        MerkitError: The disk has less space left.
    """
    sizes: dict[str, int] = {}
    contents: dict[str, str | None] = {}
    for turn in turns:
        with suppress(MerkitError):  # what cannot be read is an error of the extraction
            sizes[turn.utterance.id] = encoder.stored_bytes(turn)
            contents[turn.utterance.id] = encoder.content(turn)
    if not any(sizes.values()):
        return
    lacking = store.missing({name: content for name, content in contents.items() if content is not None})
    size, free = sum(sizes[name] for name in lacking), shutil.disk_usage(store.folder).free
    if size > free:
        raise MerkitError(
            f"'{store.folder}' will take {size / 1e9:.3f} GB for {len(lacking)} utterances, the disk has "
            f"{free / 1e9:.3f} GB left: make room, give another folder with --features, or do not store it"
        )
    if lacking:
        _log.info("%s: %d utterances will take %.3f GB", store.folder, len(lacking), size / 1e9)


def open_sources(
    encoders: Mapping[str, Encoder],
    turns: Sequence[Turn],
    features: Features | None,
    progress: ProgressCallback | None = None,
    statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]] | None = None,
    failures: dict[str, str] | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> dict[str, FeatureSource]:
    """Return a source for each modality; features that are not stored yet are extracted first.

    Args:
        encoders: By modality.
        turns: All turns that the sources will be asked for.
        features: Folder of the stores; ``None``: all features are held in memory and no file is written, as with a
            mapping, which keeps them for the next call.
        progress: Called with the progress of the extraction.
        statistics: Speaker statistics by modality, for encoders with ``normalize_by_speaker``; ``None``: those of
            ``turns``.
        failures: As in `extract_features`.
        cache_bytes: Bytes of arrays that each source keeps in memory; 0 where each array is read once.
    """
    sources = {}
    for modality, encoder in encoders.items():
        if not encoder.stored:
            sources[modality] = FeatureSource(encoder, None)
            continue
        store: FeatureStore | MemoryStore
        if features is None:
            store = MemoryStore()
        elif isinstance(features, dict):
            store = features.setdefault(fingerprint_hash(encoder.fingerprint()), MemoryStore())
        else:
            store = open_store(encoder, features)
            announce_size(encoder, turns, store)
        extract_features(encoder, turns, store, progress=progress, failures=failures)
        turns = [turn for turn in turns if turn.utterance.id not in failures] if failures else turns
        own: Mapping[SpeakerKey, SpeakerStatistics] | None = None
        if encoder.normalize_by_speaker:
            own = (
                speaker_statistics(stored_arrays(encoder, store, turns), encoder.duration_s)
                if statistics is None
                else statistics[modality]
            )
        sources[modality] = FeatureSource(encoder, store, own, cache_bytes)
    return sources


def speaker_key(turn: Turn) -> SpeakerKey:
    """Return whom an utterance is compared with: its speaker, or its conversation where the speaker is unknown."""
    utterance = turn.utterance
    return (utterance.speaker, "" if utterance.speaker else utterance.conversation)
