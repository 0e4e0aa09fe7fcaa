"""IEMOCAP, four emotions, leave one session out (five folds): the usual protocol of speech papers.

The three splits share no conversation, and test speakers are in neither other split. Validation: a tenth of the
training conversations, drawn by the run's seed.
"""

from collections.abc import Sequence

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import conversation, leave_out
from merkit.protocols._iemocap import VALID_SHARE, Iemocap4


class Iemocap4Session(Iemocap4):
    """Five folds, ``session1`` to ``session5``."""

    name = "iemocap4-session"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per session."""
        return leave_out(self, self.checked(utterances), self.session, conversation, VALID_SHARE, seed)


SPEC = ProtocolSpec(
    name="iemocap4-session",
    summary="IEMOCAP, 4 emotions (excited is happy), leave one of 5 sessions out (5,531 utterances)",
    corpus="iemocap",
    build=Iemocap4Session,
)
