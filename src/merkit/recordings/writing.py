"""The files of an analysis: JSON, which records what it was made of, and a table in CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merkit import __version__
from merkit.data.files import file_hash
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.io.outputs import FileIds, Outputs
from merkit.io.predictions import LABEL_SEPARATOR, PROBABILITY
from merkit.recordings.analysis import Analysis, prediction_row


def outputs_of(out: Path, name: Path) -> Outputs:
    """Return the files of an analysis below the folder of all analyses; ``name`` has no ending."""
    return Outputs(out / f"{name}.json", (out / f"{name}.csv",))


def made_of(
    recording: Path, transcript: Path | None, checkpoint: Path, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return all that decides an analysis, files by their content.

    Raises:
        MerkitError: A file is missing or cannot be read.
    """
    return {
        "recording": file_hash(recording),
        "transcript": None if transcript is None else file_hash(transcript),
        "checkpoint": checkpoint_hash(checkpoint),
        "options": dict(options),
        "version": __version__,
    }


def write_analysis(analysis: Analysis, outputs: Outputs, made_of: Mapping[str, Any], inputs: FileIds = ()) -> None:
    """Write the JSON and the table of an analysis.

    Raises:
        MerkitError: As `Outputs.write`.
    """
    (table,) = outputs.files
    outputs.write(analysis.to_dict(), made_of, {table: lambda path: _write_table(analysis, path)}, inputs)


def _write_table(analysis: Analysis, path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        numeric = ["confidence", *(["arousal"] if analysis.has_arousal else [])]
        several = ["labels"] if analysis.multi_label else []
        head = ["start_s", "end_s", "speaker", "label", *several, *numeric]
        writer.writerow([*head, *analysis.labels, "modalities", "text", "reason"])
        for segment in analysis.segments:
            row = prediction_row(segment.prediction, analysis.labels, analysis.has_arousal)
            numbers = [row[name] for name in (*numeric, *(PROBABILITY + label for label in analysis.labels))]
            writer.writerow(
                [
                    f"{segment.start_s:.3f}",
                    f"{segment.end_s:.3f}",
                    segment.speaker,
                    segment.label or "",
                    *(LABEL_SEPARATOR.join(segment.labels) for _ in several),
                    *("" if value is None else f"{value:.4f}" for value in numbers),
                    " ".join(segment.modalities),
                    segment.text or "",
                    segment.reason or "",
                ]
            )
