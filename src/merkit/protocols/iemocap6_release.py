"""IEMOCAP, six emotions as the release labels them, session 5 is the test split: 7,380 utterances, happy 595.

The same as ``iemocap6`` without the 53 happy utterances that only the shared feature files have. Scores of the two
cannot be compared. Validation: 12 of the 120 training conversations, drawn by the run's seed.
"""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._iemocap import SIX
from merkit.protocols._iemocap import Iemocap6 as SixClasses
from merkit.protocols._labels import Counts


class Iemocap6Release(SixClasses):
    """Counts of the release's majority labels."""

    name = "iemocap6-release"
    expected: ClassVar[Counts] = {
        "train": {"conversations": 120, **dict(zip(SIX, (452, 839, 1324, 933, 742, 1468), strict=True))},
        "test": {"conversations": 31, **dict(zip(SIX, (143, 245, 384, 170, 299, 381), strict=True))},
    }
    source: ClassVar[str] = "the majority labels of the release (7,380 utterances)"


SPEC = ProtocolSpec(
    name="iemocap6-release",
    summary="IEMOCAP, 6 emotions as released, session 5 tests (31 of 151 conversations, 7,380 utterances, happy 595)",
    corpus="iemocap",
    build=Iemocap6Release,
)
