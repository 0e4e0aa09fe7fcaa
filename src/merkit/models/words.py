"""An LSTM over the past turns of a conversation, each turn's own vector beside its state: the built-in words model.

Turns without the modality are skipped: they change nothing for those that follow.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.nn.pooling import masked_mean
from merkit.nn.recurrent import MaskedLSTM


class WordsConfig(ModelConfig):
    """Settings of ``words``."""

    projection: int = Field(default=128, ge=1)
    """Each turn's vector is first projected to this dim."""
    hidden_size: int = Field(default=96, ge=1)
    """Of the LSTM's state."""
    dense: int = Field(default=100, ge=1)
    """Of the layer between the state, with the turn's own vector beside it, and the logits."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    """Of the vectors, their projections, and the dense layer."""

    def is_causal(self) -> bool:
        """Return that a turn's prediction never depends on what follows it."""
        return True


class Words(Model):
    """Turns of a conversation to logits, from the past alone."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: WordsConfig) -> None:
        super().__init__(encoders)
        ((self.modality, encoder),) = encoders.items()
        self.project = nn.Linear(encoder.dim, config.projection)
        self.context = MaskedLSTM(config.projection, config.hidden_size, bidirectional=False)
        self.dense = nn.Linear(self.context.dim + config.projection, config.dense)
        self.head = nn.Linear(config.dense, classes)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, turns, classes]`` and the dense layer's activations, ``embedding``."""
        frames = self.encoders[self.modality](batch.inputs[self.modality])
        mask = frames.mask & batch.present[self.modality].unsqueeze(-1)
        embedding = self.read(masked_mean(frames.data, mask), batch.mask & mask.any(dim=-1))
        return ModelOutput(self.head(self.dropout(embedding)), {"embedding": embedding})

    def read(
        self, vectors: Float[Tensor, "items turns dim"], mask: Bool[Tensor, "items turns"]
    ) -> Float[Tensor, "items turns dense"]:
        """Return the dense layer's activations of conversations; ``mask``: turns that have a vector."""
        own = self.dropout(torch.relu(self.project(self.dropout(vectors[mask]))))
        turns = own.new_zeros(*mask.shape, own.shape[-1]).masked_scatter(mask.unsqueeze(-1), own)
        states = self.context(turns, mask)
        return torch.relu(self.dense(torch.cat([states, turns], dim=-1)))


SPEC = ModelSpec(
    name="words",
    summary="an LSTM over the past turns, each turn's own vector beside its state: the form of builtin:words-en",
    level="conversation",
    config=WordsConfig,
    build=Words,
    modalities=(1, 1),
    multi_label=True,
)
