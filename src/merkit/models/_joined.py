"""One vector per utterance, its modalities pooled and side by side: what plain and recurrent fusions read."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from merkit.core.batch import Batch
from merkit.core.encoder import Encoder
from merkit.core.model import CausalConfig, ModalityDropoutConfig, Model
from merkit.nn.layers import PooledUtterance, encode
from merkit.nn.pooling import Pooling


class JoinedConfig(ModalityDropoutConfig):
    """How utterances become vectors."""

    pooling: Pooling = "mean"


class JoinedTurnsConfig(JoinedConfig, CausalConfig):
    """How the turns of a conversation become the input of a recurrent network."""

    projection: int = Field(default=0, ge=0)
    """Each modality is first projected to this dim; 0: it is read as it is, as in the paper."""
    layer_norm: bool = True
    """Normalise the input of the recurrent network, so that no encoder's scale decides; not in the paper."""


class JoinedModel(Model):
    """Reads ``joined`` vectors ``[*batch, joined_dim]``, in which an absent modality is a learned vector."""

    def __init__(self, encoders: Mapping[str, Encoder], config: JoinedConfig, projection: int = 0) -> None:
        super().__init__(encoders)
        self.modality_dropout = config.modality_dropout
        self.pooled = nn.ModuleDict()
        self.project = nn.ModuleDict()
        self.joined_dim = 0
        for name, encoder in encoders.items():
            pooled = PooledUtterance(encoder.dim, config.pooling)
            self.pooled[name] = pooled
            self.project[name] = nn.Linear(pooled.dim, projection) if projection else nn.Identity()
            self.joined_dim += projection or pooled.dim

    def joined(self, batch: Batch) -> Float[Tensor, "*batch dim"]:
        """Return one vector per utterance."""
        streams = encode(self.encoders, batch, self.modality_dropout, self.training)
        vectors = [
            self.project[name](self.pooled[name](frames.data, frames.mask, frames.mask.any(dim=-1)))
            for name, frames in streams.items()
        ]
        return torch.cat(vectors, dim=-1)
