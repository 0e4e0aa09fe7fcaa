"""An analysis that was written as JSON, read again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from merkit.core.errors import MerkitError
from merkit.core.types import Prediction
from merkit.io.decision_rule import DecisionRule
from merkit.timeline.analysis import Analysis, Segment
from merkit.timeline.document import SourcePrediction, Timeline, TimelineSegment


def read_timeline(values: Mapping[str, Any]) -> Analysis:
    """Return the analysis that `Analysis.to_dict` was called on, with times to the millisecond.

    Raises:
        MerkitError: It is no timeline of this version; names the place.
    """
    try:
        read = Timeline.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"]).lstrip(".")
        found = f", found {first['input']!r:.60}" if first["type"] != "missing" else ""
        raise MerkitError(f"{place}: {first['msg']}{found}") from error
    return Analysis(
        recording=Path(read.recording),
        track=read.track,
        duration_s=read.duration_ms / 1000,
        checkpoint=read.checkpoint,
        labels=tuple(read.labels),
        segments=[_segment(str(number), each) for number, each in enumerate(read.segments)],
        notes=read.notes,
        rule=None if read.decision_rule is None else DecisionRule.model_validate(read.decision_rule),
        multi_label=read.multi_label,
        checkpoint_hash=read.checkpoint_hash,
        calibrated=read.calibrated,
        transcript=None if read.transcript is None else Path(read.transcript),
        transcript_hash=read.transcript_hash,
        stages=read.stages,
        excludes_speakers=read.excludes_speakers,
    )


def _segment(id_: str, each: TimelineSegment) -> Segment:
    prediction = None
    if each.label is not None or each.probabilities is not None or each.arousal is not None or each.modalities:
        sources = {name: _prediction(id_, stored) for name, stored in each.sources.items()}
        labels = None if each.labels is None else tuple(each.labels)
        prediction = _prediction(id_, each, tuple(each.modalities), labels, sources)
    start_s, end_s = each.start_ms / 1000, each.end_ms / 1000
    return Segment(start_s, end_s, each.speaker, each.text, prediction, each.reason, each.channel)


def _prediction(
    id_: str,
    stored: SourcePrediction,
    modalities: tuple[str, ...] = (),
    labels: tuple[str, ...] | None = None,
    sources: Mapping[str, Prediction] | None = None,
) -> Prediction:
    return Prediction(
        id_,
        stored.label,
        stored.probabilities or {},
        stored.confidence,
        modalities,
        stored.reason,
        stored.arousal,
        labels,
        sources or {},
    )
