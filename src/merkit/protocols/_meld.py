"""What both protocols on MELD share: the official split and the citation."""

from collections.abc import Sequence
from typing import ClassVar

from merkit.core.protocol import Fold
from merkit.core.types import Utterance
from merkit.protocols._folds import fold
from merkit.protocols._labels import MappedProtocol, attribute


class OfficialSplit(MappedProtocol):
    """The split of the release: train, dev (validation), test. The seed cuts nothing."""

    metrics = ("weighted_f1", "accuracy", "macro_f1", "mean_recall")
    source: ClassVar[str] = "Poria et al. 2019 (files of the release)"

    def part(self, utterance: Utterance) -> str:
        """Return the official split."""
        return attribute(utterance, "split", self.name)

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold, ``official``.

        Raises:
            CountError: The counts differ from the release's, or a part is empty.
        """
        members = self.checked(utterances)
        train, valid, test = ([u for u in members if self.part(u) == part] for part in ("train", "dev", "test"))
        return [fold(self, "official", train, valid, test)]
