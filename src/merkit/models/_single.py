"""One encoder, its frames pooled per utterance, a linear head: of single utterances or of whole conversations."""

from collections.abc import Mapping

from pydantic import Field

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Model, ModelConfig
from merkit.nn.layers import PooledUtterance, classification_head
from merkit.nn.pooling import Pooling


class SingleConfig(ModelConfig):
    """Settings of ``single``, ``single_conversation`` and, for each modality, ``late_average``."""

    pooling: Pooling = "mean"
    """``first_and_mean`` puts the first real frame (a text's [CLS]) beside the mean."""
    hidden_size: int = Field(default=0, ge=0)
    """Of a hidden layer; 0: the head is linear."""
    layer_norm: bool = False
    """Normalise the hidden layer, if there is one."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)


class Single(Model):
    """Pooled frames of one modality to logits.

    An utterance without the modality gets the logits of a learned vector, which is the training split's prior where
    training has such utterances.
    """

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: SingleConfig) -> None:
        super().__init__(encoders)
        ((self.modality, encoder),) = encoders.items()
        self.pooled = PooledUtterance(encoder.dim, config.pooling)
        self.head = classification_head(
            self.pooled.dim, classes, hidden=config.hidden_size, dropout=config.dropout, layer_norm=config.layer_norm
        )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[*batch, classes]`` and the pooled vector, ``embedding``."""
        frames = self.encoders[self.modality](batch.inputs[self.modality])
        embedding = self.pooled(frames.data, frames.mask, batch.present[self.modality])
        return ModelOutput(self.head(embedding), {"embedding": embedding})
