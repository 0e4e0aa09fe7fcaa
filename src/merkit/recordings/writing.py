"""The files of an analysis: JSON, which records what it was made of, and the others beside it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from merkit import __version__
from merkit.data.files import file_hash
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.io.outputs import FileIds, Outputs
from merkit.timeline.analysis import Analysis
from merkit.timeline.document import VERSION
from merkit.timeline.formats import DEFAULT, ENDINGS, HTML, JSON, TEXTS
from merkit.timeline.page import timeline_page
from merkit.timeline.sound import Audio


def outputs_of(out: Path, name: Path, formats: Sequence[str] = DEFAULT) -> Outputs:
    """Return the files of an analysis below the folder of all analyses; ``name`` has no ending."""
    others = (ENDINGS.get(each, each) for each in formats if each != JSON)
    return Outputs(
        out / f"{name}.{JSON}",
        tuple(out / f"{name}.{ending}" for ending in others),
        ((out / f"{name}.transcript.json", "merkit transcribe"), (out / f"{name}.csv.json", "merkit predict")),
    )


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
        "layout": VERSION,
    }


def write_analysis(
    analysis: Analysis,
    outputs: Outputs,
    made_of: Mapping[str, Any],
    inputs: FileIds = (),
    audio: Audio = "link",
    truth: Sequence[str] = (),
) -> None:
    """Write the files of an analysis, each in the format that its ending says.

    ``audio`` and ``truth`` are those of `timeline_page`.

    Raises:
        MerkitError: As `Outputs.write`.
    """
    writers = {path: partial(_write, analysis, path.suffix[1:].lower(), audio, truth) for path in outputs.files}
    outputs.write(analysis.to_dict(), made_of, writers, inputs)


def _write(analysis: Analysis, name: str, audio: Audio, truth: Sequence[str], path: Path) -> None:
    text = timeline_page(analysis, path.parent, audio, truth) if name == HTML else TEXTS[name](analysis)
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)
