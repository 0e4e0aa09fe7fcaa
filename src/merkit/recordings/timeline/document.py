"""The JSON of an analysis: its version, and what every reader may rely on.

The JSON Schema that the documentation publishes is that of `Timeline`. A key is only added with a new version, because
readers refuse keys that they do not know.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from merkit.recordings.timeline.summary import Summary

VERSION = "merkit-timeline-1"

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Answer(_Part):
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


class TimelineSegment(Answer):
    """An utterance."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    speaker: str = Field(description="Empty: unknown.")
    text: str | None = Field(description="The words; null: there are none.")
    modalities: list[str] = Field(description="What was present to the model: text, audio, video.")
    sources: dict[str, Answer] = Field(
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
    duration_ms: Milliseconds
    checkpoint: str = Field(description="The model, as it was named.")
    checkpoint_hash: str | None = Field(description="BLAKE2b of the checkpoint's files; null: it was never written.")
    calibrated: bool = Field(description="Whether probabilities were calibrated on other data than the training's.")
    transcript: str | None = Field(description="Where the words were read; null: no transcript was given.")
    transcript_hash: str | None = Field(description="BLAKE2b of the transcript's file.")
    labels: list[str] = Field(description="All labels that the model gives here.")
    decision_rule: dict[str, Any] | None = Field(default=None, description="As in the checkpoint.")
    stages: dict[str, str] = Field(default={}, description="What each stage from the recording to labels did.")
    notes: list[str] = Field(description="What a reader must know.")
    summary: Summary | None = Field(default=None, description="Computed from the segments.")
    segments: list[TimelineSegment] = Field(description="In order of time.")
    merkit: Record | None = None


def json_schema() -> Mapping[str, Any]:
    """Return the JSON Schema (draft 2020-12) of an analysis."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": VERSION,
        **Timeline.model_json_schema(by_alias=True),
    }
