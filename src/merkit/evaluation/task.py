"""The task of a run: what it was asked to predict. Only runs of one task are compared or share a table.

A task is the protocol with what its options do (classes, metrics, folds), and the data: who says what in which
conversation, and the true labels. Not part of it is what systems differ in: where the corpus lies, further columns,
media and features, the selection of the epoch, the number of seeds. Options count by their effect, so that a later
version of a protocol may have more of them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from merkit.core.protocol import Protocol, ProtocolOptions
from merkit.data.corpus.manifest import Manifest
from merkit.evaluation.true_labels import true_labels

_DIGITS = 16
_ELSEWHERE = ("selection", "folds")
"""Options that are no part of the description: the first makes no other task, the number of folds stands beside it."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task; two are the same if their ``id`` is."""

    id: str
    """Hash of protocol, classes, metrics, folds and data."""
    protocol: str
    corpus: str
    """Name of the corpus; of a user's own table that of its folder or file."""
    options: str
    """Those that differ from the protocol's defaults, as TOML, but for the number of folds."""
    labels: tuple[str, ...]
    folds: str
    """Hash of the folds of seed 0: the ids of their splits."""
    data: str
    """Hash of the utterances of the protocol, with their true labels."""

    def differences(self, other: "Task") -> list[str]:
        """Return in words what another task has otherwise."""
        pairs = (
            ("protocol", self.protocol, other.protocol),
            ("options", self.options or "none", other.options or "none"),
            ("classes", _listed(self.labels), _listed(other.labels)),
            ("folds", self.folds[:12], other.folds[:12]),
            ("data", self.data[:12], other.data[:12]),
        )
        return [f"{name} {mine} and {its}" for name, mine, its in pairs if mine != its]


def task_of(name: str, protocol: Protocol, options: ProtocolOptions, manifest: Manifest, corpus: str) -> Task:
    """Return the task of a protocol's runs on a corpus.

    Args:
        name: The protocol's name.
        protocol: The protocol; its classes are found.
        options: Its options.
        manifest: The corpus.
        corpus: The name that it is printed under.
    """
    folds = [
        (fold.name, sorted(fold.train), sorted(fold.valid), sorted(fold.test))
        for fold in protocol.folds(manifest.utterances, 0)
    ]
    members = sorted(protocol.members(manifest.utterances), key=lambda utterance: utterance.id)
    truth = true_labels(protocol, members)
    data = [(u.id, u.conversation, u.speaker, u.text, u.start_s, u.end_s, truth[u.id]) for u in members]
    hashes = {"folds": _hash(sorted(folds)), "data": _hash(data)}
    scored = [protocol.labels, protocol.metrics, protocol.cluster, protocol.pooled]
    return Task(
        id=_hash([name, *scored, *hashes.values()]),
        protocol=name,
        corpus=corpus,
        options=_options_text(options),
        labels=tuple(protocol.labels),
        **hashes,
    )


def _options_text(options: ProtocolOptions) -> str:
    """Return the options that make another task, as ``label = "emotion", folds = 3``."""
    changed = {
        key: value
        for key, value in options.toml_values().items()
        if key not in _ELSEWHERE and getattr(options, key) != type(options).model_fields[key].default
    }
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in changed.items())


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:_DIGITS]


def _listed(labels: Sequence[str]) -> str:
    return f"{len(labels)} ({', '.join(labels)})"
