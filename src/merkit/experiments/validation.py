"""What is measured on the validation split: scores after every epoch, and the thresholds of a multi-label model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from merkit.core.protocol import Protocol, Target
from merkit.core.types import Prediction
from merkit.metrics.classification import METRICS, confusion
from merkit.metrics.multi_label import MULTI_LABEL_METRICS, best_thresholds, label_counts, multi_hot

_TINY = float(np.finfo(np.float64).tiny)
"""A probability that rounds to 0 counts as this number in ``loss``."""


def validation_scores(
    predictions: Sequence[Prediction], targets: Sequence[Target], protocol: Protocol
) -> dict[str, float]:
    """Return the protocol's metrics and ``loss``: the mean of -log p(true class), in nats.

    For a multi-label protocol these are the scores with the thresholds that are best on these predictions, and
    ``loss`` is the mean over labels of -log p(the label is there, or is not).
    """
    labels = protocol.labels
    if not protocol.multi_label:
        truth = np.array(targets)
        predicted = np.array([labels.index(str(prediction.label)) for prediction in predictions])
        counts = confusion(truth, predicted, len(labels))
        likelihoods = [p.probabilities[labels[number]] for p, number in zip(predictions, truth, strict=True)]
        loss = -float(np.log(np.maximum(likelihoods, _TINY)).mean())
        return {**{name: float(METRICS[name](counts)) for name in protocol.metrics}, "loss": loss}
    truth, probabilities = multi_hot(targets, len(labels)), _probabilities(predictions, labels)
    counts = label_counts(truth, (probabilities >= best_thresholds(truth, probabilities)).astype(np.int64))
    likelihood = np.where(truth == 1, probabilities, 1.0 - probabilities)
    loss = -float(np.log(np.maximum(likelihood, _TINY)).mean())
    return {**{name: float(MULTI_LABEL_METRICS[name](counts)) for name in protocol.metrics}, "loss": loss}


def fitted_thresholds(
    predictions: Sequence[Prediction], targets: Sequence[Target], labels: Sequence[str]
) -> tuple[float, ...]:
    """Return for each label the threshold with the highest F1 on these predictions of the validation split."""
    fitted = best_thresholds(multi_hot(targets, len(labels)), _probabilities(predictions, labels))
    return tuple(fitted.tolist())


def _probabilities(predictions: Sequence[Prediction], labels: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([[prediction.probabilities[label] for label in labels] for prediction in predictions])
