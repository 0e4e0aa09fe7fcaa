"""What protocols with a fixed label map share: labels as shipped to classes, counts against published ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

from merkit.core.errors import CountError, MerkitError
from merkit.core.protocol import Protocol, ProtocolOptions
from merkit.core.types import Utterance

Counts = Mapping[str, Mapping[str, int]]
"""Part of the corpus (a split, a session) to what is counted (class names, ``conversations``) to how many."""

SHOWN = 8
"""Differences named in an error; the rest are counted."""


class MappedProtocol(Protocol):
    """A protocol whose classes come from one attribute through a fixed map, with published counts.

    A subclass sets the class attributes and gives ``part`` and ``folds``; ``folds`` begins with ``self.checked(…)``.
    """

    name: ClassVar[str]
    attribute: ClassVar[str]
    """The attribute that holds the label as shipped."""
    classes: ClassVar[Mapping[str, str | None]]
    """Label as shipped to class name; ``None``: known, but left out by this protocol."""
    expected: ClassVar[Counts] = {}
    """Published counts by part. A part may count ``conversations`` (of all utterances) besides classes."""
    source: ClassVar[str] = "the published counts"
    hint: ClassVar[str] = "Was the whole corpus unpacked and prepared?"

    def __init__(self, options: ProtocolOptions, allow_partial: bool = False) -> None:
        self.options = options
        self.allow_partial = allow_partial

    def label(self, utterance: Utterance) -> str | None:
        """Return the class name, or ``None`` where the map leaves the label out.

        Raises:
            MerkitError: The utterance has no such attribute, or a label that the map does not know.
        """
        shipped = attribute(utterance, self.attribute, self.name)
        if shipped not in self.classes:
            raise MerkitError(
                f"{self.name}: utterance '{utterance.id}' has {self.attribute} '{shipped}'; "
                f"known: {', '.join(self.classes)}. Was the manifest prepared from the corpus this protocol is for?"
            )
        return self.classes[shipped]

    def part(self, utterance: Utterance) -> str:
        """Return the part of the corpus under which an utterance is counted."""
        return "all"

    def counts(self, utterances: Sequence[Utterance]) -> dict[str, dict[str, int]]:
        """Return what was found, by part: members per class, and ``conversations``."""
        found: dict[str, Counter[str]] = {}
        conversations = {(self.part(utterance), utterance.conversation) for utterance in utterances}
        for part, _ in conversations:
            found.setdefault(part, Counter())["conversations"] += 1
        for utterance in utterances:
            label = self.label(utterance)
            if label is not None:
                found[self.part(utterance)][label] += 1
        return {part: dict(counter) for part, counter in found.items()}

    def differences(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return how the counts differ from the published ones: ``train surprise 1204 found, 1205 expected``."""
        if not self.expected:
            return []
        found = self.counts(utterances)
        clauses = []
        for part in [*self.expected, *sorted(found.keys() - self.expected.keys())]:
            there = found.get(part, {})
            # A part that nobody published has every class as unexpected; conversations count only where published.
            for what in self.expected.get(part, dict.fromkeys(self.labels, 0)):
                expected = self.expected.get(part, {}).get(what, 0)
                if there.get(what, 0) != expected:
                    clauses.append(f"{part} {what} {there.get(what, 0)} found, {expected} expected")
        return clauses

    def checked(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the members, once their counts are the published ones or a difference is allowed.

        Raises:
            CountError: There are no members, or the counts differ and ``allow_partial`` was not given.
        """
        members = self.members(utterances)
        if not members:
            raise CountError(f"{self.name}: no utterance takes part ({len(utterances)} read). {self.hint}")
        differences = self.differences(utterances)
        if differences and not self.allow_partial:
            more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
            raise CountError(
                f"{self.name}: counts differ from {self.source}: {'; '.join(differences[:SHOWN])}{more}. "
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


def numbered(protocol: Protocol, utterances: Sequence[Utterance]) -> dict[str, int]:
    """Return class numbers by id in the order of ``utterances``; those that take no part are left out."""
    numbers = {name: number for number, name in enumerate(protocol.labels)}
    labels = ((utterance.id, protocol.label(utterance)) for utterance in utterances)
    return {id_: numbers[label] for id_, label in labels if label is not None}
