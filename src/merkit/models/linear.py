"""Logistic regression on standardised features (scikit-learn): a baseline for every model of the same features."""

import logging
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from merkit.core.encoder import Encoder
from merkit.core.model import ModelSpec
from merkit.models._classical import ClassicalBaseline, ClassicalConfig, Numbers, Vectors
from merkit.models._fitted import UNSEEN, class_rows

MAX_ITERATIONS = 1000
"""Of the solver (L-BFGS), which needs some tens for standardised columns."""

_log = logging.getLogger(__name__)


class Linear(ClassicalBaseline):
    """Multinomial logistic regression with an L2 penalty; weights and biases are buffers."""

    weight: Tensor
    bias: Tensor

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ClassicalConfig) -> None:
        super().__init__(encoders, classes, config)
        self.config = config
        self.register_buffer("weight", torch.zeros(classes, self.dim))
        self.register_buffer("bias", torch.zeros(classes))

    def fit_classes(self, vectors: Vectors, labels: Numbers) -> None:
        """Fit the regression; the solver is deterministic."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        seen = np.unique(labels)
        weight, bias = np.zeros((self.classes, self.dim)), np.full(self.classes, UNSEEN)
        bias[seen] = 0.0
        if len(seen) > 1:
            balanced = "balanced" if self.config.class_weights == "inverse" else None
            regression = LogisticRegression(
                C=self.config.inverse_penalty, class_weight=balanced, max_iter=MAX_ITERATIONS
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                regression.fit(vectors, labels)
            if regression.n_iter_.max() >= MAX_ITERATIONS:
                _log.warning(
                    "linear: stopped after %d iterations before it converged; lower config.inverse_penalty",
                    MAX_ITERATIONS,
                )
            weight, bias = class_rows(regression, self.classes)
        self.weight, self.bias = torch.from_numpy(weight).float(), torch.from_numpy(bias).float()

    def scores(self, vectors: Float[Tensor, "items dim"]) -> Float[Tensor, "items classes"]:
        """Return log probabilities up to a constant."""
        return vectors @ self.weight.cpu().double().T + self.bias.cpu().double()


SPEC = ModelSpec(
    name="linear",
    summary="logistic regression on standardised, pooled features (baseline)",
    level="utterance",
    config=ClassicalConfig,
    build=Linear,
)
