"""MELD, three sentiments, official split. Validation: the official dev split."""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._labels import Counts
from merkit.protocols._official import OfficialSplit


class Meld3(OfficialSplit):
    """Three sentiments; counts are those of the release's files."""

    name = "meld3"
    labels = ("neutral", "positive", "negative")
    metrics = ("weighted_f1", "accuracy", "macro_f1", "mean_recall")
    source: ClassVar[str] = "Poria et al. 2019 (files of the release)"
    attribute = "sentiment"
    expected: ClassVar[Counts] = {
        "train": {"conversations": 1038, "neutral": 4710, "positive": 2334, "negative": 2945},
        "dev": {"conversations": 114, "neutral": 470, "positive": 233, "negative": 406},
        "test": {"conversations": 280, "neutral": 1256, "positive": 521, "negative": 833},
    }


SPEC = ProtocolSpec(
    name="meld3",
    summary="MELD, 3 sentiments, official train/dev/test (9,989 / 1,109 / 2,610 utterances)",
    corpus="meld",
    build=Meld3,
)
