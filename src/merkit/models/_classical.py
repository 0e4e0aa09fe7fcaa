"""What classical models on features share: one standardised vector per utterance, fitted by scikit-learn."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.errors import MerkitError
from merkit.core.model import ModelConfig
from merkit.models._fitted import FittedBaseline
from merkit.nn.losses import IGNORED
from merkit.nn.pooling import Pooling, pool, pooled_dim
from merkit.nn.standardization import Standardizer

Vectors = np.ndarray[Any, np.dtype[np.float64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


class ClassicalConfig(ModelConfig):
    """Settings of ``linear`` and ``svm``, in scikit-learn's terms."""

    pooling: Pooling = "mean"
    """How frames become one vector; ``mean_std`` puts their standard deviation beside their mean."""
    inverse_penalty: float = Field(default=1.0, gt=0.0)
    """scikit-learn's ``C``: the inverse of the weight of the L2 penalty."""
    class_weights: Literal["none", "inverse"] = "none"
    """``inverse`` is scikit-learn's ``balanced``."""


class ClassicalBaseline(FittedBaseline):
    """Pooled modalities side by side, each column standardised with the training split's statistics.

    An absent modality is the mean of the training utterances that have it, which is 0 after standardisation. An
    utterance without any modality has no part in the fit, and gets the training split's class shares.
    """

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ClassicalConfig) -> None:
        super().__init__(encoders, classes, config)
        self.pooling = config.pooling
        dims = {modality: pooled_dim(config.pooling, encoder.dim) for modality, encoder in encoders.items()}
        self.dim = sum(dims.values())
        self.standardizers = nn.ModuleDict({modality: Standardizer(dim) for modality, dim in dims.items()})

    @abstractmethod
    def fit_classes(self, vectors: Vectors, labels: Numbers) -> None:
        """Fit on standardised vectors ``[items, dim]`` of one class or more."""

    @abstractmethod
    def scores(self, vectors: Float[Tensor, "items dim"]) -> Float[Tensor, "items classes"]:
        """Return logits of standardised vectors, both float64 on the CPU."""

    def fit(self, batches: Iterable[Batch], seed: int) -> None:
        """Fit the standardisation and the classifier; nothing is random.

        Raises:
            MerkitError: No utterance has a label, or none has one of the modalities.
        """
        self.eval()  # dropout of an encoder is for models that are trained
        pooled: dict[str, list[Tensor]] = {modality: [] for modality in self.encoders}
        present: dict[str, list[Tensor]] = {modality: [] for modality in self.encoders}
        numbers: list[Tensor] = []
        for batch in batches:
            assert batch.labels is not None
            wanted = batch.mask & (batch.labels != IGNORED)
            numbers.append(batch.labels[wanted].cpu())
            for modality, (vectors, has) in self._pooled(batch).items():
                pooled[modality].append(vectors[wanted].cpu())
                present[modality].append(has[wanted].cpu())
        labels = torch.cat(numbers).numpy() if numbers else np.zeros(0, dtype=np.int64)
        if not len(labels):
            raise MerkitError(
                f"{self._name()}: no labelled utterance to learn from; check the protocol's training split"
            )
        self.keep_prior(labels)
        columns, some = [], torch.zeros(len(labels), dtype=torch.bool)
        for modality, standardizer in self.standardizers.items():
            assert isinstance(standardizer, Standardizer)
            vectors, has = torch.cat(pooled[modality]), torch.cat(present[modality])
            standardizer.fit([vectors[has].numpy()] if has.any() else [])
            columns.append(_standardised(standardizer, vectors, has).cpu())
            some |= has
        self.fit_classes(torch.cat(columns, dim=-1)[some].double().numpy(), labels[some.numpy()])

    @torch.no_grad()
    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[*batch, classes]``."""
        columns, some = [], torch.zeros_like(batch.mask)
        for modality, (vectors, has) in self._pooled(batch).items():
            columns.append(_standardised(self.standardizers[modality], vectors, has))
            some = some | has
        vectors, some = torch.cat(columns, dim=-1)[batch.mask], some[batch.mask].unsqueeze(-1)
        rows = torch.where(some.cpu(), self.scores(vectors.cpu().double()), self.log_prior.cpu().double())
        return ModelOutput(self.spread(rows, batch.mask))

    @torch.no_grad()
    def _pooled(self, batch: Batch) -> dict[str, tuple[Float[Tensor, "*batch dim"], Bool[Tensor, "*batch"]]]:
        """Return pooled vectors by modality, and whether the utterance has the modality."""
        found = {}
        for modality, encoder in self.encoders.items():
            frames = encoder(batch.inputs[modality])
            found[modality] = pool(self.pooling, frames.data, frames.mask), batch.present[modality]
        return found

    def _name(self) -> str:
        return type(self).__name__.lower()


def _standardised(
    standardizer: nn.Module, vectors: Float[Tensor, "*batch dim"], present: Bool[Tensor, "*batch"]
) -> Float[Tensor, "*batch dim"]:
    """Return standardised vectors, zeros where the modality is absent."""
    assert isinstance(standardizer, Standardizer)
    known = present.to(standardizer.mean.device).unsqueeze(-1)
    return torch.where(known, standardizer(vectors.to(standardizer.mean)), 0.0)
