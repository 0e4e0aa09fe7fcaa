"""The interface of a protocol: from the utterances of a corpus to folds whose test split has no labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from merkit.core.lookup import PlugInSpec
from merkit.core.model import Citation
from merkit.core.settings import Settings
from merkit.core.types import Utterance

Selection = Literal["best_valid", "last"]
"""Which epoch is reported: the best on validation, or the last."""
Label = str | tuple[str, ...]
"""The class name of an utterance; its class names, one or more, by a multi-label protocol."""
Target = int | tuple[int, ...]
"""The class number of an utterance; its class numbers in ascending order, by a multi-label protocol."""


class ProtocolOptions(Settings):
    """Settings of a protocol; most have none."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A corpus in three splits that share no utterance.

    ``train`` and ``valid`` map utterance ids to class numbers; ``test`` has ids alone, so that training sees no label.
    """

    name: str
    train: Mapping[str, Target]
    valid: Mapping[str, Target]
    test: tuple[str, ...]


class Protocol(ABC):
    """A published way to measure: label map, folds, selection rule, metrics, expected counts."""

    labels: tuple[str, ...]
    """Class names in the order of class numbers."""
    multi_label: bool = False
    """Whether an utterance may have several labels, each of which a model gives or not."""
    selection: Selection = "best_valid"
    metrics: tuple[str, ...]
    """Names of ``merkit.metrics``, multi-label ones by a multi-label protocol; the first one selects the epoch."""
    cluster: Literal["conversation", "speaker"] = "conversation"
    """What the bootstrap of the intervals draws."""
    pooled: bool = False
    """Whether the test predictions of all folds are scored as one set, for folds that are too small for a score."""

    @abstractmethod
    def label(self, utterance: Utterance) -> Label | None:
        """Return the class name of an utterance, or ``None`` if the protocol leaves it out.

        A multi-label protocol returns the names of all its classes.

        Raises:
            MerkitError: The utterance has no label, or one that the protocol does not know.
        """

    @abstractmethod
    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the folds; ``seed`` draws the validation split where none is published.

        Raises:
            CountError: The counts differ from the published ones (and ``allow_partial`` was not given), a split is
                empty, or there are too few groups.
        """

    def target(self, utterance: Utterance) -> Target | None:
        """Return the class number or numbers of an utterance whose labels are in ``labels``; ``None``: left out."""
        label = self.label(utterance)
        if isinstance(label, tuple):
            return tuple(sorted(map(self.labels.index, label)))
        return None if label is None else self.labels.index(label)

    def members(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the utterances that have a label, in their order."""
        return [utterance for utterance in utterances if self.label(utterance) is not None]

    def differences(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return how the counts differ from the published ones, a clause for each; empty without published counts."""
        return []

    def check_options(self, utterances: Sequence[Utterance]) -> None:
        """Check before training that the options fit the corpus; does nothing by default.

        Raises:
            MerkitError: An option names what the corpus lacks, with what it has.
        """
        return

    def warnings(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return what a user should know about the labels before training, a clause for each; empty by default."""
        return []

    def check_labels(self, utterances: Sequence[Utterance]) -> None:
        """Check before scoring that every member's label is one of ``labels``; does nothing by default.

        Raises:
            MerkitError: A test utterance has a label that no training or validation utterance has.
        """
        return


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec(PlugInSpec):
    """What a protocol's file exports as ``SPEC``."""

    kind: ClassVar[str] = "protocols"
    corpus: str | None
    """Name of the corpus that it is for; ``None``: any."""
    options: type[ProtocolOptions] = ProtocolOptions
    build: Callable[[Any, bool], Protocol]
    """``build(options, allow_partial)``."""
    citation: Citation | None = None
    """``None``: that of its corpus."""
    example: Callable[[], Sequence[Utterance]] | None = None
    """For the contract tests: return a small made-up corpus that has every class in every split."""
