"""Training of the linear head: random references, balanced weights, a convex fit, a temperature."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from weights.vectors import UNLABELLED, Clips, Vectors

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_EXCLUDED = -1e9
"""Added to the logits of labels that a clip's corpus does not have."""


@dataclass(frozen=True)
class Head:
    """Logits of labels ``x W + b`` and of high against low arousal ``x a + c``; ``x``: centred vectors."""

    weight: Floats
    """``[dim, labels]``"""
    bias: Floats
    """``[labels]``"""
    arousal_weight: Floats
    """``[dim]``"""
    arousal_bias: float
    training_mean: Floats
    """``[dim]``: the mean of the corpora's means."""

    def logits(self, centred: Vectors) -> Floats:
        """Return the labels' logits ``[clips, labels]``."""
        return np.asarray(centred @ self.weight + self.bias)

    def arousal(self, centred: Vectors) -> Floats:
        """Return the logits of high arousal ``[clips]``."""
        return np.asarray(centred @ self.arousal_weight + self.arousal_bias)


@dataclass(frozen=True)
class Examples:
    """Training clips minus references."""

    vectors: npt.NDArray[np.float32]
    labels: Ints
    corpora: Ints
    """The number of the corpus of each row."""


def centre(vectors: Vectors, reference: Vectors, training_mean: Floats) -> Vectors:
    """Return vectors minus the mean of a reference, with the training mean counted as one more clip of it."""
    return vectors - (reference.sum(axis=0) + training_mean) / (len(reference) + 1)


def random_references(
    vectors: Vectors,
    clips: Clips,
    training_mean: Floats,
    generator: np.random.Generator,
    *,
    copies: int,
    fewest: int,
    most: int,
) -> tuple[Vectors, Ints]:
    """Return ``copies`` of each labelled clip, each minus the mean of random clips of its speaker, and their labels.

    The number of clips of a reference is drawn evenly from ``fewest`` to ``most``; the shares of its labels from all
    shares that sum to 1 (a flat Dirichlet distribution), then each clip, with replacement, by these shares.
    """
    rows, labels = [], []
    for speaker in np.unique(clips.speakers):
        own = np.flatnonzero((clips.speakers == speaker) & (clips.labels != UNLABELLED))
        present = np.unique(clips.labels[own])
        members = [own[clips.labels[own] == label] for label in present]
        for _ in range(copies):
            for clip in own:
                count = int(generator.integers(fewest, most + 1))
                shares = generator.dirichlet(np.ones(len(present)))
                drawn = generator.multinomial(count, shares)
                chosen = np.concatenate([generator.choice(m, n) for m, n in zip(members, drawn, strict=True)])
                rows.append(centre(vectors[clip], vectors[chosen], training_mean))
                labels.append(clips.labels[clip])
    return np.stack(rows), np.array(labels, dtype=np.int64)


def balanced_weights(groups: Sequence[npt.NDArray[np.generic]]) -> Floats:
    """Return a weight per row that sum to 1, so that each group weighs the same as its sisters, level by level.

    ``groups`` are columns, such as a corpus and a label per row: every corpus has the same weight, and within each
    every label that it has.
    """
    weights = np.ones(len(groups[0]))
    inside = np.zeros(len(groups[0]), dtype=np.int64)
    for column in groups:
        pairs = np.stack([inside, np.unique(column, return_inverse=True)[1]], axis=1)
        found, numbers = np.unique(pairs, axis=0, return_inverse=True)
        sisters = np.bincount(found[:, 0])
        weights = weights / sisters[found[numbers, 0]]
        inside = numbers
    return np.asarray(weights / np.bincount(inside)[inside])


def fit_head(
    examples: Examples, classes: int, sides: Floats, training_mean: Floats, *, penalty: float, iterations: int
) -> Head:
    """Fit both outputs by L-BFGS: the weighted mean of the cross entropies plus the penalty.

    Columns are divided by their weighted root mean square first, so that the penalty, ``penalty / 2`` times the sum of
    squared weights, treats them alike.

    Args:
        examples: Of one corpus or more.
        classes: How many labels there are.
        sides: By label: 1 high arousal, 0 low, NaN neither.
        training_mean: Kept in the head.
        penalty: Of the L2 penalty.
        iterations: At most.
    """
    weights = balanced_weights([examples.corpora, examples.labels])
    scale = np.sqrt(weights @ np.square(examples.vectors, dtype=np.float64))
    scaled = (examples.vectors / scale).astype(np.float32)
    allowed = np.full((examples.corpora.max() + 1, classes), _EXCLUDED)
    allowed[examples.corpora, examples.labels] = 0.0
    truth = np.eye(classes)[examples.labels]

    def of_labels(logits: Floats) -> tuple[float, Floats]:
        log_p = log_softmax(logits + allowed[examples.corpora], axis=1)
        return -float(weights @ (truth * log_p).sum(axis=1)), weights[:, None] * (np.exp(log_p) - truth)

    weight, bias = _fit(scaled, of_labels, classes, penalty, iterations)

    target = sides[examples.labels]
    known = ~np.isnan(target)
    by_side = balanced_weights([examples.corpora[known], target[known], examples.labels[known]])
    high = target[known][:, None]

    def of_arousal(logits: Floats) -> tuple[float, Floats]:
        loss = np.logaddexp(0.0, logits) - high * logits
        return float(by_side @ loss[:, 0]), by_side[:, None] * (expit(logits) - high)

    side_weight, side_bias = _fit(scaled[known], of_arousal, 1, penalty, iterations)
    return Head(weight / scale[:, None], bias, side_weight[:, 0] / scale, float(side_bias[0]), training_mean)


def _fit(
    scaled: npt.NDArray[np.float32],
    objective: Callable[[Floats], tuple[float, Floats]],
    outputs: int,
    penalty: float,
    iterations: int,
) -> tuple[Floats, Floats]:
    """Minimise ``objective(logits) -> (loss, slope)`` over a linear map; the bias has no penalty."""
    dim = scaled.shape[1]

    def value_and_slope(flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(dim + 1, outputs)
        weight, bias = table[:-1], table[-1]
        loss, slope = objective((scaled @ weight.astype(np.float32)).astype(np.float64) + bias)
        down = (scaled.T @ slope.astype(np.float32)).astype(np.float64) + penalty * weight
        return loss + penalty / 2 * float((weight**2).sum()), np.concatenate([down.ravel(), slope.sum(axis=0)])

    start = np.zeros((dim + 1) * outputs)
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "gtol": 1e-5})
    table = found.x.reshape(dim + 1, outputs)
    return table[:-1], table[-1]


def fit_temperature(logits: Floats, labels: Ints, weights: Floats, log_prior: Floats | float = 0.0) -> float:
    """Return the temperature of the least weighted negative log-likelihood (Guo et al., ICML 2017).

    A logit of minus infinity leaves a label out. ``log_prior`` is added to the logits after they are divided.
    """

    def loss(log_t: float) -> float:
        log_p = log_softmax(logits / np.exp(log_t) + log_prior, axis=1)
        return -float(weights @ log_p[np.arange(len(labels)), labels])

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))
