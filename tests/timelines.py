"""Analyses made by hand, without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from merkit.core.types import Prediction
from merkit.timeline.analysis import Analysis, Segment

LABELS = ("neutral", "happy", "angry")
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> & "quoted" \'so\' --> ]]>'


def answer(label: str | None, p: float = 0.8, *, labels: Sequence[str] = LABELS) -> Prediction:
    """Return a prediction of a label with probability ``p``; ``None``: unsure between all."""
    if label is None:
        even = dict.fromkeys(labels, 1 / len(labels))
        return Prediction("", None, even, 1 / len(labels), ("audio",), "unsure: the highest probability, 0.33, is low")
    rest = (1 - p) / (len(labels) - 1)
    return Prediction("", label, {name: p if name == label else rest for name in labels}, p, ("audio", "text"))


def segment(
    start_s: float, end_s: float, speaker: str, label: str | None, text: str | None = "so", p: float = 0.8
) -> Segment:
    """Return an utterance; without a label it is unsure."""
    prediction = answer(label, p)
    return Segment(start_s, end_s, speaker, text, prediction, prediction.reason)


def silent(start_s: float, end_s: float, speaker: str = "") -> Segment:
    """Return an utterance without speech."""
    return Segment(start_s, end_s, speaker, None, None, "no speech")


def analysis(segments: Sequence[Segment], recording: Path = Path("call.wav"), **changes: Any) -> Analysis:
    """Return an analysis that ends with its last utterance."""
    end_s = max((each.end_s for each in segments), default=1.0)
    values: dict[str, Any] = {
        "recording": recording,
        "duration_s": end_s,
        "checkpoint": "builtin:voice",
        "labels": LABELS,
        "segments": list(segments),
        "notes": ["Made by hand."],
        **changes,
    }
    return Analysis(**values)


def write_tracks(path: Path, *tracks: npt.NDArray[np.float32]) -> None:
    """Write a file with several audio tracks of one channel, 8 kHz."""
    with av.open(str(path), "w") as file:
        streams: list[Any] = [file.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in tracks]
        for stream, samples in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray((samples[None] * 2**15).astype(np.int16), layout="mono")
            frame.sample_rate, frame.pts = 8000, 0
            file.mux(stream.encode(frame))


CALL = (
    segment(0.5, 2.25, "Ann", "neutral", 'Well, "yes": half <past> & 3'),
    segment(2.25, 4.0, "Ben Li", "angry", "No.", 0.62),
    segment(3.5, 6.125, "Ann", None, "Über 日本 --> so"),
    silent(6.5, 8.0, "Ben Li"),
    segment(8.0, 9.0, "Ann", "happy", None),
    segment(8.75, 10.0, "Ann", "happy", "again"),
)
"""Speakers that overlap each other and themselves, and utterances that are unsure, silent or without words."""
