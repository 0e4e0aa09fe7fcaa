"""From a recording, with or without its transcript, to labelled utterances."""

import csv
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.core.types import Prediction, Utterance
from merkit.data.corpus.manifest import SCHEMA, CorpusInfo, Manifest, content_hash, count
from merkit.data.files import atomic_path
from merkit.data.media.audio import probe
from merkit.inference.recognizer import Recognizer
from merkit.recordings.alignment import align_recording
from merkit.recordings.transcripts import Line, read_transcript


@dataclass(frozen=True)
class Segment:
    """One utterance of a recording and what was recognised in it."""

    start_s: float
    end_s: float
    speaker: str
    text: str | None
    prediction: Prediction


@dataclass(frozen=True)
class Analysis:
    """A recording's utterances in order, with what a reader must know about them."""

    recording: Path
    duration_s: float
    checkpoint: str
    labels: tuple[str, ...]
    segments: Sequence[Segment]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return the analysis as JSON values."""
        segments = []
        for segment in self.segments:
            values = asdict(segment)
            prediction = values.pop("prediction")
            del prediction["id"]
            segments.append({**values, **prediction})
        return {
            "recording": str(self.recording),
            "duration_s": self.duration_s,
            "checkpoint": self.checkpoint,
            "labels": list(self.labels),
            "notes": list(self.notes),
            "segments": segments,
        }


def analyze_recording(recognizer: Recognizer, recording: Path, transcript: Path | None, checkpoint: str) -> Analysis:
    """Recognise every utterance of a recording.

    Without a transcript the whole file is one utterance; a transcript with times cuts it. What a model would read and
    is not there (words, where nothing was transcribed) is absent to it, and each segment names what was used.

    Raises:
        MerkitError: The recording or the transcript cannot be read, or the checkpoint needs what is not there.
    """
    info = probe(recording)
    lines = [Line(None, None, "", None)] if transcript is None else read_transcript(transcript)
    utterances = [_utterance(recording, turn, line) for turn, line in enumerate(lines)]
    if transcript is None and recognizer.reads == {"text"}:
        raise MerkitError(f"'{checkpoint}' reads words alone: give a transcript with --transcript.")
    with tempfile.TemporaryDirectory() as folder:
        manifest = _manifest(Path(folder), utterances)
        told = None if recognizer.request is None else align_recording(recognizer.request, manifest)
        predictions = {prediction.id: prediction for prediction in recognizer.predict(manifest)}
    segments = [
        Segment(
            start_s=utterance.start_s or 0.0,
            end_s=info.duration_s if utterance.end_s is None else utterance.end_s,
            speaker=utterance.speaker,
            text=utterance.text,
            prediction=predictions[utterance.id],
        )
        for utterance in utterances
    ]
    notes = _notes(recognizer, transcript, segments) + ([] if told is None else [told])
    return Analysis(recording, info.duration_s, checkpoint, recognizer.labels, segments, notes)


def write_analysis(analysis: Analysis, out: Path) -> tuple[Path, Path]:
    """Write ``<recording>.json`` and ``<recording>.csv`` into a folder; return both paths."""
    paths = out / f"{analysis.recording.stem}.json", out / f"{analysis.recording.stem}.csv"
    with atomic_path(paths[0]) as temporary:
        temporary.write_text(json.dumps(analysis.to_json(), indent=2, ensure_ascii=False))
    with atomic_path(paths[1]) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["start_s", "end_s", "speaker", "label", "confidence", *analysis.labels, "modalities", "text"])
        for segment in analysis.segments:
            found = segment.prediction
            probabilities = [f"{found.probabilities[label]:.4f}" for label in analysis.labels]
            times = [f"{segment.start_s:.3f}", f"{segment.end_s:.3f}", segment.speaker]
            said = [
                found.label,
                f"{found.confidence:.4f}",
                *probabilities,
                " ".join(found.modalities),
                segment.text or "",
            ]
            writer.writerow([*times, *said])
    return paths


def _manifest(folder: Path, utterances: Sequence[Utterance]) -> Manifest:
    info = CorpusInfo(
        name="recording",
        version=1,
        schema=SCHEMA,
        counts=count(utterances),
        licence="",
        facts={},
        partial=False,
        sha256=content_hash(utterances),
    )
    return Manifest(folder, tuple(utterances), info)


def _utterance(recording: Path, turn: int, line: Line) -> Utterance:
    return Utterance(
        id=f"{turn}",
        conversation=recording.stem,
        turn=turn,
        speaker=line.speaker,
        text=line.text,
        audio=str(recording.resolve()),
        start_s=line.start_s,
        end_s=line.end_s,
    )


def _notes(recognizer: Recognizer, transcript: Path | None, segments: Sequence[Segment]) -> list[str]:
    notes = []
    used = {modality for segment in segments for modality in segment.prediction.modalities}
    for modality in sorted(recognizer.reads):
        if modality not in used:
            why = "; a transcript would add it" if modality == "text" and transcript is None else ""
            notes.append(f"The model also reads {modality}, which is not there: the answer is of the rest{why}.")
    if any(encoder.normalize_by_speaker for encoder in recognizer.encoders.values()):
        notes.append("Sound is compared with the speaker's own average over this recording alone.")
    return notes
