"""The labelled utterances of a recording, and what is made of them: rows, JSON, a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from merkit.core.types import Prediction
from merkit.core.waveform import Track
from merkit.io.decision_rule import DecisionRule
from merkit.timeline.document import milliseconds, segment_values, timeline_values
from merkit.timeline.page import notebook_part, timeline_page
from merkit.timeline.peaks import Peaks
from merkit.timeline.summary import Summary, summarize
from merkit.timeline.tabular import Tabular, prediction_row

STAGES = ("channels", "speech", "speakers", "words", "utterances", "model")
"""From a recording to its labels, in order."""


@dataclass(frozen=True)
class Segment:
    """One utterance of a recording and its prediction.

    An utterance that says nothing to the model has no label, and ``reason`` says why. A label is never made up. Nor has
    one where the model's decision rule gives none; its prediction then has what is known.
    """

    start_s: float
    end_s: float
    speaker: str
    text: str | None
    prediction: Prediction | None
    """``None``: there was nothing to predict from."""
    reason: str | None = None
    """Why it has no label, such as ``no speech``; ``None``: it has one."""
    channel: int | None = None
    """The channel of the recording that it was read from, from 1; ``None``: the mean of all."""

    @property
    def label(self) -> str | None:
        """The predicted label, if any."""
        return None if self.prediction is None else self.prediction.label

    @property
    def labels(self) -> tuple[str, ...]:
        """All predicted labels: one at most, but for a model of several labels per utterance."""
        if self.prediction is None:
            return ()
        if self.prediction.labels is not None:
            return self.prediction.labels
        return () if self.prediction.label is None else (self.prediction.label,)

    @property
    def confidence(self) -> float | None:
        """The highest probability, if there are probabilities."""
        return None if self.prediction is None else self.prediction.confidence

    @property
    def arousal(self) -> float | None:
        """The probability that arousal is above the speaker's own average, where the model predicts it."""
        return None if self.prediction is None else self.prediction.arousal

    @property
    def sources(self) -> Mapping[str, Prediction]:
        """What each of several joined models says alone, by its name; empty for one model, and without a prediction."""
        return {} if self.prediction is None else self.prediction.sources

    @property
    def modalities(self) -> tuple[str, ...]:
        """What was present to the model."""
        return () if self.prediction is None else self.prediction.modalities


@dataclass(frozen=True)
class LiveSegment(Segment):
    """A turn of live speech and its prediction."""

    delay_s: float = 0.0
    """From the arrival of the turn's last sound to its label: the pause that ends it, and what labelling takes."""
    multi_label: bool = False
    """Whether a turn may have several labels."""
    has_arousal: bool = False
    """Whether the model predicts arousal."""

    def to_dict(self) -> dict[str, Any]:
        """Return the turn as JSON values: those of a segment of a timeline, and ``delay_ms``."""
        values = segment_values(self, multi_label=self.multi_label, has_arousal=self.has_arousal)
        return {**values, "delay_ms": milliseconds(self.delay_s)}


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
    rule: DecisionRule | None = None
    """The decision rule that decided what is said; ``None``: the model has none."""
    multi_label: bool = False
    """Whether an utterance may have several labels."""
    checkpoint_hash: str | None = None
    """Of the checkpoint's files; ``None``: it has none."""
    calibrated: bool = False
    """Whether the probabilities were calibrated on other data than the training's."""
    transcript: Path | None = None
    """The file of the words; ``None``: there is none."""
    transcript_hash: str | None = None
    stages: Mapping[str, str] = field(default_factory=dict)
    """What each of ``STAGES`` did, in order, a sentence each."""
    excludes_speakers: bool = False
    """Whether voices were left out: no sound of the recording may be kept with the result, then."""

    track: int | None = None
    """Which audio track of the recording was read, from 1; ``None``: the first one."""
    in_memory: bool = False
    """Whether ``recording`` is a name alone, and no path of a file."""

    peaks: Peaks | None = None
    """The outline of a recording in memory; a file's is read from it."""

    @cached_property
    def summary(self) -> Summary:
        """Talk time, shares of labels, overlaps and turning points."""
        return summarize(self.segments, self.duration_s, self.labels)

    @property
    def file(self) -> Path | None:
        """The recording's file; ``None``: it was in memory, or is not known any more."""
        return self.recording if not self.in_memory and self.recording.is_file() else None

    @property
    def sound(self) -> Path | Track | None:
        """What was read of the recording's file; ``None``: as of ``file``."""
        return self.file if self.file is None or self.track is None else Track(self.file, self.track)

    @property
    def has_arousal(self) -> bool:
        """Whether the model predicts arousal."""
        return self.rule is not None and self.rule.arousal

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
                **prediction_row(segment.prediction, self.labels, self.has_arousal, self.multi_label),
                "reason": segment.reason,
            }
            for segment in self.segments
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the timeline as JSON values; see `merkit.timeline.document`."""
        return timeline_values(self)

    def _page(self, folder: Path) -> str:
        return timeline_page(self, folder)

    def _repr_html_(self) -> str:
        """Return a small timeline without scripts, which a notebook shows."""
        return notebook_part(self)
