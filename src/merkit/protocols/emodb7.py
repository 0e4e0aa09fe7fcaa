"""EMO-DB, all seven emotions, leave one speaker out."""

from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._emodb import COUNTS, Emodb
from merkit.protocols._labels import Counts, EpochOptions


class Emodb7(Emodb):
    """Seven emotions, boredom among them."""

    name = "emodb7"
    labels = tuple(COUNTS)
    expected: ClassVar[Counts] = {"all": COUNTS}


SPEC = ProtocolSpec(
    name="emodb7",
    summary="EMO-DB, 7 emotions, leave one of 10 speakers out, 1 of the others validates (535 clips)",
    corpus="emodb",
    options=EpochOptions,
    build=Emodb7,
)
