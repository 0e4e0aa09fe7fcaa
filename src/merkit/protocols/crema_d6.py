"""CREMA-D, six emotions as the actors intended them, five folds of actors.

The corpus has no published folds: its actors, sorted by number, go in turn to one of five (19, 18, 18, 18, 18). The
twelve sentences are spoken in every emotion, so that the text does not depend on the emotion. Validation: an eighth of
the training actors, drawn by the run's seed.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import dealt, leave_out, speaker
from merkit.protocols._labels import Counts, MappedProtocol

LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad")
FOLDS = 5
VALID_SHARE = 0.125


class CremaD6(MappedProtocol):
    """Five folds, ``1`` to ``5``; each clip is its own conversation, so the bootstrap draws speakers."""

    name = "crema-d6"
    labels = LABELS
    metrics = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    cluster = "speaker"
    attribute = "emotion"
    classes: ClassVar[Mapping[str, str | None]] = dict(
        zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), LABELS, strict=True)
    )
    expected: ClassVar[Counts] = {"all": dict(zip(LABELS, (1271, 1271, 1271, 1271, 1087, 1271), strict=True))}
    source: ClassVar[str] = "Cao et al. 2014 (7,442 clips)"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the five folds, which depend on the actors' numbers alone."""
        members = self.checked(utterances)
        number = dealt((utterance.speaker for utterance in members), FOLDS)
        return leave_out(
            self,
            members,
            lambda u: number[u.speaker],
            speaker,
            VALID_SHARE,
            seed,
            folds=range(FOLDS),
            name=lambda number: str(number + 1),
        )


SPEC = ProtocolSpec(
    name="crema-d6",
    summary="CREMA-D, 6 intended emotions, 5 folds of actors (91 actors, 7,442 clips)",
    corpus="crema_d",
    build=CremaD6,
)
