"""Zhu et al., "CMATH: Cross-Modality Augmented Transformer with Hierarchical Variational Distillation", 2024.

Three stages over the turns of a conversation, named as in the abstract:

1. *Modality reconstruction*: a U-Net compresses each modality's vectors and is trained to reconstruct them.
2. *CMA-Transformer*: each modality is central in turn and reads the others through gates; its branch gives the
   fine-grained representation.
3. *Hierarchical variational distillation*: a coarse-grained Gaussian is formed from all branches, gives the prediction,
   and is distilled into the branches' own Gaussians and predictions.

The repository that the abstract names holds no code, and the paper's equations were not available. Settings are marked
[abstract] (from its abstract), [review] (from descriptions by others) or [ours] (chosen here).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput, Padded
from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError
from merkit.core.model import CausalConfig, Citation, ModalityDropoutConfig, Model, ModelSpec
from merkit.core.precision import at_least_float32
from merkit.models._cmath_networks import (
    CentralBranch,
    Fusion,
    Posterior,
    Reconstruction,
    Skip,
    SymmetricInteraction,
    reconstruction_error,
)
from merkit.nn.attention import causal_pairs
from merkit.nn.distributions import Gaussian, categorical_kl, gaussian_kl, standard_normal
from merkit.nn.embeddings import SpeakerEmbedding, sinusoidal_positions
from merkit.nn.layers import Dropout, encode
from merkit.nn.pooling import Pooling, mean_of_real, pool, pooled_dim

Interaction = Literal["asymmetric", "symmetric"]


class CmathConfig(ModalityDropoutConfig, CausalConfig):
    """Settings of ``cmath``; defaults are those of SDT, its nearest published relative, where the paper is unknown."""

    pooling: Pooling = "mean"
    """From an encoder's frames to one vector per utterance and modality. [ours]"""

    reconstruction: bool = True
    """A U-Net that reconstructs its input [abstract]; off: a linear projection. Ablation."""
    hidden_size: int = Field(default=512, ge=1)
    """Channels of the U-Net's outer level. [ours]"""
    dim: int = Field(default=256, ge=1)
    """Channels of its inner level, hence of all streams and Gaussians. [ours]"""
    kernel: int = Field(default=3, ge=1)
    """Turns that one convolution reads; 1: each turn alone. One-dimensional: [review]; its size: [ours]"""
    skip: Skip = "inner"
    """Where the U-Net's halves are joined beside the inner level: at the outer one (``inner``), nowhere, or at the
    input too (``outer``), which lets the reconstruction error vanish without the inner level. [ours]"""

    positions: bool = True
    """Add a sinusoidal code of the turn's position, as SDT does. [ours]"""
    speakers: int = Field(default=2, ge=0)
    """Speakers with a learned vector of their own, in order of appearance; 0: no such vectors. As SDT. [ours]"""

    interaction: Interaction = "asymmetric"
    """One central modality with auxiliaries [abstract], or all in one sequence, none central. Ablation."""
    centre: Literal["each", "text", "audio", "video"] = "each"
    """Which modality is central: each in turn [review], or one alone. Ablation and text-dominant variant."""
    auxiliaries: Literal["separate", "concatenated"] = "separate"
    """Attention and gate for each auxiliary, or one of both over all auxiliaries as one sequence. [ours]"""
    layers: int = Field(default=1, ge=1)
    """Of each branch, as SDT. [ours]"""
    heads: int = Field(default=8, ge=1)
    """As SDT. [ours]"""
    feed_forward: int = Field(default=256, ge=1)
    """Inner dim of the branches' position-wise networks, as SDT that of the streams. [ours]"""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Of streams, attention weights, layers' results and the fusion network; as SDT. [ours]"""

    posterior: Posterior = "network"
    """Forms the coarse Gaussian: a network over all branches [abstract: a variational fusion network], the product of
    the branches' own, or ``none``: a network fuses plain vectors. Variant and ablation."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Of the distillation of predictions. [ours]"""
    detach_teacher: bool = True
    """No gradient of the distillation reaches the coarse prediction and Gaussian, its teachers. [ours]"""

    branch_weight: float = Field(default=1.0, ge=0.0)
    """Of the classification losses of the branches' own predictions. [ours] 0: ablation."""
    prediction_weight: float = Field(default=1.0, ge=0.0)
    """Of the divergence of the branches' predictions from the fused one. [ours] 0: ablation."""
    latent_weight: float = Field(default=1e-3, ge=0.0)
    """Of the divergence of the branches' Gaussians from the coarse one, in nats as that of the prior; at 0.1 it is four
    fifths of the total loss. [ours] 0: ablation."""
    prior_weight: float = Field(default=1e-3, ge=0.0)
    """Of the divergence of the coarse Gaussian from N(0, 1). [ours]"""
    prior_warmup: int = Field(default=10, ge=0)
    """Epochs over which that weight rises. [ours]"""
    reconstruction_weight: float = Field(default=0.1, ge=0.0)
    """Of the reconstruction error (squared Frobenius norm [review] per column). [ours]"""

    modality_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability that a modality of an utterance is dropped in training (never its last one), so that
    the fusion network learns to do without. [ours]"""

    @field_validator("kernel")
    @classmethod
    def _kernel_is_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("kernel must be odd, so that it is centred on a turn")
        return kernel

    @model_validator(mode="after")
    def _settings_fit_together(self) -> "CmathConfig":
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        if self.interaction == "symmetric" and (self.centre != "each" or self.auxiliaries != "separate"):
            raise ValueError("a symmetric interaction has no centre and no auxiliaries: leave both at their defaults")
        return self


class Cmath(Model):
    """Reconstruction, branches, fusion; an absent modality is masked, and so is its branch in the fusion."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: CmathConfig) -> None:
        super().__init__(encoders)
        self.config = config
        names = list(encoders)
        self.centres = names if config.centre == "each" else [config.centre]
        if not set(self.centres) <= set(names):
            raise ConfigError(f"config.centre: '{config.centre}' has no encoder; the recipe's are {', '.join(names)}")
        self.weights = {
            "branches": config.branch_weight,
            "predictions": config.prediction_weight,
            "latents": config.latent_weight,
            "prior": config.prior_weight,
            "reconstruction": config.reconstruction_weight,
        }
        dims = {name: pooled_dim(config.pooling, encoder.dim) for name, encoder in encoders.items()}
        self.reconstruction = nn.ModuleDict()
        self.squeeze = nn.ModuleDict()
        for name, inputs in dims.items():
            if config.reconstruction:
                self.reconstruction[name] = Reconstruction(
                    inputs, config.hidden_size, config.dim, kernel=config.kernel, skip=config.skip, causal=config.causal
                )
            else:
                self.squeeze[name] = nn.Linear(inputs, config.dim)
        self.speakers = SpeakerEmbedding(config.speakers, config.dim) if config.speakers else None
        self.dropout = Dropout(config.dropout)
        self.symmetric: SymmetricInteraction | None = None
        self.branches = nn.ModuleDict()
        sizes = {"layers": config.layers, "hidden": config.feed_forward}
        if config.interaction == "symmetric":
            self.symmetric = SymmetricInteraction(names, config.dim, config.heads, dropout=config.dropout, **sizes)
        else:
            concatenated = config.auxiliaries == "concatenated"
            for name in self.centres:
                self.branches[name] = CentralBranch(
                    name, names, config.dim, config.heads, dropout=config.dropout, concatenated=concatenated, **sizes
                )
        self.fusion = Fusion(self.centres, config.dim, posterior=config.posterior, dropout=config.dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(config.dim, classes) for name in self.centres})
        self.head = nn.Linear(config.dim, classes)
        self._prior_share = 1.0
        self._sums: dict[str, Tensor] = {}
        self._batches = 0

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, turns, classes]`` of the coarse mean, in training of a sample.

        Auxiliary, all ``[items, turns, …]``: the coarse mean, ``embedding``, and ``log_variance``; of each centre its
        ``logits.<centre>``, ``embedding.<centre>``, ``log_variance.<centre>`` and whether it counts,
        ``branch.<centre>``; of each modality whether it is present, ``present.<modality>``, and its error,
        ``reconstruction.<modality>``; ``gate.<centre>_<auxiliary>`` with ``dim`` gates each.
        """
        auxiliary: dict[str, Tensor] = {}
        streams = self._streams(batch, auxiliary)
        branches = self._branches(streams, auxiliary)
        coarse, fine = self.fusion(branches)
        auxiliary |= {"embedding": coarse.mean, "log_variance": coarse.log_variance}
        for name, gaussian in fine.items():
            auxiliary[f"branch.{name}"] = branches[name].mask
            auxiliary[f"logits.{name}"] = self.heads[name](gaussian.mean)
            auxiliary[f"embedding.{name}"] = gaussian.mean
            auxiliary[f"log_variance.{name}"] = gaussian.log_variance
        drawn = coarse.sample() if self.training and self.fusion.variational else coarse.mean
        return ModelOutput(self.head(drawn), auxiliary)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the fused loss, the terms of distillation, the prior's divergence and the reconstruction error."""
        terms: dict[str, list[Tensor]] = {name: [] for name in self.weights}
        for name in self.centres:
            logits, counts = output.auxiliary[f"logits.{name}"], output.auxiliary[f"branch.{name}"]
            terms["branches"].append(self.classification_loss(logits, batch, counts))
        for name, value in self._divergences(output).items():
            terms[name.partition(".")[0]].append(value)
        if self.fusion.variational:
            coarse = _gaussian_of(output)
            divergence = gaussian_kl(coarse, standard_normal(coarse.mean)).sum(dim=-1)
            terms["prior"].append(self._prior_share * mean_of_real(divergence, batch.mask))
        summed = {name: torch.stack(values).sum() for name, values in terms.items() if values and self.weights[name]}
        return super().loss(output, batch) | {name: self.weights[name] * value for name, value in summed.items()}

    def start_epoch(self, epoch: int) -> None:
        """Set the warm-up of the prior, and reset the logged values."""
        self._prior_share = min(1.0, epoch / self.config.prior_warmup) if self.config.prior_warmup else 1.0
        self._sums, self._batches = {}, 0

    @torch.no_grad()
    def after_backward(self, batch: Batch, output: ModelOutput) -> None:
        """Add the batch to the logged values."""
        values = self._divergences(output)
        for name, gate in output.auxiliary.items():
            kind, _, pair = name.partition(".")
            if kind == "gate":
                centre, *group = pair.split("_")
                read = torch.stack([output.auxiliary[f"present.{one}"] for one in group]).any(dim=0)
                values[name] = mean_of_real(
                    at_least_float32(gate).mean(dim=-1), read & output.auxiliary[f"branch.{centre}"]
                )
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._batches += 1

    def logged_values(self) -> Mapping[str, float]:
        """Return means over the epoch's batches, unweighted.

        ``gate.<centre>_<auxiliary>``, ``reconstruction.<modality>``, and the divergences of
        distillation: ``predictions.<centre>`` (probabilities) and ``latents.<centre>`` (Gaussians).
        """
        return {name: float(value) / self._batches for name, value in self._sums.items()}

    def _streams(self, batch: Batch, auxiliary: dict[str, Tensor]) -> dict[str, Padded]:
        """Return each modality's stream: its compressed representation plus codes of position and speaker."""
        added = torch.zeros((), device=batch.mask.device)
        if self.config.positions:
            added = added + sinusoidal_positions(batch.mask.shape[1], self.config.dim, batch.mask.device)
        if self.speakers is not None:
            added = added + self.speakers(batch.speakers, batch.mask)
        streams = {}
        for name, frames in encode(self.encoders, batch, self.config.modality_dropout, self.training).items():
            present = frames.mask.any(dim=-1)
            data = pool(self.config.pooling, frames.data, frames.mask)
            if name in self.reconstruction:
                compressed, rebuilt = self.reconstruction[name](data, present)
                auxiliary[f"reconstruction.{name}"] = reconstruction_error(rebuilt, data)
            else:
                compressed = self.squeeze[name](data)
            auxiliary[f"present.{name}"] = present
            streams[name] = Padded(self.dropout(compressed + added), present)
        return streams

    def _branches(self, streams: Mapping[str, Padded], auxiliary: dict[str, Tensor]) -> dict[str, Padded]:
        """Return the fine-grained representations, zeros where they do not count; add gates to ``auxiliary``."""
        mask = next(iter(streams.values())).mask
        allowed = causal_pairs(mask.shape[1], mask.device) if self.config.causal else None
        fine: dict[str, Tensor] = {} if self.symmetric is None else self.symmetric(streams, allowed)
        for name, branch in self.branches.items():
            fine[name], gates = branch(streams, allowed)
            auxiliary |= {f"gate.{name}_{group}": gate for group, gate in gates.items()}
        any_present = torch.stack([stream.mask for stream in streams.values()]).any(dim=0)
        branches = {}
        for name, data in fine.items():
            # a single branch predicts from its auxiliaries if its centre is absent; of several it is masked
            counts = streams[name].mask if len(fine) > 1 else any_present
            branches[name] = Padded(data.masked_fill(~counts.unsqueeze(-1), 0.0), counts)
        return branches

    def _divergences(self, output: ModelOutput) -> dict[str, Tensor]:
        """Return the means over real turns of ``reconstruction.*``, ``predictions.*`` and ``latents.*``."""
        means, auxiliary = {}, output.auxiliary
        for name in self.reconstruction:
            means[f"reconstruction.{name}"] = mean_of_real(
                auxiliary[f"reconstruction.{name}"], auxiliary[f"present.{name}"]
            )
        coarse = _gaussian_of(output)
        coarse, fused = (
            (coarse.detach(), output.logits.detach()) if self.config.detach_teacher else (coarse, output.logits)
        )
        for name in self.centres:
            counts = auxiliary[f"branch.{name}"]
            # a softened distribution's gradients shrink with the square of the temperature (Hinton et al. 2015)
            predictions = self.config.temperature**2 * categorical_kl(
                fused, auxiliary[f"logits.{name}"], self.config.temperature
            )
            means[f"predictions.{name}"] = mean_of_real(predictions, counts)
            if self.fusion.variational:
                latents = gaussian_kl(coarse, _gaussian_of(output, name)).sum(dim=-1)
                means[f"latents.{name}"] = mean_of_real(latents, counts)
        return means


def _gaussian_of(output: ModelOutput, centre: str | None = None) -> Gaussian:
    suffix = "" if centre is None else f".{centre}"
    return Gaussian(output.auxiliary[f"embedding{suffix}"], output.auxiliary[f"log_variance{suffix}"])


CITATION = Citation(
    url="https://arxiv.org/abs/2411.10060",
    bibtex="""@article{zhu2024cmath,
  title = {CMATH: Cross-Modality Augmented Transformer with Hierarchical Variational Distillation for Multimodal
           Emotion Recognition in Conversation},
  author = {Zhu, Xiaofei and Cheng, Jiawei and Yang, Zhou and Chen, Zhuo and Wang, Qingyang and Yao, Jianfeng},
  journal = {arXiv preprint arXiv:2411.10060},
  year = {2024}
}""",
)

SPEC = ModelSpec(
    name="cmath",
    summary="each modality central in turn, fused and distilled as Gaussians (Zhu et al., 2024)",
    level="conversation",
    config=CmathConfig,
    build=Cmath,
    citation=CITATION,
    representations={"embedding": "the branch around the modality, which has read the others"},
    deviations=(
        "The repository that the abstract names holds no code, and the equations were not available: the stages "
        "follow the abstract, their contents are ours and marked so in the configuration.",
        "Training values, dropout, heads and depth are those of SDT, its nearest published relative.",
        "Audio features are standardised by their encoder, not by the model.",
        "An absent modality is masked in convolution, attention, fusion and loss, and modalities are dropped in "
        "training; nothing is known of absence in the paper.",
    ),
)
