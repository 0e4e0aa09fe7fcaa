"""Settings of training: the recipe's tables ``[training]`` and ``[loss]``."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from merkit.core.settings import Settings

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class TrainingConfig(Settings):
    """How a model is trained, whatever the model."""

    epochs: PositiveInt = 30
    batch_size: PositiveInt = 32
    """Items per step of one process: utterances or conversations, by the model's level."""
    batch_seconds: PositiveFloat | None = None
    """Seconds of audio in a batch at most, padding included (utterances times the longest); a longer utterance makes a
    batch of its own. ``batch_size`` stays the most items. Every batch weighs the same in a step, however few it holds.
    Needs an audio encoder that reads recordings."""
    bucket: PositiveInt = 50
    """Batches that are made of items sorted by length together, so that little is padding. 1 draws batches at random,
    at the cost of padding, so that no batch holds quick speech or short exclamations alone."""
    accumulation: PositiveInt = 1
    """Batches whose gradients are averaged into one step."""
    balanced: bool = False
    """Every class about equally often in each batch, rare ones repeated within an epoch, which stays as long. For
    models of utterances. Beside it, ``loss.class_weights`` and ``logit_adjusted`` count rare classes twice."""
    learning_rates: dict[str, PositiveFloat] = Field(default={"head": 1e-3})
    """By the names of the model's parameter groups; each of its groups needs one. ``encoders.audio`` (or another
    modality) gives one encoder a rate of its own, beside ``encoders`` for the rest of them."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """What the learning rate is multiplied by from each layer of a trained network to the one below, the last layer
    having its group's: ``rate * layer_decay ** layers above`` (Clark et al., ELECTRA, 2020: 0.8 for base). 1: none."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    momentum: Fraction = 0.9
    """For ``sgd`` alone."""
    schedule: Literal["constant", "linear", "cosine", "plateau"] = "constant"
    """Shape after warm-up; ``linear`` and ``cosine`` end at 0 with the last epoch, ``plateau`` falls when the
    validation loss stops falling."""
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """What ``plateau`` multiplies the learning rates by."""
    plateau_patience: Annotated[int, Field(ge=0)] = 10
    """Epochs without a lower validation loss after which ``plateau`` waits one more and lowers the rates."""
    warmup: Fraction = 0.0
    """Fraction of all steps over which the learning rate rises from 0."""
    clip: Annotated[float, Field(ge=0.0)] = 1.0
    """Largest norm of all gradients together; 0: no clipping."""
    patience: PositiveInt | None = None
    """Stop after this many epochs without a better selection metric on validation; ``None``: never.

    Without effect where the protocol reports the last epoch."""
    precision: Literal["float32", "bf16", "fp16", "auto"] = "float32"
    """Of training; validation and prediction are float32, as a checkpoint is used. ``auto``: bf16 where the device has
    it natively, else float32; a cell that was begun in the one is not resumed in the other."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load batches ahead."""

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingConfig":
        if self.balanced and self.batch_seconds is not None:
            raise ValueError("balanced counts the utterances of a batch, batch_seconds their seconds: set one of them")
        return self


class LossConfig(Settings):
    """The classification loss, one for all models (``merkit.nn.losses``)."""

    kind: Literal["cross_entropy", "focal", "logit_adjusted"] = "cross_entropy"
    prior_exponent: Annotated[float, Field(gt=0.0)] = 1.0
    """Tau of ``logit_adjusted``: 1 learns for the mean of all classes' recall, less lies between that and accuracy."""
    class_weights: Literal["none", "inverse", "effective"] = "none"
    label_smoothing: Fraction = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> "LossConfig":
        if self.kind != "logit_adjusted" and self.prior_exponent != 1.0:
            raise ValueError(f"prior_exponent is for kind = 'logit_adjusted', found '{self.kind}'")
        return self
