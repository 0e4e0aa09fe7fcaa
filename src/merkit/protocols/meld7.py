"""MELD, seven emotions, official split. Validation: the official dev split."""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._labels import Counts
from merkit.protocols._official import OfficialSplit

LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


class Meld7(OfficialSplit):
    """Seven emotions. Papers print 1,039 training conversations; the files hold 1,038."""

    name = "meld7"
    labels = LABELS
    metrics = ("weighted_f1", "accuracy", "macro_f1", "mean_recall")
    source: ClassVar[str] = "Poria et al. 2019 (files of the release)"
    attribute = "emotion"
    expected: ClassVar[Counts] = {
        "train": {"conversations": 1038, **dict(zip(LABELS, (4710, 1205, 268, 683, 1743, 271, 1109), strict=True))},
        "dev": {"conversations": 114, **dict(zip(LABELS, (470, 150, 40, 111, 163, 22, 153), strict=True))},
        "test": {"conversations": 280, **dict(zip(LABELS, (1256, 281, 50, 208, 402, 68, 345), strict=True))},
    }


SPEC = ProtocolSpec(
    name="meld7",
    summary="MELD, 7 emotions, official train/dev/test (9,989 / 1,109 / 2,610 utterances)",
    corpus="meld",
    build=Meld7,
)
