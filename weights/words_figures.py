"""Figures of a built-in words model on the test splits of MELD and of GoEmotions, each with its own prior.

Intervals (95 %) are bootstrapped over conversations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from merkit.metrics.calibration import expected_calibration_error
from merkit.metrics.classification import accuracy, f1_by_class, grouped_confusion, macro_f1, weighted_f1
from merkit.metrics.intervals import percentile_interval, resampled_sums
from merkit.metrics.multi_label import best_thresholds, label_counts, multi_hot
from merkit.metrics.multi_label import macro_f1 as multi_macro_f1
from weights.texts import Texts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
COVERAGE = 0.5
CALL_NEUTRAL = 0.75


@dataclass(frozen=True)
class Scored:
    """Probabilities of texts, ``[texts, classes]``, and what is true of them."""

    texts: Texts
    probabilities: Floats

    @classmethod
    def of(cls, texts: Texts, logits: Floats, temperature: float, log_prior: Floats) -> "Scored":
        """Return the probabilities that evidence and a prior give."""
        return cls(texts, softmax(logits / temperature + log_prior, axis=1))

    def single(self) -> tuple[Ints, Floats, Ints]:
        """Return of the texts of one label: labels, probabilities, and numbers of their conversations."""
        rows = np.flatnonzero(self.texts.single)
        labels = np.array([min(self.texts.labels[row]) for row in rows])
        names = [self.texts.utterances[row].conversation for row in rows]
        return labels, self.probabilities[rows], np.unique(names, return_inverse=True)[1]


def of_single(scored: Scored) -> dict[str, Any]:
    """Return the scores of texts of one label."""
    labels, probabilities, groups = scored.single()
    classes = probabilities.shape[1]
    by_group = grouped_confusion(labels, probabilities.argmax(axis=1), groups, int(groups.max()) + 1, classes)
    (drawn,) = resampled_sums(by_group)
    whole = by_group.sum(axis=0)
    confidence = probabilities.max(axis=1)
    sure = np.argsort(-confidence, kind="stable")[: round(COVERAGE * len(labels))]
    return {
        "texts": len(labels),
        **{
            name: {"value": float(metric(whole)), "interval": percentile_interval(metric(drawn))}
            for name, metric in (("weighted_f1", weighted_f1), ("macro_f1", macro_f1), ("accuracy", accuracy))
        },
        "f1": [float(value) for value in f1_by_class(whole)],
        "calibration_error": expected_calibration_error(labels, probabilities),
        "accuracy_of_surest_half": float((probabilities.argmax(axis=1) == labels)[sure].mean()),
    }


def of_several(scored: Scored, validation: Scored) -> float:
    """Return macro F1 over all labels of all texts; each label has a threshold that is fitted on validation."""
    classes = scored.probabilities.shape[1]
    thresholds = best_thresholds(multi_hot(validation.texts.labels, classes), validation.probabilities)
    found = (scored.probabilities >= thresholds).astype(np.int64)
    return float(multi_macro_f1(label_counts(multi_hot(scored.texts.labels, classes), found)))


def of_calls(texts: Texts, logits: Floats, temperature: float, own: Floats, neutral: int) -> dict[str, float]:
    """Return accuracy on texts weighted so that 75 % are neutral, with the corpus' prior and with the right one."""
    labels = np.array([min(own) for own in texts.labels])
    share = np.exp(own)
    others = np.arange(len(share)) != neutral
    right = np.where(others, share / share[others].sum() * (1 - CALL_NEUTRAL), CALL_NEUTRAL)
    counts = np.bincount(labels, minlength=len(share)) / len(labels)
    weights = right[labels] / counts[labels]
    return {
        name: float(np.average((logits / temperature + prior).argmax(axis=1) == labels, weights=weights))
        for name, prior in (("own prior", own), ("right prior", np.log(right)))
    }


def bars_missed(figures: Mapping[str, Any], bars: Mapping[str, float]) -> Sequence[str]:
    """Return which bars the figures do not reach; those of calibration errors are upper ones."""
    missed = []
    for name, bar in bars.items():
        value: Any = figures
        for key in name.split("/"):
            value = value[key]
        value = value["value"] if isinstance(value, Mapping) else value
        if (value > bar) if "error" in name else (value < bar):
            missed.append(f"{name}: {value:.3f}, bar {bar}")
    return missed
