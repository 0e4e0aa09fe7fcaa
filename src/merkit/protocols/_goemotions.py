"""GoEmotions by the filtered release's split: several labels per comment. Validation: the dev split."""

from collections.abc import Mapping
from typing import ClassVar

from merkit.core.types import Utterance
from merkit.protocols._official import OfficialSplit

EMOTIONS = (
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
)
"""As the release numbers them."""


class GoEmotions(OfficialSplit):
    """Any number of labels per comment; a label's class may be that of several emotions."""

    multi_label = True
    metrics = ("macro_f1", "micro_f1", "macro_precision", "macro_recall")
    attribute = "emotions"
    source: ClassVar[str] = "Demszky et al. 2020 (files of the filtered release)"


def counts_by_split(labels: tuple[str, ...], counts: Mapping[str, tuple[int, ...]]) -> dict[str, dict[str, int]]:
    """Return published counts by split: comments, which are conversations here, and those that have a label."""
    comments = {"train": 43410, "dev": 5426, "test": 5427}
    return {
        split: {"conversations": comments[split], **dict(zip(labels, of_split, strict=True))}
        for split, of_split in counts.items()
    }


def example(labels: tuple[str, ...], emotion_of: Mapping[str, str]) -> list[Utterance]:
    """Return made-up comments: in every split each class alone, and two classes together."""
    sets = [(emotion_of[label],) for label in labels] + [(emotion_of[labels[0]], emotion_of[labels[1]])]
    return [
        Utterance(
            id=f"{split}{number}",
            conversation=f"{split}{number}",
            turn=0,
            speaker="",
            text=f"A comment with {' and '.join(names)}.",
            language="en",
            attributes={"emotions": ";".join(names), "split": split},
        )
        for split in GoEmotions.splits
        for number, names in enumerate(sets)
    ]
