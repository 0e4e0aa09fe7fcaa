"""Label the utterances of a recording, with or without a transcript."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.core.types import Prediction, Utterance, turns_of
from merkit.data.media.audio import Recording, duration_s
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import PROBABILITY
from merkit.recordings.alignment import align_turns
from merkit.recordings.channels import assign_channels
from merkit.recordings.tabular import Tabular
from merkit.recordings.transcripts import Line, Transcript, fit_lines, read_transcript


@dataclass(frozen=True)
class Segment:
    """One utterance of a recording and its prediction."""

    start_s: float
    end_s: float
    speaker: str
    text: str | None
    prediction: Prediction


@dataclass(frozen=True)
class Analysis(Tabular):
    """The labelled utterances of a recording in order, with notes on how far they can be relied on."""

    recording: Path
    """Its file, or the name of a recording in memory."""
    duration_s: float
    checkpoint: str
    labels: tuple[str, ...]
    segments: Sequence[Segment]
    notes: Sequence[str]

    @property
    def title(self) -> str:
        return f"{self.recording.name}, {self.duration_s:.1f} s"

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "speaker": segment.speaker,
                "text": segment.text,
                **prediction_row(segment.prediction),
            }
            for segment in self.segments
        ]

    def to_dict(self) -> dict[str, Any]:
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


def prediction_row(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction's columns in the rows of a `Tabular`."""
    return {
        "label": prediction.label,
        "confidence": prediction.confidence,
        "modalities": ",".join(prediction.modalities),
        **{PROBABILITY + label: value for label, value in prediction.probabilities.items()},
    }


def analyze_recording(
    recognizer: Recognizer,
    recording: Recording,
    transcript: Path | Sequence[Line] | None,
    checkpoint: str,
    *,
    channels: str = "mix",
    name: str = "waveform",
) -> Analysis:
    """Recognise every utterance of a recording; nothing is written.

    Without a transcript the whole recording is one utterance; a transcript with times cuts it. A modality that the
    model reads and the recording lacks (text, where there is no transcript) is missing to the model, and each segment
    names the modalities that were present.

    Args:
        recognizer: The model.
        recording: A file or a waveform.
        transcript: A transcript's file, or its lines.
        checkpoint: What the result says it was made by.
        channels: How a recording of several channels is read; see `assign_channels`.
        name: What a recording in memory is called.

    Raises:
        MerkitError: The recording or the transcript cannot be read, or the checkpoint needs more than they hold.
    """
    length_s = duration_s(recording)
    path = recording if isinstance(recording, Path) else Path(name)
    read = read_transcript(transcript, path.stem) if isinstance(transcript, Path) else transcript
    fitted = (
        None if read is None else fit_lines(read if isinstance(read, Transcript) else Transcript(tuple(read)), length_s)
    )
    lines = None if fitted is None else fitted.lines
    if lines is None and recognizer.reads == {"text"}:
        raise MerkitError(f"'{checkpoint}' reads text alone: give a transcript.")
    utterances = [
        Utterance(
            id=f"{turn}",
            conversation=path.stem,
            turn=turn,
            speaker=line.speaker,
            text=line.text,
            audio=str(sound.resolve()) if isinstance(sound, Path) else sound,
            start_s=line.start_s,
            end_s=line.end_s,
        )
        for turn, (line, sound) in enumerate(assign_channels(recording, lines, channels))
    ]
    turns = list(turns_of(utterances, Path(), *recognizer.reach))
    times, unaligned = align_turns(recognizer.request, turns)
    segments = [
        Segment(
            start_s=utterance.start_s or 0.0,
            end_s=length_s if utterance.end_s is None else utterance.end_s,
            speaker=utterance.speaker,
            text=utterance.text,
            prediction=prediction,
        )
        for utterance, prediction in zip(utterances, recognizer.predict_turns(turns, segments=times), strict=True)
    ]
    if recognizer.reads and not any(segment.prediction.modalities for segment in segments):
        reads = " and ".join(sorted(recognizer.reads))
        raise MerkitError(f"'{checkpoint}' reads {reads}, and '{path}' has no such input for it: use another model.")
    notes = [*(() if fitted is None else fitted.notes), *_notes(recognizer, lines is not None, segments)]
    notes += [] if unaligned is None else [unaligned]
    return Analysis(path, length_s, checkpoint, recognizer.labels, segments, notes)


def _notes(recognizer: Recognizer, transcribed: bool, segments: Sequence[Segment]) -> list[str]:
    notes = []
    used = {modality for segment in segments for modality in segment.prediction.modalities}
    for modality in sorted(recognizer.reads - used):
        hint = "; a transcript would add it" if modality == "text" and not transcribed else ""
        notes.append(f"The model also reads {modality}, which is missing: it predicts from the rest{hint}.")
    if any(encoder.normalize_by_speaker for encoder in recognizer.encoders.values()):
        notes.append("Sound is compared with the speaker's own average over this recording alone.")
    return notes
