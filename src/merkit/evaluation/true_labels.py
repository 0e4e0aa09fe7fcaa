"""True labels of a corpus, test split included; only `merkit.evaluation` reads them, never code that trains."""

from collections.abc import Sequence

from merkit.core.protocol import Protocol
from merkit.core.types import Utterance


def true_labels(protocol: Protocol, utterances: Sequence[Utterance]) -> dict[str, int]:
    """Return the class number of every utterance of a protocol, by id.

    Raises:
        MerkitError: An utterance has a label that is none of the protocol's classes.
    """
    protocol.check_labels(utterances)
    numbers = {name: number for number, name in enumerate(protocol.labels)}
    labels = ((utterance.id, protocol.label(utterance)) for utterance in utterances)
    return {id_: numbers[label] for id_, label in labels if label is not None}
