"""GoEmotions in the six groups of Ekman and neutral, as its makers group the emotions; several groups per comment."""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._goemotions import GoEmotions, counts_by_split, example
from merkit.protocols._labels import Counts

GROUPS = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love", "optimism",
        "pride", "relief",
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
    "neutral": ("neutral",),
}  # fmt: skip
"""``ekman_mapping.json`` of the release."""
_LABELS = tuple(GROUPS)


class GoEmotionsEkman(GoEmotions):
    """A comment has a group where it has one of its emotions."""

    name = "goemotions-ekman"
    labels = _LABELS
    classes: ClassVar[dict[str, str | None]] = {emotion: group for group, of in GROUPS.items() for emotion in of}
    expected: ClassVar[Counts] = counts_by_split(
        _LABELS,
        {
            "train": (5579, 793, 726, 17410, 3263, 5367, 14219),
            "dev": (717, 97, 105, 2219, 390, 624, 1766),
            "test": (726, 123, 98, 2104, 379, 677, 1787),
        },
    )


SPEC = ProtocolSpec(
    name="goemotions-ekman",
    summary="GoEmotions, 6 groups of Ekman and neutral, several per comment, official split",
    corpus="goemotions",
    build=GoEmotionsEkman,
    example=lambda: example(_LABELS, {group: emotions[0] for group, emotions in GROUPS.items()}),
)
