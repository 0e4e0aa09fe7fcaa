"""Encoders whose vectors are extracted once: what the model does with them."""

from collections.abc import Iterable

import numpy as np

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder
from merkit.nn.layers import Dropout
from merkit.nn.standardization import Standardizer, standardised


class StoredVectors(Encoder):
    """Vectors ``[*batch, time, dim]``, standardised with the training split's statistics where that is asked for."""

    def __init__(self, modality: str, dim: int, *, standardise: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.modality = modality
        self.dim = dim
        self.standardizer = Standardizer(dim) if standardise else None
        self.dropout = Dropout(dropout)

    def blank(self) -> Array:
        return np.zeros((1, self.dim), dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        vectors = standardised(padded, self.standardizer)
        return Padded(self.dropout(vectors.data), vectors.mask)

    def fit(self, arrays: Iterable[Array]) -> None:
        if self.standardizer is not None:
            self.standardizer.fit(arrays)
