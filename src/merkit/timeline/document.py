"""The JSON of an analysis: its version, and what every reader may rely on.

The JSON Schema that the documentation publishes is that of `Timeline`. A key is only added with a new version, because
readers refuse keys that they do not know.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from merkit import __version__
from merkit.core.types import Prediction
from merkit.timeline.summary import Summary

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis, Segment

VERSION = "merkit-timeline-1"

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourcePrediction(_Part):
    """A label, or why there is none."""

    label: str | None = Field(description="The predicted label; null: there is none, and the reason says why.")
    reason: str | None = Field(description="Why there is no label, such as 'no speech'; null: there is one.")
    probabilities: dict[str, Probability] | None = Field(
        description="Of each label; null: there was nothing to predict from, or too little to compare with."
    )
    confidence: Probability | None = Field(description="The highest probability.")
    arousal: Probability | None = Field(
        default=None, description="Probability that arousal is above the speaker's own average."
    )


class TimelineSegment(SourcePrediction):
    """An utterance."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    speaker: str = Field(description="Empty: unknown.")
    text: str | None = Field(description="The words; null: there are none.")
    channel: Number | None = Field(
        default=None, description="The channel of the recording that it was read from; null: the mean of all."
    )
    labels: list[str] | None = Field(
        default=None, description="All labels, the most probable one first, of a model of several labels per utterance."
    )
    modalities: list[str] = Field(description="What was present to the model: text, audio, video.")
    sources: dict[str, SourcePrediction] = Field(
        default={}, description="What each part of a joined model says alone, such as 'words' and 'voice'."
    )


class Record(_Part):
    """By what merkit knows the files that it wrote together."""

    made_of: dict[str, Any]
    files: dict[str, str] = Field(description="Name and BLAKE2b hash of the other files.")
    content: str = Field(description="Hash of this file's content without this key.")


class Timeline(_Part):
    """The labelled utterances of a recording, written by merkit."""

    schema_: Literal["merkit-timeline-1"] = Field(alias="schema", description="Version of this layout.")
    version: str = Field(description="Version of merkit.")
    recording: str
    track: Number | None = Field(default=None, description="The audio track that was read; null: the first one.")
    duration_ms: Milliseconds
    checkpoint: str = Field(description="The model, as it was named.")
    checkpoint_hash: str | None = Field(description="BLAKE2b of the checkpoint's files; null: it was never written.")
    calibrated: bool = Field(description="Whether probabilities were calibrated on other data than the training's.")
    transcript: str | None = Field(description="Where the words were read; null: no transcript was given.")
    transcript_hash: str | None = Field(description="BLAKE2b of the transcript's file.")
    labels: list[str] = Field(description="All labels that the model gives here.")
    multi_label: bool = Field(default=False, description="Whether an utterance may have several labels.")
    decision_rule: dict[str, Any] | None = Field(default=None, description="As in the checkpoint.")
    stages: dict[str, str] = Field(default={}, description="What each stage from the recording to labels did.")
    excludes_speakers: bool = Field(default=False, description="Whether voices were left out: no sound is kept then.")
    notes: list[str] = Field(description="What a reader must know.")
    summary: Summary | None = Field(default=None, description="Computed from the segments.")
    segments: list[TimelineSegment] = Field(description="In order of time.")
    merkit: Record | None = None


def timeline_values(analysis: "Analysis") -> dict[str, Any]:
    """Return an analysis as JSON values, those of `Timeline`."""
    return {
        "schema": VERSION,
        "version": __version__,
        "recording": str(analysis.recording),
        **({} if analysis.track is None else {"track": analysis.track}),
        "duration_ms": milliseconds(analysis.duration_s),
        "checkpoint": analysis.checkpoint,
        "checkpoint_hash": analysis.checkpoint_hash,
        "calibrated": analysis.calibrated,
        "transcript": None if analysis.transcript is None else str(analysis.transcript),
        "transcript_hash": analysis.transcript_hash,
        "labels": list(analysis.labels),
        **({"multi_label": True} if analysis.multi_label else {}),
        **({} if analysis.rule is None else {"decision_rule": analysis.rule.toml_values()}),
        "stages": dict(analysis.stages),
        **({"excludes_speakers": True} if analysis.excludes_speakers else {}),
        "notes": list(analysis.notes),
        "summary": asdict(analysis.summary),
        "segments": [
            segment_values(segment, multi_label=analysis.multi_label, has_arousal=analysis.has_arousal)
            for segment in analysis.segments
        ],
    }


def milliseconds(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(1000 * seconds)


def segment_values(segment: "Segment", *, multi_label: bool, has_arousal: bool) -> dict[str, Any]:
    """Return an utterance as JSON values, those of `TimelineSegment`.

    Args:
        segment: The utterance.
        multi_label: Whether it may have several labels.
        has_arousal: Whether the model predicts arousal.
    """
    prediction = segment.prediction
    return {
        "start_ms": milliseconds(segment.start_s),
        "end_ms": milliseconds(segment.end_s),
        "speaker": segment.speaker,
        **({} if segment.channel is None else {"channel": segment.channel}),
        "text": segment.text,
        "label": segment.label,
        **({"labels": list(segment.labels)} if multi_label else {}),
        "reason": segment.reason,
        "probabilities": None if prediction is None else dict(prediction.probabilities) or None,
        "confidence": segment.confidence,
        **({"arousal": segment.arousal} if has_arousal else {}),
        "modalities": list(segment.modalities),
        **({"sources": {name: _alone(each) for name, each in segment.sources.items()}} if segment.sources else {}),
    }


def _alone(prediction: Prediction) -> dict[str, Any]:
    return {
        "label": prediction.label,
        "probabilities": dict(prediction.probabilities) or None,
        "confidence": prediction.confidence,
        "reason": prediction.reason,
        **({} if prediction.arousal is None else {"arousal": prediction.arousal}),
    }


def json_schema() -> Mapping[str, Any]:
    """Return the JSON Schema (draft 2020-12) of an analysis."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": VERSION,
        **Timeline.model_json_schema(by_alias=True),
    }
