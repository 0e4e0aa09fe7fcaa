"""Labels that a reader would take for one another, or for no label at all.

Nothing is changed: whether ``Angry`` and ``angry`` are one class, and whether ``none`` is one, only the user knows.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from merkit.core.corpus import Finding
from merkit.core.types import Scalar, Utterance

NOTHING = frozenset(
    ("", "-", "--", "—", "–", ".", "?", "nan", "none", "null", "nil", "na", "n/a", "n.a.", "<na>", "#n/a", "nat")
)
"""Words that tables write where there is no value. ``unknown`` and ``other`` are classes of real corpora."""
LABEL_COLUMNS = ("label", "emotion", "sentiment", "class", "category")
"""Always taken for labels; any other column only where its words repeat."""
MOST_CLASSES = 100
"""A column with more different words is not taken for labels, but for names or sentences."""
_NUMBERED = frozenset(("Cc", "Cf", "Mn", "Me", "Zl", "Zp", "Co", "Cn"))
"""Categories of characters that are printed by their number, so that no two labels look the same in a message."""


@dataclass(frozen=True, slots=True)
class LabelWarning:
    """One kind of odd labels in a column: its code, a clause with the labels and their numbers, and these labels."""

    code: str
    message: str
    labels: frozenset[str]


def label_name(value: Scalar) -> str:
    """Return the name of the class that a cell stands for: whole numbers without a point, text without outer blanks.

    >>> label_name(-1.0), label_name(0.5), label_name(" sad ")
    ('-1', '0.5', 'sad')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def number_of(value: Scalar) -> float | None:
    """Return the finite number that a cell holds or spells; ``None`` where it is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def label_warnings(cells: Iterable[Scalar]) -> list[LabelWarning]:
    """Return what is odd about the labels in cells: some that read the same, and some that stand for nothing."""
    counts = Counter(cell for cell in cells if isinstance(cell, str))
    alike: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        alike[_folded(label)].append(label)
    groups = [group for key, group in alike.items() if len(group) > 1 and key not in NOTHING]
    nothing = [label for key, group in alike.items() if key in NOTHING for label in group if label]
    warnings = []
    if groups:
        listed = "; ".join(_listed(group, counts, " and ") for group in groups)
        message = f"labels differ only in case, white space or Unicode form: {listed}"
        warnings.append(LabelWarning("labels-alike", message, frozenset(chain(*groups))))
    if nothing:
        message = f"labels are words for no value: {_listed(nothing, counts, ', ')}"
        warnings.append(LabelWarning("labels-of-nothing", message, frozenset(nothing)))
    return warnings


def check_label_columns(utterances: Sequence[Utterance]) -> list[Finding]:
    """Report odd labels in every column of words that may hold labels."""
    findings = []
    for column in sorted({name for utterance in utterances for name in utterance.attributes}):
        cells = {utterance.id: utterance.attributes.get(column) for utterance in utterances}
        filled = [cell for cell in cells.values() if isinstance(cell, str)]
        if column in LABEL_COLUMNS or len(set(filled)) <= min(MOST_CLASSES, len(filled) / 2):
            for warning in label_warnings(filled):
                ids = tuple(id_ for id_, cell in cells.items() if cell in warning.labels)
                findings.append(Finding("warning", warning.code, f"column '{column}': {warning.message}", ids))
    return findings


def _folded(label: str) -> str:
    """Return a label without what case, white space and Unicode's forms add to it."""
    visible = "".join(
        letter for letter in unicodedata.normalize("NFKC", label) if unicodedata.category(letter) not in ("Cf", "Cc")
    )
    return unicodedata.normalize("NFKC", re.sub(r"\s+", "", visible).casefold())


def _listed(labels: Sequence[str], counts: Counter[str], between: str) -> str:
    return between.join(f"'{_shown(label)}' ({counts[label]:,})" for label in labels)


def _shown(label: str) -> str:
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _NUMBERED or (letter.isspace() and letter != " ")
        else letter
        for letter in label
    )
