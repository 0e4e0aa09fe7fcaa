"""Predict a whole corpus into one file, chunk by chunk, so that a killed prediction can be resumed."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.progress import ProgressCallback
from merkit.core.types import Turn
from merkit.data.corpus.manifest import Manifest
from merkit.data.corpus.text_column import with_text_column
from merkit.data.files import atomic_path, file_hash, write_texts
from merkit.data.segments import segments_content
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import predictions_table, write_table

ENDINGS = (".parquet", ".csv", ".jsonl")


def predict_corpus(
    checkpoint: Path,
    manifest: Manifest,
    out: Path,
    *,
    features: Path | None = None,
    text_column: str | None = None,
    batch_size: int = 32,
    progress: ProgressCallback | None = None,
) -> int:
    """Write a prediction for every utterance of a manifest to ``out``; return how many.

    ``text_column`` is read in place of the transcript. A stopped prediction is resumed: finished chunks are kept in
    ``<out>.parts`` and used again if the checkpoint, the utterances and their content are the same.

    Raises:
        MerkitError: The file ending is unknown, the text column is missing or not read by the model, or the checkpoint
            or a recording cannot be read.
    """
    if out.suffix not in ENDINGS:
        raise MerkitError(f"Cannot write predictions as '{out.name}': the ending must be one of {', '.join(ENDINGS)}.")
    manifest = manifest if text_column is None else with_text_column(manifest, text_column)
    recognizer = Recognizer.load(checkpoint, manifest.root)
    if text_column is not None and "text" not in recognizer.reads:
        reads = " and ".join(sorted(recognizer.reads)) or "nothing"
        raise ConfigError(f"--text-column {text_column}: '{checkpoint}' reads {reads}, no text; leave the option out")
    finished = _open_parts(out.with_name(out.name + ".parts"), checkpoint, manifest)
    turns = list(manifest.turns(None, *recognizer.reach))
    store = manifest.root / "features" if features is None else features
    statistics = recognizer.speaker_statistics(turns, store, progress)
    chunks = recognizer.chunks(turns, manifest.by_id)
    written = []
    for number, chunk in enumerate(chunks):
        part = finished / f"part-{number:05d}-{_content(recognizer, chunk)}.parquet"
        written.append(part)
        if not part.exists():
            predictions = recognizer.predict_chunk(chunk, statistics, store, batch_size, progress=progress)
            write_table(part, predictions_table(predictions, recognizer.labels))
        if progress is not None:
            progress("predictions", number + 1, len(chunks))
    table = pa.concat_tables([pq.read_table(part) for part in written])
    _write(out, table)
    shutil.rmtree(finished)
    return int(table.num_rows)


def _content(recognizer: Recognizer, chunk: Sequence[Sequence[Turn]]) -> str:
    """Return a hash of all input that the encoders read of these utterances, which may change between two calls."""
    digest = hashlib.sha256()
    segments = recognizer.segments([turn for item in chunk for turn in item])
    for turn in (turn for item in chunk for turn in item):
        contents = [encoder.content(turn) for encoder in recognizer.encoders.values()]
        digest.update(repr((turn.utterance.id, contents)).encode())
        if segments:
            digest.update(repr(segments_content(segments, turn.utterance.id)).encode())
    return digest.hexdigest()[:12]


def _open_parts(folder: Path, checkpoint: Path, manifest: Manifest) -> Path:
    """Make the folder of finished chunks; empty it unless they are of this checkpoint and these utterances."""
    key = hashlib.sha256()
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        key.update(f"{path.relative_to(checkpoint)} {file_hash(path)}\n".encode())
    key.update(manifest.sha256.encode())
    note = folder / "key.json"
    if not note.exists() or json.loads(note.read_text())["key"] != key.hexdigest():
        shutil.rmtree(folder, ignore_errors=True)
        write_texts({note: json.dumps({"key": key.hexdigest()})})
    return folder


def _write(out: Path, table: pa.Table) -> None:
    if out.suffix == ".parquet":
        write_table(out, table)
        return
    with atomic_path(out) as temporary:
        if out.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()))
