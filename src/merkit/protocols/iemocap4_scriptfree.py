"""IEMOCAP, four emotions, neither the session nor the script or scenario of a test utterance in training.

Actors of every session play the same three scripts and eight scenarios, so that with leave-one-session-out a fifth of
the test utterances occur word for word in training. Here a fold is a pair of session and script (``script01`` with all
its parts, ``impro05``, …): it tests that session's version of the script, and trains on other scripts of other
sessions. Folds are small and are scored as one set. The topic goes with the script, so that the score is a lower
bound. Validation tests unseen scripts, too: they are drawn by the run's seed until they have a tenth of the utterances
and every class, at most half of the scripts, and leave the training split. On shared scripts the best epoch would be
chosen by the overlap that this protocol excludes.
"""

from collections.abc import Mapping, Sequence

from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import cut, held_out
from merkit.protocols._iemocap import VALID_SHARE, Iemocap4
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
            folds.append(self._cut(f"{session}-{script}", learnable, test, pairs, seed))
        return folds

    def _cut(
        self,
        name: str,
        learnable: Sequence[Utterance],
        test: Sequence[Utterance],
        pairs: Mapping[str, tuple[str, str]],
        seed: int,
    ) -> Fold:
        """Return a fold whose training and validation splits share no script."""

        def script(utterance: Utterance) -> str:
            return pairs[utterance.id][1]

        def enough(count: int) -> bool:
            drawn = held_out(learnable, script, count, seed, name)
            valid = [utterance for utterance in learnable if script(utterance) in drawn]
            return len(valid) >= VALID_SHARE * len(learnable) and {self.label(u) for u in valid} == classes

        classes = {self.label(utterance) for utterance in learnable}
        most = max(1, len({script(utterance) for utterance in learnable}) // 2)
        count = next((count for count in range(1, most) if enough(count)), most)
        return cut(self, name, learnable, test, script, count, seed, name)


SPEC = ProtocolSpec(
    name="iemocap4-scriptfree",
    summary="IEMOCAP, 4 emotions, test session and test script both unseen, scored pooled (5,531 utterances)",
    corpus="iemocap",
    build=Iemocap4Scriptfree,
)
