"""The formats of an analysis beside its JSON, each a function to a text; the names are those of ``--format``.

A label stands in parentheses behind the words of a subtitle, with its probability; ``(unsure)`` and ``(no label: why)``
are none. RTTM has speakers alone, each utterance once: the format has no place for words or labels.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merkit.core.errors import ConfigError
from merkit.core.lookup import unknown
from merkit.io.predictions import PROBABILITY
from merkit.timeline.annotations import eaf, textgrid
from merkit.timeline.subtitles import srt, vtt

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis, Segment

JSON, HTML = "json", "html"
DEFAULT = (JSON, "csv", HTML)
UNSURE = "unsure"


def csv_table(analysis: "Analysis") -> str:
    """Return a row per utterance: times in seconds, speaker, label, probabilities, words, and why there is no label."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    several = ["labels"] if analysis.multi_label else []
    numeric = ["confidence", *(["arousal"] if analysis.has_arousal else [])]
    writer.writerow(
        ["start_s", "end_s", "speaker", "label", *several, *numeric, *analysis.labels, "modalities", "text", "reason"]
    )
    probabilities = [PROBABILITY + label for label in analysis.labels]
    for segment, row in zip(analysis.segments, analysis.rows(), strict=True):
        numbers = [row[name] for name in (*numeric, *probabilities)]
        writer.writerow(
            [
                f"{segment.start_s:.3f}",
                f"{segment.end_s:.3f}",
                segment.speaker,
                segment.label or "",
                *(row[name] for name in several),
                *("" if value is None else f"{value:.4f}" for value in numbers),
                " ".join(segment.modalities),
                segment.text or "",
                segment.reason or "",
            ]
        )
    return text.getvalue()


def rttm(analysis: "Analysis") -> str:
    """Return NIST's RTTM; white space in names becomes ``_``, and an unknown speaker is ``unknown``."""
    name = _word(analysis.recording.stem)
    return "".join(
        f"SPEAKER {name} 1 {segment.start_s:.3f} {segment.end_s - segment.start_s:.3f} <NA> <NA> "
        f"{_word(segment.speaker)} <NA> <NA>\n"
        for segment in analysis.segments
    )


def said(segment: "Segment") -> str:
    """Return an utterance's label with its probability, or in few words why it has none."""
    if segment.label is not None:
        return ", ".join(segment.labels) + ("" if segment.confidence is None else f" {100 * segment.confidence:.0f} %")
    if segment.prediction is not None and segment.prediction.is_unsure:
        return UNSURE
    return f"no label: {segment.reason}" if segment.reason else "no label"


TEXTS: Mapping[str, Callable[["Analysis"], str]] = {
    "csv": csv_table,
    "rttm": rttm,
    "srt": lambda analysis: srt(map(_cue, analysis.segments)),
    "vtt": lambda analysis: vtt(map(_cue, analysis.segments)),
    "textgrid": textgrid,
    "eaf": eaf,
}
ENDINGS = {"textgrid": "TextGrid"}
"""Of the files whose ending is not the name of the format."""
NAMES = (JSON, *TEXTS, HTML)


def chosen_formats(names: str | None) -> tuple[str, ...]:
    """Return the formats of a list with commas; JSON, by which merkit knows its files, is always among them.

    Raises:
        ConfigError: One is not known.
    """
    if names is None:
        return DEFAULT
    given = [name.strip().lower() for name in names.split(",")]
    for name in given:
        if name not in NAMES:
            raise ConfigError(f"--format {names}: {unknown('format', name, NAMES)}")
    return tuple(name for name in NAMES if name in given or name == JSON)


@dataclass(frozen=True)
class _Cue:
    start_s: float
    end_s: float
    speaker: str
    text: str


def _cue(segment: "Segment") -> _Cue:
    text = " ".join([*(segment.text or "").split(), f"({said(segment)})"])
    return _Cue(segment.start_s, segment.end_s, segment.speaker, text)


def _word(name: str) -> str:
    return "_".join(name.split()) or "unknown"
