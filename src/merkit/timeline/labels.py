"""How labels look: a colour, a pattern and a line style for each, so that colour is never all that tells them apart.

Names that many corpora use have colours that readers expect; others take those that are left, in order. Colours,
patterns and dashes are classes ``l0`` to ``l11`` of the style sheet. ``unsure`` and ``none`` are classes of their own.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from merkit.timeline.analysis import Segment

STYLES = 12
UNSURE, NONE = "unsure", "none"

_KNOWN = (
    ("neutral",),
    ("happy", "happiness", "joy", "joyful", "excited", "positive"),
    ("sad", "sadness", "grief", "negative"),
    ("angry", "anger", "frustrated", "frustration"),
    ("fear", "fearful", "anxiety", "fearful"),
    ("disgust", "disgusted"),
    ("surprise", "surprised"),
    ("calm", "content", "relief"),
)


def label_styles(labels: Sequence[str]) -> Mapping[str, int]:
    """Return the number of each label's style; more than ``STYLES`` labels share some."""
    expected = {name: number for number, names in enumerate(_KNOWN) for name in names}
    styles: dict[str, int] = {}
    for label in labels:
        number = expected.get(label.casefold())
        if number is not None and number not in styles.values():
            styles[label] = number
    free = [number for number in reversed(range(STYLES)) if number not in styles.values()]
    others = [label for label in labels if label not in styles]
    for at, label in enumerate(others):
        styles[label] = (free or list(range(STYLES)))[at % len(free or range(STYLES))]
    return styles


def style_class(segment: "Segment", styles: Mapping[str, int]) -> str:
    """Return the class of an utterance: that of its first label, or ``unsure`` or ``none``."""
    if segment.label is not None:
        return f"l{styles.get(segment.label, 0)}"
    return UNSURE if segment.prediction is not None and segment.prediction.is_unsure else NONE
