"""IEMOCAP, four emotions, neither the session nor the script or scenario of a test utterance in training.

Actors of every session play the same three scripts and eight scenarios, so that with leave-one-session-out a fifth of
the test utterances occur word for word in training. Here a fold is a pair of session and script (``script01`` with all
its parts, ``impro05``, …): it tests that session's version of the script, and trains on other scripts of other
sessions. Folds are small and are scored as one set. The topic goes with the script, so that the score is a lower bound.
Validation: a tenth of the training conversations, drawn by the run's seed.
"""

from collections.abc import Sequence

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._iemocap import Iemocap4
from merkit.protocols._labels import attribute


class Iemocap4Scriptfree(Iemocap4):
    """One fold per session and script or scenario: up to 55, ``session1-impro01`` to ``session5-script03``."""

    name = "iemocap4-scriptfree"
    pooled = True

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return one fold per pair of session and script that has members, in order."""
        members = self.checked(utterances)
        pairs = {u.id: (self.session(u), attribute(u, "script", self.name)) for u in members}
        folds = []
        for session, script in sorted(set(pairs.values())):
            learnable = [u for u in members if pairs[u.id][0] != session and pairs[u.id][1] != script]
            test = [utterance for utterance in members if pairs[utterance.id] == (session, script)]
            folds.append(self.cut(f"{session}-{script}", learnable, test, seed))
        return folds


SPEC = ProtocolSpec(
    name="iemocap4-scriptfree",
    summary="IEMOCAP, 4 emotions, test session and test script both unseen, scored pooled (5,531 utterances)",
    corpus="iemocap",
    build=Iemocap4Scriptfree,
)
