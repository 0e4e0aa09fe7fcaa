"""Predict a whole corpus into one file, chunk by chunk, so that a killed prediction can be resumed.

Beside the file lies its record, ``<out>.json``: what it was made of, and the utterances that failed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from merkit import __version__
from merkit.core.encoder import describe_unread
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.progress import ProgressCallback
from merkit.core.types import Turn
from merkit.data.corpus.manifest import Manifest
from merkit.data.corpus.tables import SUFFIXES
from merkit.data.corpus.text_column import with_text_column
from merkit.data.segments import segments_content
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.inference.joined import load_predictor
from merkit.inference.parts import begin_parts, locked_parts, remove_parts
from merkit.inference.predictor import ChunkOptions, Predictor
from merkit.io.decision_rule import DEFAULT_DECISION, DecisionOptions
from merkit.io.outputs import Outputs, content_of, file_ids
from merkit.io.predictions import predictions_table, with_joined_labels, write_table

_FAILURES = "failures"


@dataclass(frozen=True)
class Predicted:
    """What a prediction came to."""

    count: int
    """Utterances with a prediction."""
    old: int
    """Those of them that were predicted before."""
    failures: Mapping[str, str]
    """By id, why an utterance has none."""
    without_label: int = 0
    """Predictions that give no label, with the reason in their row."""
    note: str | None = None
    """On texts that are longer than is read."""


def predict_corpus(
    checkpoint: Path,
    manifest: Manifest,
    out: Path,
    *,
    features: Path | None = None,
    text_column: str | None = None,
    batch_size: int = 32,
    fail_fast: bool = False,
    options: DecisionOptions = DEFAULT_DECISION,
    name: str | None = None,
    progress: ProgressCallback | None = None,
) -> Predicted:
    """Write a prediction for every utterance of a manifest to ``out``, and a record beside it.

    An utterance whose input cannot be read has no row; the record names it. In a model of conversations the others of
    its conversation have none either. A stopped prediction is resumed: finished chunks are kept in ``<out>.parts`` and
    used again if the checkpoint, the utterances and their content are the same. If ``out`` is of the same, nothing is
    done.

    Args:
        checkpoint: Its folder.
        manifest: The corpus.
        out: The file to write; its ending names the format.
        features: Folder of the feature stores; ``None``: ``features`` beside the manifest.
        text_column: What is read in place of the transcript.
        batch_size: Items a batch; changes no prediction.
        fail_fast: Raise the error of the first utterance that cannot be read.
        options: What a user chose in place of the checkpoint's decision rule.
        name: What errors about the options call the checkpoint; ``None``: the folder.
        progress: Called with the progress of extraction and prediction.

    Raises:
        MerkitError: The ending of ``out`` is unknown, it is a file that merkit did not write, or another process
            predicts into it; the text column is missing or not read by the model; the checkpoint cannot be read.
    """
    with locked_parts(out) as parts:
        outputs = Outputs(out.with_name(f"{out.name}.json"), (out,))
        inputs = file_ids(
            manifest.root / name for name in ("corpus.json", *(f"utterances{suffix}" for suffix in SUFFIXES))
        )
        manifest = manifest if text_column is None else with_text_column(manifest, text_column)
        recognizer = load_predictor(checkpoint, manifest.root, options=options, name=name)
        decisions = recognizer.decisions
        if text_column is not None and "text" not in recognizer.reads:
            reads = " and ".join(sorted(recognizer.reads)) or "nothing"
            raise ConfigError(
                f"--text-column {text_column}: '{checkpoint}' reads {reads}, no text; leave the option out"
            )
        outputs.check(inputs)
        turns = list(manifest.turns(None, *recognizer.reach))
        chunks = recognizer.chunks(turns, manifest.by_id)
        contents = [_content(recognizer, chunk, fail_fast=fail_fast) for chunk in chunks]
        key: dict[str, Any] = {
            "checkpoint": checkpoint_hash(checkpoint),
            "manifest": manifest.sha256,
            "version": __version__,
            **({"options": options.given} if options.given else {}),
        }
        made_of = {**key, "contents": hashlib.sha256(repr(contents).encode()).hexdigest()}
        note = describe_unread(recognizer.encoders.values(), turns)
        if outputs.made_of() == made_of:
            remove_parts(parts)
            known = content_of(outputs.record)
            count = known["predictions"]
            return Predicted(count, count, known[_FAILURES], known.get("without_label", 0), note)
        # a speaker's average is over all utterances, so that a part depends on what the others read
        parts_key = made_of if recognizer.compares_speakers else key
        begin_parts(parts, hashlib.sha256(json.dumps(parts_key).encode()).hexdigest())
        store = manifest.root / "features" if features is None else features
        statistics = recognizer.speaker_statistics(turns, store, progress, None if fail_fast else {})
        tables = []
        old = 0
        for number, (chunk, content) in enumerate(zip(chunks, contents, strict=True)):
            part = parts / f"part-{number:05d}-{content}.parquet"
            table = _read_part(part)
            if table is None:
                own: dict[str, str] | None = None if fail_fast else {}
                how = ChunkOptions(statistics, store, batch_size=batch_size, progress=progress, failures=own)
                predictions = recognizer.predict_chunk(chunk, how)
                metadata = {_FAILURES: json.dumps(own or {})}
                table = predictions_table(predictions, decisions.labels, decisions.rule, recognizer.multi_label)
                table = table.replace_schema_metadata(metadata)
                write_table(part, table)
            else:
                old += table.num_rows
            tables.append(table)
            if progress is not None:
                progress("predictions", number + 1, len(chunks))
        why = {name: reason for table in tables for name, reason in _failures(table).items()}
        failed = {turn.utterance.id: why[turn.utterance.id] for turn in turns if turn.utterance.id in why}
        whole = pa.concat_tables([table.replace_schema_metadata(None) for table in tables], promote_options="default")
        without_label = whole.column("label").null_count
        if whole.num_rows or not failed:
            facts: dict[str, Any] = {
                "notes": [] if note is None else [note],
                "predictions": whole.num_rows,
                "utterances": len(turns),
                **({} if decisions.always_labels and not without_label else {"without_label": without_label}),
                "complete": not failed,
                _FAILURES: failed,
            }
            outputs.write(facts, made_of, {out: lambda path: _write(path, whole)}, inputs)
        remove_parts(parts)
        return Predicted(whole.num_rows, old, failed, without_label, note)


def _content(recognizer: Predictor, chunk: Sequence[Sequence[Turn]], *, fail_fast: bool) -> str:
    """Return a hash of all input that the encoders read of these utterances, which may change between two calls."""
    digest = hashlib.sha256()
    readable = []
    for turn in (turn for item in chunk for turn in item):
        contents: Any
        try:
            contents = [encoder.content(turn) for encoder in recognizer.encoders.values()]
            readable.append(turn)
        except MerkitError as error:
            if fail_fast:
                raise
            contents = str(error)
        digest.update(repr((turn.utterance.id, contents)).encode())
    segments = recognizer.segments(readable)
    if segments:
        for turn in readable:
            digest.update(repr(segments_content(segments, turn.utterance.id)).encode())
    return digest.hexdigest()[:12]


def _read_part(path: Path) -> pa.Table | None:
    """Return a finished part; ``None``: there is none, or it is damaged and made again."""
    try:
        table = pq.read_table(path, memory_map=False)
    except (pa.ArrowException, OSError):
        return None
    return table if _FAILURES.encode() in (table.schema.metadata or {}) else None


def _failures(part: pa.Table) -> dict[str, str]:
    failures: dict[str, str] = json.loads(part.schema.metadata[_FAILURES.encode()])
    return failures


def _write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(with_joined_labels(table), path)
    else:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
