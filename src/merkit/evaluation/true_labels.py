"""True labels of a corpus, test split included; only `merkit.evaluation` reads them, never code that trains."""

from collections.abc import Sequence

from merkit.core.protocol import Protocol, Target
from merkit.core.types import Utterance


def true_labels(protocol: Protocol, utterances: Sequence[Utterance]) -> dict[str, Target]:
    """Return the class number, or numbers, of every utterance of a protocol, by id.

    Raises:
        MerkitError: An utterance has a label that is none of the protocol's classes.
    """
    protocol.check_labels(utterances)
    targets = ((utterance.id, protocol.target(utterance)) for utterance in utterances)
    return {id_: target for id_, target in targets if target is not None}
