"""Ma et al., "A Transformer-Based Model With Self-Distillation for Multimodal Emotion Recognition", TMM 2024: SDT.

Every modality attends to every modality (itself included) over the turns of a conversation, with one transformer layer
for each pair. A gate weights each pair's result, a softmax over modalities weights each dimension of the sum, and the
fused prediction is distilled into the predictions of the single modalities.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import CausalConfig, Citation, ModalityDropoutConfig, Model, ModelSpec, ReleasedCode
from merkit.nn.attention import MultiHeadAttention, causal_pairs, feed_forward
from merkit.nn.distributions import categorical_kl
from merkit.nn.embeddings import SpeakerEmbedding, sinusoidal_positions
from merkit.nn.layers import Dropout, encode
from merkit.nn.pooling import Pooling, mean_of_real, pool, pooled_dim

Gate = Literal["learned", "identity", "none"]

_EPSILON = 1e-6
"""Of layer norms, as in the released code."""


class SdtConfig(ModalityDropoutConfig, CausalConfig):
    """Settings of ``sdt``; "paper" is what the released code does on the named corpus."""

    pooling: Pooling = "mean"
    """From an encoder's frames to one vector per utterance and modality (the paper has vectors)."""
    dim: int = Field(default=128, ge=1)
    """Of every stream and of the position-wise networks; paper: 1024, for features of 342 to 1582 columns."""
    heads: int = Field(default=8, ge=1)
    """Paper: 8."""
    attention_norm: bool = False
    """Normalise the reader before attention. The released code has these norms and never applies them."""
    gate: Gate = "learned"
    """Of each pair's result x: sigmoid(W x) * x (paper, IEMOCAP), W the identity (paper, MELD), or x (ablation)."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Of streams, attention weights, layers' results and the modalities' heads; paper: 0.5."""
    speakers: int = Field(default=2, ge=1)
    """Speakers with a vector of their own; those beyond share the last one. Paper: 2 (IEMOCAP), 9 (MELD)."""
    speaker_order: Literal["appearance", "name"] = "appearance"
    """How a conversation's speakers are numbered: by their first turn, or ``name``: in the alphabetical order of their
    names, which on IEMOCAP gives every woman one vector and every man the other, as in the released code."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Of the distillation; paper: 1 (IEMOCAP), 8 (MELD)."""
    modality_weight: float = Field(default=1.0, ge=0.0)
    """Of the modalities' own classification losses; paper: 1."""
    distillation_weight: float = Field(default=1.0, ge=0.0)
    """Of the divergences between the fused prediction and the modalities'; paper: 1."""

    @model_validator(mode="after")
    def _settings_fit_together(self) -> "SdtConfig":
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        if self.causal and self.speaker_order == "name":
            raise ValueError("speaker_order = 'name' needs all speakers of a conversation, causal = true the past")
        return self


class PairReader(nn.Module):
    """A target modality attends to a source modality: one transformer layer, then a gate on its result."""

    def __init__(self, dim: int, heads: int, *, attention_norm: bool, gate: Gate, dropout: float) -> None:
        super().__init__()
        self.attention_norm: nn.Module = nn.LayerNorm(dim, _EPSILON) if attention_norm else nn.Identity()
        self.attention = MultiHeadAttention(dim, heads, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(dim, _EPSILON)
        self.feed_forward = feed_forward(dim, dim, dropout=dropout)
        self.gated = gate != "none"
        self.gate: nn.Module = nn.Linear(dim, dim, bias=False) if gate == "learned" else nn.Identity()
        self.dropout = Dropout(dropout)

    def forward(
        self,
        target: Float[Tensor, "items turns dim"],
        source: Float[Tensor, "items turns dim"],
        mask: Bool[Tensor, "items turns"],
        allowed: Bool[Tensor, "turns turns"] | None,
    ) -> Float[Tensor, "items turns dim"]:
        """Return the gated result; ``mask`` is the source's."""
        data: Tensor = target + self.dropout(self.attention(self.attention_norm(target), source, mask, allowed))
        data = data + self.dropout(self.feed_forward(self.feed_forward_norm(data)))
        return torch.sigmoid(self.gate(data)) * data if self.gated else data


class Sdt(Model):
    """Nine readers for three modalities; an absent modality is masked in attention and fusion."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: SdtConfig) -> None:
        super().__init__(encoders)
        self.config = config
        names = list(encoders)
        self.project = nn.ModuleDict(
            {
                name: nn.Linear(pooled_dim(config.pooling, one.dim), config.dim, bias=False)
                for name, one in encoders.items()
            }
        )
        self.speakers = SpeakerEmbedding(config.speakers, config.dim)
        self.dropout = Dropout(config.dropout)
        self.readers = nn.ModuleDict(
            {
                _pair(target, source): PairReader(
                    config.dim,
                    config.heads,
                    attention_norm=config.attention_norm,
                    gate=config.gate,
                    dropout=config.dropout,
                )
                for target in names
                for source in names
            }
        )
        self.reduce = nn.ModuleDict({name: nn.Linear(len(names) * config.dim, config.dim) for name in names})
        # a softmax over a single modality is constant
        self.scores = nn.Linear(config.dim, config.dim, bias=False) if len(names) > 1 else None
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(nn.ReLU(), Dropout(config.dropout), nn.Linear(config.dim, classes)) for name in names}
        )
        self.head = nn.Linear(config.dim, classes)

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, turns, classes]``.

        Auxiliary: the fused vector, ``embedding``; by modality its own ``logits.<modality>``, whether it was read,
        ``present.<modality>`` ``[items, turns]``, and its mean share of the fusion, ``share.<modality>``
        ``[items, turns]``.
        """
        added = sinusoidal_positions(batch.mask.shape[1], self.head.in_features, batch.mask.device)
        by_name = self.config.speaker_order == "name"
        added = added + self.speakers(batch.extras["speakers.by_name"] if by_name else batch.speakers, batch.mask)
        streams, present = {}, {}
        for name, frames in encode(self.encoders, batch, self.config.modality_dropout, self.training).items():
            present[name] = frames.mask.any(dim=-1)
            vectors = pool(self.config.pooling, frames.data, frames.mask)
            streams[name] = self.dropout(self.project[name](vectors) + added)
        allowed = causal_pairs(batch.mask.shape[1], batch.mask.device) if self.config.causal else None
        modalities = {}
        for name, reduce in self.reduce.items():
            read = [
                self.readers[_pair(name, source)](streams[name], stream, present[source], allowed)
                for source, stream in streams.items()
            ]
            modalities[name] = reduce(torch.cat(read, dim=-1))
        shares = self._shares(modalities, present)
        fused = sum((shares[name] * modality for name, modality in modalities.items()), torch.zeros(()))
        auxiliary = {"embedding": fused}
        for name, modality in modalities.items():
            auxiliary[f"logits.{name}"] = self.heads[name](modality)
            auxiliary[f"present.{name}"] = present[name]
            auxiliary[f"share.{name}"] = shares[name].mean(dim=-1)
        return ModelOutput(self.head(fused), auxiliary)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the fused loss, the modalities' own, and their divergence from the fused prediction."""
        terms = super().loss(output, batch)
        own, divergence = [], []
        for name in self.encoders:
            logits, present = output.auxiliary[f"logits.{name}"], output.auxiliary[f"present.{name}"]
            own.append(self.classification_loss(logits, batch, present))
            # the teacher is not detached, and the temperature's square is left out, as in the released code
            divergence.append(mean_of_real(categorical_kl(output.logits, logits, self.config.temperature), present))
        terms["modalities"] = self.config.modality_weight * torch.stack(own).sum()
        terms["distillation"] = self.config.distillation_weight * torch.stack(divergence).sum()
        return terms

    def _shares(self, modalities: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return each modality's weight ``[items, turns, dim]``; they sum to 1 over those that are present."""
        mask = torch.stack([present[name] for name in modalities]).unsqueeze(-1)
        data = torch.stack(list(modalities.values()))
        scores = torch.zeros_like(data) if self.scores is None else self.scores(data)
        weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=0)
        return dict(zip(modalities, weights.masked_fill(~mask, 0.0), strict=True))


def _pair(target: str, source: str) -> str:
    return f"{target}_reads_{source}"


CITATION = Citation(
    url="https://arxiv.org/abs/2310.20494",
    bibtex="""@article{ma2024transformer,
  title = {A Transformer-Based Model With Self-Distillation for Multimodal Emotion Recognition in Conversations},
  author = {Ma, Hui and Wang, Jian and Lin, Hongfei and Zhang, Bo and Zhang, Yijia and Xu, Bo},
  journal = {IEEE Transactions on Multimedia},
  volume = {26},
  pages = {776--788},
  year = {2024},
  doi = {10.1109/TMM.2023.3271019},
}""",
)

SPEC = ModelSpec(
    name="sdt",
    summary="transformers between all pairs of modalities with self-distillation (Ma et al., TMM 2024)",
    level="conversation",
    config=SdtConfig,
    build=Sdt,
    citation=CITATION,
    released=ReleasedCode("https://github.com/butterfliesss/SDT", "60af921", licence=None),
    deviations=(
        "The default dim is 128, for small features on ordinary machines; the paper's is 1024, as in the recipe "
        "for iemocap6.",
        "The layer norms that the released code makes and never applies (18,432 of its 79,687,704 parameters) are "
        "left out; attention_norm applies them.",
        "GELU is exact; the released code has its tanh approximation.",
        "Utterance vectors come from the recipe's encoders, not from RoBERTa large tuned on the labels, openSMILE and "
        "DenseNet.",
        "Speakers are numbered by their first turn; the released code numbers IEMOCAP's by gender, the same person in "
        "every conversation: speaker_order = 'name'.",
        "An absent modality is masked in attention, fusion and loss; the paper has none absent.",
    ),
)
