"""Pooled modalities side by side and a two-layer perceptron: plain fusion, a baseline for every other fusion.

It reads no context, so its level is the utterance.
"""

from collections.abc import Mapping

from pydantic import Field

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import ModelSpec
from merkit.models._joined import JoinedConfig, JoinedModel
from merkit.nn.layers import classification_head


class ConcatConfig(JoinedConfig):
    """Settings of ``concat``."""

    hidden_size: int = Field(default=256, ge=1)
    layer_norm: bool = True
    """Normalise the hidden layer."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)


class Concat(JoinedModel):
    """Pooled frames per modality, concatenated, to logits; an absent modality is a learned vector."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ConcatConfig) -> None:
        super().__init__(encoders, config)
        self.head = classification_head(
            self.joined_dim, classes, hidden=config.hidden_size, dropout=config.dropout, layer_norm=config.layer_norm
        )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, classes]`` and the concatenated vectors, ``embedding``."""
        embedding = self.joined(batch)
        return ModelOutput(self.head(embedding), {"embedding": embedding})


SPEC = ModelSpec(
    name="concat",
    summary="masked means concatenated, two-layer perceptron",
    level="utterance",
    config=ConcatConfig,
    build=Concat,
    multi_label=True,
)
