"""Pooled modalities side by side and a two-layer perceptron: plain fusion, a baseline for every other fusion.

It reads no context, so its level is the utterance.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.nn.layers import PooledUtterance, classification_head, drop_modalities
from merkit.nn.pooling import Pooling, pooled_dim


class ConcatConfig(ModelConfig):
    """Settings of ``concat``."""

    pooling: Pooling = "mean"
    hidden_size: int = Field(default=256, ge=1)
    layer_norm: bool = True
    """Normalise the hidden layer."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    modality_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that a modality of an utterance is dropped in training (never its last one)."""


class Concat(Model):
    """Pooled frames per modality, concatenated, to logits; an absent modality is a learned vector."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ConcatConfig) -> None:
        super().__init__(encoders)
        self.config = config
        self.pooled = nn.ModuleDict(
            {name: PooledUtterance(encoder.dim, config.pooling) for name, encoder in encoders.items()}
        )
        dim = sum(pooled_dim(config.pooling, encoder.dim) for encoder in encoders.values())
        self.head = classification_head(
            dim, classes, hidden=config.hidden_size, dropout=config.dropout, layer_norm=config.layer_norm
        )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, classes]`` and the concatenated vectors, ``embedding``."""
        present = drop_modalities(batch.present, self.encoders, self.config.modality_dropout, self.training)
        vectors = []
        for name, encoder in self.encoders.items():
            frames = encoder(batch.inputs[name])
            vectors.append(self.pooled[name](frames.data, frames.mask, present[name]))
        embedding = torch.cat(vectors, dim=-1)
        return ModelOutput(self.head(embedding), {"embedding": embedding})


SPEC = ModelSpec(
    name="concat",
    summary="masked means concatenated, two-layer perceptron",
    level="utterance",
    config=ConcatConfig,
    build=Concat,
)
