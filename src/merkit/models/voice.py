"""One vector per utterance, a linear head for the labels and a linear output for arousal: the built-in model's form."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.core.precision import at_least_float32
from merkit.nn.losses import IGNORED
from merkit.nn.pooling import Pooling, pool, pooled_dim

_TARGETS = {"low": 0.0, "high": 1.0, "neither": torch.nan}


class VoiceConfig(ModelConfig):
    """Settings of ``voice``."""

    pooling: Pooling = "mean"
    """How frames become one vector; a pooled encoder's only vector stays as it is under ``mean``."""
    arousal: tuple[Literal["high", "low", "neither"], ...] = ()
    """Each label's arousal, in the order of the labels: ``neither`` has no part in learning it. Empty: no output for
    arousal."""
    arousal_weight: float = Field(default=1.0, ge=0.0)
    """Of arousal's loss beside the labels' loss."""


class Voice(Model):
    """Linear in the pooled vector ``x``: logits of the labels ``W x + b``, and of high against low arousal ``a x + c``.

    Without the modality an utterance has the logits ``b`` and ``c``. Where vectors are relative to the speaker's
    average (an encoder with ``normalize = "speaker_mean"``), those are also the logits of the average itself.
    """

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: VoiceConfig) -> None:
        """Build the head.

        Raises:
            ConfigError: ``arousal`` has another number of entries than there are labels, or lacks one of the two sides.
        """
        super().__init__(encoders)
        ((self.modality, encoder),) = encoders.items()
        self.config = config
        dim = pooled_dim(config.pooling, encoder.dim)
        self.head = nn.Linear(dim, classes)
        self.arousal = nn.Linear(dim, 1) if config.arousal else None
        if config.arousal and (len(config.arousal) != classes or not {"high", "low"} <= set(config.arousal)):
            raise ConfigError(
                f"config.arousal = {list(config.arousal)}: expected {classes} entries, one for each label in their "
                "order, at least one 'high' and one 'low'"
            )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[*batch, classes]``, ``embedding`` ``[*batch, dim]`` and, where asked for, ``arousal``.

        ``arousal`` ``[*batch]`` is the logit of high against low arousal.
        """
        frames = self.encoders[self.modality](batch.inputs[self.modality])
        mask = frames.mask & batch.present[self.modality].unsqueeze(-1)
        embedding = pool(self.config.pooling, frames.data, mask)  # zeros where there is none
        auxiliary = {"embedding": embedding}
        if self.arousal is not None:
            auxiliary["arousal"] = self.arousal(embedding).squeeze(-1)
        return ModelOutput(self.head(embedding), auxiliary)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the labels' loss and, where asked for, the binary cross entropy of arousal."""
        terms = super().loss(output, batch)
        if self.arousal is not None:
            terms["arousal"] = self.config.arousal_weight * self._arousal_loss(output.auxiliary["arousal"], batch)
        return terms

    def _arousal_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean over the items whose label is high or low; without any, 0 with gradients of 0."""
        assert batch.labels is not None
        logits = at_least_float32(logits)
        by_class = torch.tensor([_TARGETS[side] for side in self.config.arousal], device=logits.device)
        known = batch.mask & (batch.labels != IGNORED)
        targets = by_class[torch.where(known, batch.labels, 0)]
        known = known & ~targets.isnan()
        terms = binary_cross_entropy_with_logits(logits[known], targets[known].to(logits), reduction="sum")
        return terms / known.sum().clamp(min=1)


SPEC = ModelSpec(
    name="voice",
    summary="a linear head for labels and arousal on one vector per utterance: the form of builtin:voice",
    level="utterance",
    config=VoiceConfig,
    build=Voice,
    modalities=(1, 1),
)
