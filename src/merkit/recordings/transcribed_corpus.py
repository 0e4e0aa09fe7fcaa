"""The column ``asr_text`` of a corpus: the words that a recogniser hears in each utterance."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from merkit.core.errors import ManifestError, MediaError
from merkit.core.language import language_code
from merkit.core.progress import ProgressCallback
from merkit.core.types import Utterance
from merkit.data.columns import ASR_TEXT, FOLDER, TextColumn, TextRow, is_current, sound_hash
from merkit.data.corpus.manifest import read_manifest
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.recognise import check_language, recognised_text

_VERSION = 1
"""Raised when the same sound and recogniser give other words: what reaches the recogniser, and what is left out."""
_PART_ROWS = 100
_PART_S = 30.0
"""Utterances that are stored at a time, or after that many seconds: a killed command loses no more."""


@dataclass
class TranscribedCorpus:
    """Counts of utterances, and by id why others could not be read."""

    folder: Path
    new: int = 0
    old: int = 0
    absent: int = 0
    """Utterances without audio."""
    without_words: int = 0
    """Of all that are done, those in which no word was recognised."""
    left_out: int = 0
    """Passages of all that are done that were recognised and left out: loops, improbable words."""
    failed: dict[str, str] = field(default_factory=dict)


def transcribe_corpus(
    data: Path,
    engine: Engine,
    *,
    language: str | None = None,
    fail_fast: bool = False,
    progress: ProgressCallback | None = None,
) -> TranscribedCorpus:
    """Recognise the utterances of a corpus that its column ``asr_text`` lacks.

    An utterance is in the language that is given, or else in that of its column ``language``, or else in the one that
    is found in it. Utterances that cannot be read have no text; they are tried again by the next call.

    Raises:
        ManifestError: There is no corpus, or its table has such a column.
        MerkitError: The column was made by another recogniser, or the recogniser cannot be used; with ``fail_fast``
            also an unreadable recording.
    """
    manifest = read_manifest(data)
    if any(ASR_TEXT in utterance.attributes for utterance in manifest.utterances):
        raise ManifestError(f"{manifest.root}: the table has a column '{ASR_TEXT}' already: rename or remove it")
    language = None if language is None else check_language(engine, language)
    fingerprint = {"version": _VERSION, "recogniser": engine.identity(), "language": language}
    column = TextColumn.create(manifest.root / FOLDER / ASR_TEXT, engine.name, fingerprint)
    done = TranscribedCorpus(column.folder)
    waiting: list[TextRow] = []
    since = time.monotonic()
    try:
        for number, utterance in enumerate(manifest.utterances):
            if progress is not None:
                progress("recognition", number, len(manifest.utterances))
            known = column.rows.get(utterance.id)
            if utterance.audio is None:
                done.absent += 1
                continue
            if known is not None and known.error is None and is_current(known, utterance, manifest.root):
                done.old += 1
                _count(done, known)
                continue
            try:
                row = _recognised(engine, utterance, manifest.root, language)
                done.new += 1
                _count(done, row)
            except MediaError as error:
                if fail_fast:
                    raise
                done.failed[utterance.id] = str(error)
                row = TextRow(utterance.id, sound_hash(utterance, manifest.root), None, error=str(error))
            waiting.append(row)
            if len(waiting) >= _PART_ROWS or time.monotonic() - since > _PART_S:
                column.add(waiting)
                waiting, since = [], time.monotonic()
    finally:
        column.add(waiting)
    if progress is not None:
        progress("recognition", len(manifest.utterances), len(manifest.utterances))
    return done


def _recognised(engine: Engine, utterance: Utterance, root: Path, language: str | None) -> TextRow:
    own = language_code(utterance.language)
    spoken = language or (own if own in engine.languages else None)
    text, found, left_out = recognised_text(
        engine, root / str(utterance.audio), utterance.start_s, utterance.end_s, spoken
    )
    return TextRow(utterance.id, sound_hash(utterance, root), text, found, left_out)


def _count(done: TranscribedCorpus, row: TextRow) -> None:
    done.without_words += row.text is None
    done.left_out += row.left_out
