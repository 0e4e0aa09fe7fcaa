"""Protocols with a fixed label map: shipped labels to classes, counts compared with the published ones."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from merkit.core.errors import CountError, MerkitError
from merkit.core.phrases import listed
from merkit.core.protocol import Label, Protocol, ProtocolOptions, Selection, Target
from merkit.core.types import Utterance

Counts = Mapping[str, Mapping[str, int]]
"""By subset of the corpus (a split, a session): how many of each class, and how many ``conversations``."""

SEPARATOR = ";"
"""Between the labels of an attribute that holds several."""

SHOWN = 8
"""Differences that an error names; it counts the others."""


class EpochOptions(ProtocolOptions):
    """Which epoch is reported."""

    selection: Selection = "best_valid"
    """``last`` where validation says little: few speakers, or features that have seen its labels."""


class MappedProtocol(Protocol):
    """A protocol whose classes come from one attribute through a fixed map, with published counts.

    A multi-label one finds several labels in the attribute, separated by semicolons.

    A subclass sets the class attributes and implements ``subset`` and ``folds``; ``folds`` calls ``checked`` first.
    """

    name: ClassVar[str]
    attribute: ClassVar[str]
    """The attribute that holds the label as shipped."""
    classes: ClassVar[Mapping[str, str | None]] = {}
    """Shipped label to class name; ``None``: known, but left out by this protocol. Empty: both are the same."""
    expected: ClassVar[Counts] = {}
    """Published counts by subset; ``conversations`` counts those of all utterances."""
    source: ClassVar[str] = "the published counts"
    hint: ClassVar[str] = "Was the whole corpus unpacked and prepared?"

    def __init__(self, options: ProtocolOptions, allow_partial: bool = False) -> None:
        self.options = options
        self.allow_partial = allow_partial
        if isinstance(options, EpochOptions):
            self.selection = options.selection

    def label(self, utterance: Utterance) -> Label | None:
        """Return the class name, or ``None`` where the map leaves the label out.

        A multi-label protocol returns the class names of all labels that the map does not leave out.
        """
        shipped = attribute(utterance, self.attribute, self.name)
        if not self.multi_label:
            return self._class_of(shipped, utterance)
        found = [self._class_of(name, utterance) for name in shipped.split(SEPARATOR)]
        return tuple(dict.fromkeys(name for name in found if name is not None)) or None

    @cached_property
    def _classes(self) -> Mapping[str, str | None]:
        return self.classes or dict(zip(self.labels, self.labels, strict=True))

    def _class_of(self, shipped: str, utterance: Utterance) -> str | None:
        if shipped not in self._classes:
            raise MerkitError(
                f"{self.name}: utterance '{utterance.id}' has {self.attribute} '{shipped}'; "
                f"known: {', '.join(self._classes)}. Was the manifest prepared from the corpus this protocol is for?"
            )
        return self._classes[shipped]

    def subset(self, utterance: Utterance) -> str:
        """Return the subset of the corpus (a split, a session) that an utterance is counted in."""
        return "all"

    def counts(self, utterances: Sequence[Utterance]) -> dict[str, dict[str, int]]:
        """Return the counts of a corpus: members of each class, and conversations, by subset."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for subset, _ in {(self.subset(utterance), utterance.conversation) for utterance in utterances}:
            counts[subset]["conversations"] += 1
        for utterance in utterances:
            if (label := self.label(utterance)) is not None:
                counts[self.subset(utterance)].update([label] if isinstance(label, str) else label)
        return {subset: dict(counter) for subset, counter in counts.items()}

    def differences(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return how the counts differ from the published ones: ``train surprise 1204 found, 1205 expected``."""
        if not self.expected:
            return []
        counts = self.counts(utterances)
        clauses = []
        for subset in [*self.expected, *sorted(counts.keys() - self.expected.keys())]:
            # In a subset without published counts every class is unexpected, and conversations are not compared.
            for name, expected in self.expected.get(subset, dict.fromkeys(self.labels, 0)).items():
                found = counts.get(subset, {}).get(name, 0)
                if found != expected:
                    clauses.append(f"{subset} {name} {found} found, {expected} expected")
        return clauses

    def checked(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the members, if their counts are the published ones or a difference is allowed.

        Raises:
            CountError: There are no members, or the counts differ and ``allow_partial`` was not given.
        """
        members = self.members(utterances)
        if not members:
            raise CountError(f"{self.name}: no utterance takes part ({len(utterances)} read). {self.hint}")
        differences = self.differences(utterances)
        if differences and not self.allow_partial:
            raise CountError(
                f"{self.name}: counts differ from {self.source}: {listed(differences, SHOWN, '; ')}. "
                f"{self.hint} To go on with the counts found, allow a partial corpus (--allow-partial)."
            )
        return members


def attribute(utterance: Utterance, name: str, protocol: str) -> str:
    """Return an attribute as text.

    Raises:
        MerkitError: The utterance has none, or an empty one.
    """
    value = utterance.attributes.get(name)
    if value is None or value == "":
        raise MerkitError(
            f"{protocol}: utterance '{utterance.id}' has no attribute '{name}'. "
            f"Was the manifest prepared from the corpus this protocol is for?"
        )
    return str(value)


def numbered(protocol: Protocol, utterances: Sequence[Utterance]) -> dict[str, Target]:
    """Return class numbers by id in the order of ``utterances``, without those that are no members."""
    targets = ((utterance.id, protocol.target(utterance)) for utterance in utterances)
    return {id_: target for id_, target in targets if target is not None}
