"""Protocols on IEMOCAP: label maps, counts per session, validation by conversation.

Both speakers of a session are in all its conversations, so that no speaker can be held out without the partner. The
validation split is drawn by conversation (a tenth, 12 of 120), which leaves as much for training as papers have.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from merkit.core.protocol import Fold
from merkit.core.types import Utterance
from merkit.protocols._folds import conversation, cut, leave_out
from merkit.protocols._labels import Counts, MappedProtocol, attribute

FOUR = ("angry", "happy", "neutral", "sad")
SIX = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
VALID_SHARE = 0.1
"""Of the training conversations."""
VALID_CONVERSATIONS = 12
"""The same for six classes, where training and validation always have 120."""

_LEFT_OUT: Mapping[str, str | None] = dict.fromkeys(("fea", "sur", "dis", "oth", "xxx"))
"""Rare labels and ``xxx``, on which the raters did not agree."""


class Iemocap4(MappedProtocol):
    """Four classes with excited counted as happy: 5,531 utterances. Subclasses make the folds."""

    labels: tuple[str, ...] = FOUR
    metrics = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    attribute = "emotion"
    classes: ClassVar[Mapping[str, str | None]] = {
        "ang": "angry",
        "hap": "happy",
        "exc": "happy",
        "neu": "neutral",
        "sad": "sad",
        "fru": None,
        **_LEFT_OUT,
    }
    expected: ClassVar[Counts] = {
        "session 1": {"neutral": 384, "happy": 278, "angry": 229, "sad": 194},
        "session 2": {"neutral": 362, "happy": 327, "angry": 137, "sad": 197},
        "session 3": {"neutral": 320, "happy": 286, "angry": 240, "sad": 305},
        "session 4": {"neutral": 258, "happy": 303, "angry": 327, "sad": 143},
        "session 5": {"neutral": 384, "happy": 442, "angry": 170, "sad": 245},
    }
    source: ClassVar[str] = "Busso et al. 2008 as used by papers with 5,531 utterances"
    hint: ClassVar[str] = "Was every session unpacked?"

    def subset(self, utterance: Utterance) -> str:
        """Return ``session 1`` to ``session 5``."""
        return f"session {attribute(utterance, 'session', self.name)}"

    def session(self, utterance: Utterance) -> str:
        """Return ``session1`` to ``session5``, which name folds."""
        return f"session{attribute(utterance, 'session', self.name)}"

    def cut(self, name: str, learnable: Sequence[Utterance], test: Sequence[Utterance], seed: int) -> Fold:
        """Return a fold; its validation conversations are drawn from the learnable ones by seed and fold name."""
        return cut(self, name, learnable, test, conversation, VALID_SHARE, seed, name)


class Iemocap6(Iemocap4):
    """Six classes, excited apart from happy; session 5 is the test split. Subclasses have the counts."""

    labels = SIX
    metrics = ("weighted_f1", "accuracy", "macro_f1", "mean_recall")
    classes: ClassVar[Mapping[str, str | None]] = {
        "hap": "happy",
        "sad": "sad",
        "neu": "neutral",
        "ang": "angry",
        "exc": "excited",
        "fru": "frustrated",
        **_LEFT_OUT,
    }

    def subset(self, utterance: Utterance) -> str:
        """Return ``test`` for session 5 and ``train`` (validation included) for the others."""
        return "test" if self.session(utterance) == "session5" else "train"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold, ``session5``; ``seed`` draws 12 of its training conversations for validation."""
        members = self.checked(utterances)
        return leave_out(self, members, self.session, conversation, VALID_CONVERSATIONS, seed, ["session5"])
