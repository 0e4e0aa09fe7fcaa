"""Mean of the probabilities of models of one modality each: the cheapest fusion."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.core.precision import at_least_float32
from merkit.nn.layers import plain_head
from merkit.nn.pooling import Pooling, pool, pooled_dim


class LateAverageConfig(ModelConfig):
    """Settings of ``late_average``; they hold for every modality."""

    pooling: Pooling = "mean"
    hidden_size: int = Field(default=0, ge=0)
    """Of a hidden layer; 0: the heads are linear."""
    layer_norm: bool = False
    """Normalise the hidden layer, if present is one."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)


class LateAverage(Model):
    """One head per modality, each trained by its own loss; the result is the mean probability of the present ones.

    Without any modality all classes are equally likely.
    """

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: LateAverageConfig) -> None:
        super().__init__(encoders)
        self.config = config
        self.heads = nn.ModuleDict()
        for name, encoder in encoders.items():
            dim = pooled_dim(config.pooling, encoder.dim)
            self.heads[name] = plain_head(
                dim, config.hidden_size, classes, dropout=config.dropout, layer_norm=config.layer_norm
            )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return the log of the mean probability ``[items, classes]`` and each modality's ``logits_<modality>``."""
        single: dict[str, Tensor] = {}
        for name, encoder in self.encoders.items():
            frames = encoder(batch.inputs[name])
            single[f"logits_{name}"] = self.heads[name](pool(self.config.pooling, frames.data, frames.mask))
        present = torch.stack([batch.present[name] for name in self.encoders])
        return ModelOutput(_log_mean_probability(torch.stack(list(single.values())), present), single)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return one term per modality over the utterances that have it; heads are independent."""
        terms = {}
        for name in self.encoders:
            counted = batch.mask & batch.present[name]
            terms[name] = self.classification_loss(output.auxiliary[f"logits_{name}"], batch, counted)
        return terms


def _log_mean_probability(
    logits: Float[Tensor, "modalities *batch classes"], present: Bool[Tensor, "modalities *batch"]
) -> Float[Tensor, "*batch classes"]:
    """Return the log of the mean probability over the present modalities; uniform without any."""
    none = ~present.any(dim=0)
    log_p = torch.where((present | none).unsqueeze(-1), torch.log_softmax(at_least_float32(logits), dim=-1), -torch.inf)
    log_p = torch.where(none.unsqueeze(-1), 0.0, log_p)
    return torch.log_softmax(torch.logsumexp(log_p, dim=0), dim=-1)


SPEC = ModelSpec(
    name="late_average",
    summary="mean of the probabilities of one model per modality",
    level="utterance",
    config=LateAverageConfig,
    build=LateAverage,
)
