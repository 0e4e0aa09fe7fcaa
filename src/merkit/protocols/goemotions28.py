"""GoEmotions, 27 emotions and neutral, several labels per comment, split of the filtered release."""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._goemotions import EMOTIONS, GoEmotions, counts_by_split, example
from merkit.protocols._labels import Counts

_TRAIN = (
    4130, 2328, 1567, 2470, 2939, 1087, 1368, 2191, 641, 1269, 2022, 793, 303, 853,
    596, 2662, 77, 1452, 2086, 164, 1581, 111, 1110, 153, 545, 1326, 1060, 14219,
)  # fmt: skip
_DEV = (
    488, 303, 195, 303, 397, 153, 152, 248, 77, 163, 292, 97, 35, 96,
    90, 358, 13, 172, 252, 21, 209, 15, 127, 18, 68, 143, 129, 1766,
)  # fmt: skip
_TEST = (
    504, 264, 198, 320, 351, 135, 153, 284, 83, 151, 267, 123, 37, 103,
    78, 352, 6, 161, 238, 23, 186, 16, 145, 11, 56, 156, 141, 1787,
)  # fmt: skip


class GoEmotions28(GoEmotions):
    """All labels as shipped."""

    name = "goemotions28"
    labels = EMOTIONS
    expected: ClassVar[Counts] = counts_by_split(EMOTIONS, {"train": _TRAIN, "dev": _DEV, "test": _TEST})


SPEC = ProtocolSpec(
    name="goemotions28",
    summary="GoEmotions, 28 labels, several per comment, official split (43,410 / 5,426 / 5,427 comments)",
    corpus="goemotions",
    build=GoEmotions28,
    example=lambda: example(EMOTIONS, dict(zip(EMOTIONS, EMOTIONS, strict=True))),
)
