"""Scores, differences and quantities as text; scores and differences are printed in percent and percentage points."""

from collections.abc import Mapping, Sequence
from typing import Any

METRIC_NAMES = {
    "accuracy": "Accuracy (WA)",
    "mean_recall": "Mean recall (UA)",
    "weighted_f1": "Weighted F1",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
}


def spread_text(mean: float | None, std: float | None) -> str:
    """Return ``62.31 ± 0.42`` of shares, ``62.31`` for one seed, a dash for an undefined mean."""
    if mean is None:
        return "–"
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def interval_text(interval: Sequence[float]) -> str:
    """Return ``[60.1, 64.2]``."""
    low, high = (minus(f"{100 * value:.1f}") for value in interval)
    return f"[{low}, {high}]"


def score_text(score: Mapping[str, Any]) -> str:
    """Return ``62.31 ± 0.42 [60.1, 64.2]``."""
    return f"{spread_text(score['mean'], score['std'])} {interval_text(score['interval'])}"


def points(share: float, sign: bool = False) -> str:
    """Return a difference in percentage points."""
    return minus(f"{100 * share:+.2f}" if sign else f"{100 * share:.2f}")


def p_text(p_value: float) -> str:
    """Return a p-value with three digits, ``< 0.001`` below that."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def minus(number: str) -> str:
    """Return a number with a minus sign in place of a hyphen."""
    return number.replace("-", "−")


def duration_text(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def memory_text(size: int) -> str:
    """Return bytes in GiB."""
    return f"{size / 2**30:.2f} GiB" if size else "–"
