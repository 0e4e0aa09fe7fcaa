"""IEMOCAP, four emotions, leave one speaker out (ten folds).

The partner of the test speaker is in the same conversations. Some papers train on the partner, others validate on the
partner; both let test conversations into training. Here the partner is not used: training and validation come from the
eight speakers of the other sessions. Validation: a tenth of their conversations, drawn by the run's seed.
"""

from collections.abc import Sequence

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._iemocap import Iemocap4


class Iemocap4Speaker(Iemocap4):
    """Ten folds, named by the speaker tested."""

    name = "iemocap4-speaker"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per speaker, in the order of their names."""
        members = self.checked(utterances)
        session = {utterance.speaker: self.session(utterance) for utterance in members}
        folds = []
        for tested in sorted(session):
            learnable = [utterance for utterance in members if session[utterance.speaker] != session[tested]]
            test = [utterance for utterance in members if utterance.speaker == tested]
            folds.append(self.cut(tested, learnable, test, seed))
        return folds


SPEC = ProtocolSpec(
    name="iemocap4-speaker",
    summary="IEMOCAP, 4 emotions (excited is happy), leave one of 10 speakers out, partner unused (5,531 utterances)",
    corpus="iemocap",
    build=Iemocap4Speaker,
)
