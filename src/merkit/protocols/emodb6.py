"""EMO-DB without boredom, which other corpora of acted speech lack: six emotions, leave one speaker out."""

from collections.abc import Mapping
from typing import ClassVar

from merkit.core.protocol import ProtocolSpec
from merkit.protocols._emodb import COUNTS, Emodb
from merkit.protocols._labels import Counts, EpochOptions


class Emodb6(Emodb):
    """Six emotions; clips meant as boredom are left out."""

    name = "emodb6"
    labels = tuple(label for label in COUNTS if label != "boredom")
    classes: ClassVar[Mapping[str, str | None]] = {**{label: label for label in labels}, "boredom": None}
    expected: ClassVar[Counts] = {"all": {label: COUNTS[label] for label in labels}}


SPEC = ProtocolSpec(
    name="emodb6",
    summary="EMO-DB, 6 emotions (no boredom), leave one of 10 speakers out, 1 of the others validates (454 clips)",
    corpus="emodb",
    options=EpochOptions,
    build=Emodb6,
)
