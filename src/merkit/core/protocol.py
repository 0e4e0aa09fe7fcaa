"""The seam of a protocol: from a corpus' utterances to folds whose test part carries no label."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from merkit.core.lookup import PlugInSpec
from merkit.core.model import Citation
from merkit.core.types import Utterance

Selection = Literal["best_valid", "last"]
"""Which epoch is reported. The best one on the test part is no choice: see `merkit train --legacy-best-on-test`."""


class ProtocolOptions(BaseModel):
    """Settings of a protocol; most have none. Misspelt keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Fold:
    """One split of a corpus. The test part is ids alone: the seal.

    ``train`` and ``valid`` map utterance ids to class numbers. The three parts share no utterance.
    """

    name: str
    train: Mapping[str, int]
    valid: Mapping[str, int]
    test: tuple[str, ...]


class Protocol(ABC):
    """A published way of measuring: label map, folds, selection rule, metrics, expected counts."""

    labels: tuple[str, ...]
    """Class names in the order of class numbers."""
    selection: Selection = "best_valid"
    metrics: tuple[str, ...]
    """Names of ``merkit.metrics``; the first selects the epoch."""
    cluster: Literal["conversation", "speaker"] = "conversation"
    """What the bootstrap draws."""
    pooled: bool = False
    """Score the test predictions of all folds as one set, instead of averaging figures over folds too small for one."""

    @abstractmethod
    def label(self, utterance: Utterance) -> str | None:
        """Return the class name of an utterance, or ``None`` where the protocol leaves the utterance out.

        Raises:
            MerkitError: The utterance's label is in no map.
        """

    @abstractmethod
    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the folds; ``seed`` cuts validation parts where the corpus has none.

        Raises:
            CountError: The counts differ from the published ones (and ``allow_partial`` was not given).
        """

    def members(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the utterances that take part, in their order."""
        return [utterance for utterance in utterances if self.label(utterance) is not None]

    def differences(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return how the counts differ from the published ones, one clause each; empty where none are known."""
        return []

    def check_labels(self, utterances: Sequence[Utterance]) -> None:
        """Make sure, before scoring, that every member's label is one of ``labels``; the default trusts ``label``.

        Raises:
            MerkitError: A test utterance has a label that training and validation have not.
        """
        return


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec(PlugInSpec):
    """What a protocol's file exports as ``SPEC``."""

    kind: ClassVar[str] = "protocols"
    corpus: str | None
    """The corpus' name in ``corpus.json`` that it is for; ``None``: any."""
    options: type[ProtocolOptions]
    build: Callable[[Any, bool], Protocol]
    """``build(options, allow_partial)``."""
    citation: Citation | None = None
    """``None``: that of its corpus."""
    example: Callable[[], Sequence[Utterance]] | None = None
    """For the contract tests: return a small made-up corpus that has every class in every split."""
