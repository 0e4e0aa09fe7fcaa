"""What the protocols of EMO-DB share: leave one speaker out (ten folds, named by the test speaker).

This is how the corpus is usually tested. Validation: one of the other nine speakers, drawn by the run's seed. With one
speaker the best epoch is partly chance: ``selection = "last"`` suits a schedule that ends at 0.
"""

from collections.abc import Sequence
from typing import ClassVar

from merkit.core.protocol import Fold
from merkit.core.types import Utterance
from merkit.protocols._folds import leave_out, speaker
from merkit.protocols._labels import MappedProtocol

COUNTS = {"anger": 127, "boredom": 81, "disgust": 46, "fear": 69, "happiness": 71, "neutral": 79, "sadness": 62}


class Emodb(MappedProtocol):
    """Acted emotions; each clip is its own conversation, so the bootstrap draws speakers."""

    metrics = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    cluster = "speaker"
    attribute = "emotion"
    source: ClassVar[str] = "Burkhardt et al. 2005 (535 clips)"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per speaker, in the order of their numbers."""
        return leave_out(self, self.checked(utterances), speaker, speaker, 1, seed)
