"""RAVDESS speech, eight emotions, leave actors out."""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._labels import Counts
from merkit.protocols._ravdess import FOLDS_OF, Ravdess

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


class Ravdess8(Ravdess):
    """The emotions as shipped; accuracy is what the paper of the folds prints."""

    name = "ravdess8"
    labels = LABELS
    metrics = ("accuracy", "mean_recall", "weighted_f1", "macro_f1")
    expected: ClassVar[Counts] = {"all": {"neutral": 96, **dict.fromkeys(LABELS[1:], 192)}}


SPEC = ProtocolSpec(
    name="ravdess8",
    summary="RAVDESS speech, 8 emotions, 5 folds of actors (24 actors, 1,440 clips)",
    corpus="ravdess",
    build=Ravdess8,
    citation=FOLDS_OF,
)
