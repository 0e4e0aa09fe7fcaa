"""The interface of a model: what every paper and baseline implements."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from merkit.core.alignment import SegmentRequest
from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.lookup import PlugInSpec
from merkit.core.precision import at_least_float32
from merkit.core.settings import Settings

Level = Literal["utterance", "conversation"]
Criterion = Callable[[Float[Tensor, "items classes"], Tensor], Tensor]
"""From scores and labels, as in ``Batch.labels`` (-100: not counted), to one number."""


class ModelConfig(Settings):
    """Settings of a model, defaults as in its paper."""

    def segments(self) -> SegmentRequest | None:
        """Return which tiers of which alignment a model with these settings reads; ``None``: none.

        A model that may read some has ``segments`` in its ``SPEC.inputs``.
        """
        return None

    def needs_views(self) -> bool:
        """Return whether training with these settings reads augmented views.

        Only asked of a model that has ``views`` in its ``SPEC.inputs``.
        """
        return True

    def is_causal(self) -> bool:
        """Return whether a model with these settings never reads what follows a turn (``CausalConfig``)."""
        return False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "causal" in cls.model_fields and cls.is_causal is ModelConfig.is_causal:
            raise TypeError(
                f"{cls.__name__} has the field 'causal': make it a subclass of CausalConfig, which declares it"
            )


class CausalConfig(ModelConfig):
    """Settings of a conversation model that can be restricted to the past."""

    causal: bool = False
    """Read the past only: a turn's prediction then never depends on what follows it."""

    def is_causal(self) -> bool:
        """Return ``causal``."""
        return self.causal


class ModalityDropoutConfig(ModelConfig):
    """Settings of a model that can be trained to do without some of its modalities."""

    modality_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that a modality of an utterance is dropped in training (never its last one); in no paper."""


def reads_views(spec: "ModelSpec", config: ModelConfig) -> bool:
    """Return whether the training of a model with these settings reads augmented views."""
    return "views" in spec.inputs and config.needs_views()


class Model(nn.Module, ABC):
    """A network from a ``Batch`` to a ``ModelOutput``.

    ``forward`` never sees a label and works at inference as it is; ``loss`` is only called in training.
    """

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.criterion: Criterion = cross_entropy
        self.multi_label = False
        """Whether a logit is the log-odds of its own label; else the softmax of all logits is the probability."""

    @abstractmethod
    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[*batch, classes]`` and named auxiliary tensors."""

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return named, weighted terms; the loop minimises their sum."""
        return {"classification": self.classification_loss(output.logits, batch)}

    def classification_loss(
        self,
        logits: Float[Tensor, "*batch classes"],
        batch: Batch,
        counted: Bool[Tensor, "*batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the recipe's classification loss of some scores, in float32 at least.

        Args:
            logits: Scores of the batch's items.
            batch: A labelled batch.
            counted: Items outside of it have no part in the loss; ``None``: all that are real.
        """
        assert batch.labels is not None
        labels = batch.labels
        if counted is not None:
            left_out = ~counted.unsqueeze(-1) if labels.ndim > counted.ndim else ~counted
            labels = labels.masked_fill(left_out, -100)
        return self.criterion(at_least_float32(logits[batch.mask]), labels[batch.mask])

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return parameters by the names under which a recipe gives learning rates.

        Here: ``encoders`` and ``head`` (all the rest). Empty groups are left out.
        """
        encoders = [p for p in self.encoders.parameters() if p.requires_grad]
        known = {id(p) for p in encoders}
        head = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        return {name: group for name, group in (("encoders", encoders), ("head", head)) if group}

    @property
    def fits_on_validation(self) -> bool:
        """Whether ``fit_on_validation`` is called; by default not."""
        return False

    def fit_on_validation(self, outputs: Iterable[tuple[ModelOutput, Int[Tensor, "*batch"]]]) -> None:
        """Fit parameters without a gradient (weights of late fusion) on the validation split.

        Called after every epoch, before the validation split is scored. Keep what is fitted in buffers, so that the
        checkpoint of the selected epoch holds it.

        Args:
            outputs: For each validation batch the output in evaluation mode, and the class numbers (on the CPU; -100:
                no label).
        """
        return

    def start_epoch(self, epoch: int) -> None:
        """Prepare for an epoch (the first is 1), such as weights that warm up; by default nothing."""
        return

    def after_backward(self, batch: Batch, output: ModelOutput) -> None:
        """Read a training batch and its output once its gradients are computed; by default nothing."""
        return

    def before_step(self) -> None:
        """Change the accumulated, clipped gradients before the optimizer's step; by default nothing."""
        return

    def after_step(self) -> None:
        """Change the weights after the optimizer's step; by default nothing."""
        return

    def logged_values(self) -> Mapping[str, float]:
        """Return values of the epoch that ends for the history (disparity ratios, mean gates); by default none.

        Names with the same prefix up to the first dot share a chart: ``gate.text``, ``gate.audio``.
        """
        return {}


class FittedModel(Model):
    """A model without gradients that is fitted in one pass (majority class, TF-IDF with a linear model)."""

    @abstractmethod
    def fit(self, batches: Iterable[Batch], seed: int) -> None:
        """Fit on the labelled batches of the training split."""


@dataclass(frozen=True)
class TrainedModel:
    """A model from a checkpoint, in evaluation mode, with its settings and classes."""

    model: Model
    spec: "ModelSpec"
    config: ModelConfig
    labels: tuple[str, ...]
    """Class names in the order of class numbers."""


@dataclass(frozen=True)
class Citation:
    """A publication: what `merkit cite` prints and a model card names."""

    url: str
    bibtex: str

    def field(self, *names: str) -> str:
        """Return the value of the first of these fields that the entry has, without braces; empty if it has none."""
        for name in names:
            match = re.search(rf"^\s*{name}\s*=\s*\{{(.*?)\}},?$", self.bibtex, re.MULTILINE | re.DOTALL)
            if match:
                return " ".join(re.sub(r"[{}]", "", match.group(1)).split())
        return ""

    @property
    def short(self) -> str:
        """The publication in one line: authors' last names, title, venue and year."""
        authors = ", ".join(name.partition(",")[0] for name in self.field("author").split(" and "))
        return f"{authors}: {self.field('title')} ({self.field('journal', 'booktitle')} {self.field('year')})"


@dataclass(frozen=True)
class ReleasedCode:
    """The authors' own implementation, with which merkit's is compared (docs/parity.md)."""

    url: str
    commit: str
    """Which version was run, abbreviated."""
    licence: str | None
    """``None``: the repository names none."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec(PlugInSpec):
    """What a model's file exports as ``SPEC``."""

    kind: ClassVar[str] = "models"
    level: Level
    config: type[ModelConfig]
    build: Callable[[Mapping[str, Encoder], int, Any], Model]
    """The model's class, ``Model(encoders by modality, number of classes, config)``."""
    citation: Citation | None = None
    """``None``: no publication (a baseline)."""
    released: ReleasedCode | None = None
    """``None``: the authors have published no code, or it was not compared."""
    modalities: tuple[int, int] = (1, 3)
    """Smallest and largest number of encoders."""
    multi_label: bool = False
    """Whether it can learn several labels per utterance: all its loss comes from ``classification_loss``, and logits
    of labels do not compete with each other."""
    inputs: frozenset[str] = frozenset()
    """What its batches hold besides modalities: ``texts``, ``segments`` (``ModelConfig.segments``), ``views``
    (augmented views, in training only, where ``ModelConfig.needs_views``)."""
    representations: Mapping[str, str] = field(default_factory=dict)
    """Auxiliary outputs ``<name>.<modality>`` ``[*batch, dim]`` that represent one modality each, for linear probes: a
    description by name."""
    deviations: tuple[str, ...] = ()
    """Differences from the paper, one sentence each."""

    @property
    def is_fitted(self) -> bool:
        """Whether its model is fitted in one pass, without gradients."""
        return isinstance(self.build, type) and issubclass(self.build, FittedModel)
