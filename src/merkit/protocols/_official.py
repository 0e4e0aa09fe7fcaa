"""Protocols whose corpus names the split of each utterance."""

from collections.abc import Sequence
from typing import ClassVar

from merkit.core.errors import MerkitError
from merkit.core.protocol import Fold
from merkit.core.types import Utterance
from merkit.protocols._folds import fold
from merkit.protocols._labels import MappedProtocol, attribute


class OfficialSplit(MappedProtocol):
    """One fold with the splits that the attribute ``split`` names; the seed changes nothing."""

    splits: ClassVar[tuple[str, str, str]] = ("train", "dev", "test")
    """What the corpus calls training, validation and test."""
    fold_name: ClassVar[str] = "official"

    def subset(self, utterance: Utterance) -> str:
        """Return the split.

        Raises:
            MerkitError: It is none of ``splits``.
        """
        split = attribute(utterance, "split", self.name)
        if split not in self.splits:
            raise MerkitError(
                f"{self.name}: utterance '{utterance.id}' has split '{split}'; known: {', '.join(self.splits)}."
            )
        return split

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold."""
        members = self.checked(utterances)
        train, valid, test = ([u for u in members if self.subset(u) == split] for split in self.splits)
        return [fold(self, self.fold_name, train, valid, test)]
