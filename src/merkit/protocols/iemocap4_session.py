"""IEMOCAP, four emotions, leave one session out (five folds): the usual protocol of speech papers.

The three splits share no conversation, and test speakers are in neither other split. Validation: a tenth of the
training conversations, drawn by the run's seed.
"""

from collections.abc import Sequence

from merkit.core.protocol import Fold, ProtocolOptions, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._iemocap import VALID_SHARE, Iemocap4
from merkit.protocols._labels import attribute


class Iemocap4Session(Iemocap4):
    """Five folds, ``session1`` to ``session5``."""

    name = "iemocap4-session"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per session.

        Raises:
            CountError: The counts differ from the published ones, or fewer than two sessions are there.
        """
        members = self.checked(utterances)
        session = {utterance.id: attribute(utterance, "session", self.name) for utterance in members}
        folds = []
        for tested in sorted(set(session.values())):
            learnable = [utterance for utterance in members if session[utterance.id] != tested]
            test = [utterance for utterance in members if session[utterance.id] == tested]
            folds.append(self.cut(f"session{tested}", learnable, test, VALID_SHARE, seed))
        return folds


SPEC = ProtocolSpec(
    name="iemocap4-session",
    summary="IEMOCAP, 4 emotions (excited is happy), leave one of 5 sessions out (5,531 utterances)",
    corpus="iemocap",
    options=ProtocolOptions,
    build=Iemocap4Session,
)
