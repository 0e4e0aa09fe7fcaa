"""Mean of the probabilities of models of one modality each: the cheapest fusion."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Model, ModelSpec
from merkit.models._single import SingleConfig
from merkit.nn.late_fusion import log_mixture
from merkit.nn.layers import classification_head
from merkit.nn.pooling import pool, pooled_dim


class LateAverage(Model):
    """One head per modality, each trained by its own loss; the result is the mean probability of the present ones.

    Without any modality all classes are equally likely.
    """

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: SingleConfig) -> None:
        super().__init__(encoders)
        self.config = config
        self.heads = nn.ModuleDict()
        for name, encoder in encoders.items():
            dim = pooled_dim(config.pooling, encoder.dim)
            self.heads[name] = classification_head(
                dim, classes, hidden=config.hidden_size, dropout=config.dropout, layer_norm=config.layer_norm
            )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return the log of the mean probability ``[items, classes]`` and each modality's ``logits_<modality>``."""
        single: dict[str, Tensor] = {}
        for name, encoder in self.encoders.items():
            frames = encoder(batch.inputs[name])
            single[f"logits_{name}"] = self.heads[name](pool(self.config.pooling, frames.data, frames.mask))
        present = torch.stack([batch.present[name] for name in self.encoders])
        logits = torch.stack(list(single.values()))
        return ModelOutput(log_mixture(logits, torch.ones(len(logits)), present), single)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return one term per modality over the utterances that have it; heads are independent."""
        terms = {}
        for name in self.encoders:
            counted = batch.mask & batch.present[name]
            terms[name] = self.classification_loss(output.auxiliary[f"logits_{name}"], batch, counted)
        return terms


SPEC = ModelSpec(
    name="late_average",
    summary="mean of the probabilities of one model per modality",
    level="utterance",
    config=SingleConfig,
    build=LateAverage,
)
