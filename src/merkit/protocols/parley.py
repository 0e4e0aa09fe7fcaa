"""Parley, four emotions, splits as made: no speaker is in two of them."""

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._official import OfficialSplit


class Parley(OfficialSplit):
    """Four classes, one fold, ``made``."""

    name = "parley"
    labels = ("neutral", "happy", "angry", "sad")
    metrics = ("accuracy", "mean_recall", "weighted_f1", "macro_f1")
    attribute = "emotion"
    splits = ("train", "valid", "test")
    fold_name = "made"


SPEC = ProtocolSpec(
    name="parley",
    summary="parley (synthetic), 4 emotions, train/valid/test by conversation as made",
    corpus="parley",
    build=Parley,
)
