"""EMOVO, seven emotions, leave one actor out (six folds, named by the test actor).

Validation: one of the other five actors, drawn by the run's seed, so that four train. With one actor the best epoch is
partly chance: ``selection = "last"`` suits a schedule that ends at 0.
"""

from collections.abc import Sequence
from typing import ClassVar

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import leave_out, speaker
from merkit.protocols._labels import Counts, EpochOptions, MappedProtocol


class Emovo7(MappedProtocol):
    """Seven acted emotions; each clip is its own conversation, so the bootstrap draws actors."""

    name = "emovo7"
    labels = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
    metrics = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    cluster = "speaker"
    attribute = "emotion"
    expected: ClassVar[Counts] = {"all": dict.fromkeys(labels, 84)}
    source: ClassVar[str] = "Costantini et al. 2014 (588 clips)"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per actor, in the order of their names."""
        return leave_out(self, self.checked(utterances), speaker, speaker, 1, seed)


SPEC = ProtocolSpec(
    name="emovo7",
    summary="EMOVO, 7 emotions, leave one of 6 actors out, 1 of the others validates (588 clips)",
    corpus="emovo",
    options=EpochOptions,
    build=Emovo7,
)
