"""parley, the synthetic corpus of merkit: four emotions, split by conversation when the corpus is made.

Its size is chosen by whoever makes it, so that no count is expected.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from merkit.core.errors import MerkitError
from merkit.core.protocol import Fold, ProtocolOptions, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import fold
from merkit.protocols._labels import MappedProtocol, attribute

LABELS = ("neutral", "happy", "angry", "sad")
PARTS = ("train", "valid", "test")


class Parley(MappedProtocol):
    """Four classes, made parts; the seed cuts nothing."""

    name = "parley"
    labels = LABELS
    metrics = ("accuracy", "mean_recall", "weighted_f1", "macro_f1")
    attribute = "emotion"
    classes: ClassVar[Mapping[str, str | None]] = {label: label for label in LABELS}

    def part(self, utterance: Utterance) -> str:
        """Return the split written by the adapter.

        Raises:
            MerkitError: It is none of train, valid, test.
        """
        part = attribute(utterance, "split", self.name)
        if part not in PARTS:
            raise MerkitError(f"parley: utterance '{utterance.id}' has split '{part}'; known: {', '.join(PARTS)}.")
        return part

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold, ``made``.

        Raises:
            CountError: A part is empty.
        """
        members = self.checked(utterances)
        train, valid, test = ([u for u in members if self.part(u) == part] for part in PARTS)
        return [fold(self, "made", train, valid, test)]


SPEC = ProtocolSpec(
    name="parley",
    summary="parley (synthetic), 4 emotions, train/valid/test by conversation as made",
    corpus="parley",
    options=ProtocolOptions,
    build=Parley,
)
