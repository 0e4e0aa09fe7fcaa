"""nEMO, six emotions, leave one speaker out (nine folds, named by the test speaker).

Validation: one of the other eight speakers, drawn by the run's seed. With one speaker the best epoch is partly chance:
``selection = "last"`` suits a schedule that ends at 0.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import leave_out, speaker
from merkit.protocols._labels import Counts, EpochOptions, MappedProtocol

LABELS = ("anger", "fear", "happiness", "neutral", "sadness", "surprise")


class Nemo6(MappedProtocol):
    """Six acted emotions; each clip is its own conversation, so the bootstrap draws speakers."""

    name = "nemo6"
    labels = LABELS
    metrics = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    cluster = "speaker"
    attribute = "emotion"
    classes: ClassVar[Mapping[str, str | None]] = {**{label: label for label in LABELS}, "surprised": "surprise"}
    """The table of the release says ``surprised``, its description ``surprise``."""
    expected: ClassVar[Counts] = {"all": dict(zip(LABELS, (749, 736, 749, 809, 769, 669), strict=True))}
    source: ClassVar[str] = "Christop 2024 (4,481 clips)"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per speaker, in the order of their names."""
        return leave_out(self, self.checked(utterances), speaker, speaker, 1, seed)


SPEC = ProtocolSpec(
    name="nemo6",
    summary="nEMO, 6 emotions, leave one of 9 speakers out, 1 of the others validates (4,481 clips)",
    corpus="nemo",
    options=EpochOptions,
    build=Nemo6,
)
