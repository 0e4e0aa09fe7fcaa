"""The settings that all encoders made of a pretrained network have."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from merkit.core.encoder import EncoderConfig
from merkit.encoders.networks.layers import Layer
from merkit.encoders.networks.lora import LoraConfig


class NetworkConfig(EncoderConfig):
    """Which network, and which of its weights are trained."""

    weights: str
    """A local folder or a hub id."""
    revision: str | None = None
    """Commit of a hub id, 40 hexadecimal digits."""
    frozen: bool = True
    """Frozen: vectors are extracted once and stored. Otherwise the network is trained with the model."""
    trainable_layers: int | None = Field(default=None, ge=0)
    """Train only the last so many layers; unset: the whole network. The layers below have no dropout. Not with
    ``frozen``."""
    lora: LoraConfig | None = None
    """Train low-rank adapters instead of the network's weights, which stay as published. Not with ``frozen``."""
    gradient_checkpointing: bool = False
    """In training, compute each layer twice instead of keeping its activations: less memory, more time."""
    layer: Layer = "last"
    """``last``, the ``mean`` of all states, a learned ``mix`` of them, or (``frozen``) one state's number, or several
    such as ``[3, 6]``: 0 is what enters layer 1."""
    combine: Literal["mean"] | None = None
    """Of a list in ``layer``: ``mean`` averages its states. Unset: they stand side by side."""
    pooled: bool | Literal["mean_std"] = False
    """One vector per utterance instead of one per token or frame: the mean over time (``true`` or ``mean``), or mean
    and standard deviation (``mean_std``), which is that of each state, before states are averaged or mixed."""
    standardise: bool = False
    """Standardise the vectors by column with the training split's statistics. The range of a few of BERT's columns is
    many times that of the others. For a trained network the statistics are those of the published weights, taken in one
    pass over the training split before training."""
    normalize: Literal["speaker", "speaker_mean"] | None = None
    """Compare a frozen network's vectors with all vectors of the speaker, test ones included; uses no label.
    ``speaker``: minus their mean, divided by their standard deviation. ``speaker_mean``: minus their mean, in which the
    training split's mean counts as one more clip, so that a speaker of few clips keeps something of them."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of a frozen network's vectors: large ones are soon memorised."""

    @property
    def trains_network(self) -> bool:
        return not self.frozen

    @property
    def averages_states(self) -> bool:
        """Whether the vectors are means of several states."""
        return self.layer == "mean" or self.combine == "mean"

    @field_validator("pooled", mode="before")
    @classmethod
    def _mean_is_true(cls, value: Any) -> Any:
        return True if value == "mean" else value

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkConfig":
        if self.frozen and self.trainable_layers is not None:
            raise ValueError("trainable_layers needs frozen = false")
        if self.lora is not None and (self.frozen or self.trainable_layers is not None):
            raise ValueError("lora needs frozen = false and no trainable_layers: its adapters are what is trained")
        if self.gradient_checkpointing and self.frozen:
            raise ValueError("gradient_checkpointing needs frozen = false: a frozen network keeps no activations")
        if not self.frozen and not isinstance(self.layer, str):
            raise ValueError(
                f"layer = {self.layer} needs frozen = true; a trained network offers 'last', 'mean' or 'mix'"
            )
        if isinstance(self.layer, tuple) and len(set(self.layer)) < max(len(self.layer), 1):
            raise ValueError("layer: a list must name at least one state, and none twice")
        if self.combine is not None and not isinstance(self.layer, tuple):
            raise ValueError('combine needs a list of states in layer; of all states, layer = "mean" is the mean')
        if self.normalize is not None and not self.frozen:
            raise ValueError("normalize needs frozen = true: a trained network's vectors change with every step")
        if self.dropout and not self.frozen:
            raise ValueError("dropout needs frozen = true; a trained network has its own")
        if self.standardise and self.layer == "mix":
            raise ValueError('standardise needs chosen layers, not layer = "mix"')
        return self
