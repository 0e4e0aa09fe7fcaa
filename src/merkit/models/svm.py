"""Support vector machine on standardised features (scikit-learn's SVC): the classical baseline of speech emotion.

Its probabilities are the softmax of the one-versus-rest decision values that scikit-learn derives from the votes of all
pairs of classes. They rank the classes of an utterance; they are not calibrated, and say little about how sure it is.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from merkit.core.encoder import Encoder
from merkit.core.model import ModelSpec
from merkit.models._classical import ClassicalBaseline, ClassicalConfig, Numbers, Vectors
from merkit.models._fitted import UNSEEN


class SvmConfig(ClassicalConfig):
    """Settings of ``svm``."""

    kernel: Literal["linear", "rbf"] = "rbf"
    """``rbf``: the checkpoint holds training vectors, its support vectors; ``linear``: one hyperplane per pair."""


class Svm(ClassicalBaseline):
    """Decision values from one machine per pair of classes, as ``SVC(break_ties=True)`` makes them.

    ``vectors`` ``[support, dim]`` are the support vectors (for the linear kernel the pairs' hyperplanes),
    ``coefficients`` ``[pairs, support]`` and ``bias`` ``[pairs]`` the machines: a positive value votes for a pair's
    second class. ``seen`` are the numbers of the classes in training.
    """

    vectors: Tensor
    coefficients: Tensor
    bias: Tensor
    gamma: Tensor
    seen: Tensor

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: SvmConfig) -> None:
        super().__init__(encoders, classes, config)
        self.config = config
        self.register_buffer("vectors", torch.zeros(0, self.dim))
        self.register_buffer("coefficients", torch.zeros(0, 0))
        self.register_buffer("bias", torch.zeros(0))
        self.register_buffer("gamma", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    def fit_classes(self, vectors: Vectors, labels: Numbers) -> None:
        """Fit the machines; the solver is deterministic."""
        from sklearn.svm import SVC

        seen = np.unique(labels)
        support, coefficients, bias, gamma = vectors[:0], np.zeros((0, 0)), np.zeros(0), 0.0
        if len(seen) > 1:
            balanced = "balanced" if self.config.class_weights == "inverse" else None
            machine = SVC(C=self.config.inverse_penalty, kernel=self.config.kernel, class_weight=balanced)
            machine.fit(vectors, labels)
            support, coefficients, bias = machine.support_vectors_, _by_pair(machine), machine.intercept_
            bias = bias if len(seen) == 2 else -bias
            if self.config.kernel == "linear":
                support, coefficients = coefficients @ support, np.eye(len(coefficients))
            else:
                variance = vectors.var()
                gamma = 1.0 / (vectors.shape[1] * variance) if variance else 1.0  # scikit-learn's "scale"
        self.seen = torch.from_numpy(seen)
        self.vectors, self.coefficients = torch.from_numpy(support).float(), torch.from_numpy(coefficients).float()
        self.bias, self.gamma = torch.from_numpy(bias).float(), torch.tensor(gamma, dtype=torch.float32)

    def scores(self, vectors: Float[Tensor, "items dim"]) -> Float[Tensor, "items classes"]:
        """Return decision values of all classes."""
        support = self.vectors.cpu().double()
        kernel = vectors @ support.T
        if self.config.kernel == "rbf":
            squared = vectors.square().sum(-1, keepdim=True) - 2 * kernel + support.square().sum(-1)
            kernel = torch.exp(-self.gamma.cpu().double() * squared)
        pairs = kernel @ self.coefficients.cpu().double().T + self.bias.cpu().double()
        seen = self.seen.cpu()
        logits = torch.full((len(vectors), self.classes), UNSEEN, dtype=torch.float64)
        logits[:, seen] = _one_versus_rest(pairs, len(seen))
        return logits


def _by_pair(machine: Any) -> Vectors:
    """Return coefficients ``[pairs, support]``, positive towards the second class of a pair.

    scikit-learn has those of libsvm: the support vectors by class, and for a vector of class i its coefficients against
    all other classes in order. Of two classes alone it has turned the sign.
    """
    dual: Vectors = machine.dual_coef_
    counts = machine.n_support_
    classes, ends = len(counts), np.cumsum(counts)
    if classes == 2:
        return dual
    pairs = list(combinations(range(classes), 2))
    coefficients = np.zeros((len(pairs), dual.shape[1]))
    for row, (first, second) in enumerate(pairs):
        of_first = slice(ends[first] - counts[first], ends[first])
        of_second = slice(ends[second] - counts[second], ends[second])
        coefficients[row, of_first] = -dual[second - 1, of_first]
        coefficients[row, of_second] = -dual[first, of_second]
    return coefficients


def _one_versus_rest(pairs: Float[Tensor, "items pairs"], classes: int) -> Float[Tensor, "items classes"]:
    """Return votes plus the sum of confidences squeezed below one third of a vote, as scikit-learn does.

    Two classes: 0 and the value of their only pair, so that the softmax is the value's sigmoid. One class: 0.
    """
    if classes <= 2:
        return torch.cat([pairs.new_zeros(len(pairs), 1), pairs], dim=-1)
    votes, confidence = pairs.new_zeros(len(pairs), classes), pairs.new_zeros(len(pairs), classes)
    for row, (first, second) in enumerate(combinations(range(classes), 2)):
        value = pairs[:, row]
        votes[:, first] += value <= 0
        votes[:, second] += value > 0
        confidence[:, first] -= value
        confidence[:, second] += value
    return votes + confidence / (3 * (confidence.abs() + 1))


SPEC = ModelSpec(
    name="svm",
    summary="support vector machine on standardised, pooled features (baseline; probabilities from decision values)",
    level="utterance",
    config=SvmConfig,
    build=Svm,
)
