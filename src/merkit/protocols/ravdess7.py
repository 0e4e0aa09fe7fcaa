"""RAVDESS speech, seven emotions (calm is neutral), leave actors out."""

from collections.abc import Mapping
from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._labels import Counts
from merkit.protocols._ravdess import FOLDS_OF, Ravdess

LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")


class Ravdess7(Ravdess):
    """Calm, the corpus' second baseline beside neutral, is counted as neutral; the folds are those of ``ravdess8``."""

    name = "ravdess7"
    labels = LABELS
    metrics = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    classes: ClassVar[Mapping[str, str | None]] = {**{label: label for label in LABELS}, "calm": "neutral"}
    expected: ClassVar[Counts] = {"all": {"neutral": 288, **dict.fromkeys(LABELS[1:], 192)}}


SPEC = ProtocolSpec(
    name="ravdess7",
    summary="RAVDESS speech, 7 emotions (calm = neutral), 5 folds of actors (24 actors, 1,440 clips)",
    corpus="ravdess",
    build=Ravdess7,
    citation=FOLDS_OF,
)
