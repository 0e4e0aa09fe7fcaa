"""Zhao et al., "Multi-level Fusion of Wav2vec 2.0 and BERT for Multimodal Emotion Recognition", Interspeech 2022.

Speech is read at several granularities: frame by frame, and in one vector for each phone, syllable and word. Early
fusion lets each modality's sequence attend to the other's (co-attention); late fusion averages the probabilities of
models; the paper's best system does both at all granularities. [paper] marks what is known from it; it is silent on
much, and [ours] marks what was chosen here.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from merkit.core.alignment import SegmentRequest, TierName
from merkit.core.batch import Batch, ModelOutput, Padded
from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError
from merkit.core.model import Citation, ModalityDropoutConfig, Model, ModelSpec
from merkit.core.precision import at_least_float32
from merkit.models._multilevel_networks import CoAttention, Gate, Pool, SequencePooling
from merkit.nn.embeddings import sinusoidal_positions
from merkit.nn.late_fusion import fitted_weights, log_mixture
from merkit.nn.layers import Dropout, classification_head, encode
from merkit.nn.losses import IGNORED
from merkit.nn.segments import FrameClock, segment_means

Granularity = Literal["frame"] | TierName
Branch = Literal["audio", "text", "early"]

_READS: Mapping[Branch, tuple[str, ...]] = {"audio": ("audio",), "text": ("text",), "early": ("audio", "text")}
"""Modalities that a branch reads."""


class MultilevelConfig(ModalityDropoutConfig):
    """Settings of ``multilevel``."""

    granularities: tuple[Granularity, ...] = ("frame", "phone", "syllable", "word")
    """At which speech is read. [paper]"""
    alignment: str = "pocketsphinx"
    """Name of the alignment that `merkit align` made; read by all granularities but ``frame``. [ours]"""
    branches: tuple[Branch, ...] = ("audio", "text", "early")
    """Models that are averaged: speech alone, words alone, early fusion; speech and early fusion at each granularity.
    ``["early"]``: early fusion only, ``["audio", "text"]``: late fusion only. All three: [paper]"""
    join: Literal["score", "concat", "gate"] = "score"
    """How granularities come together: a model for each, or one model that reads their vectors concatenated or
    weighted by a learned gate. The paper does not say. [ours]"""
    weights: Literal["fitted", "equal"] | dict[str, float] = "fitted"
    """Of late fusion: fitted on the validation split, equal, or given by name of the model (``text``,
    ``early_word``; with ``join`` other than ``score`` ``early``). [ours]"""

    dim: int = Field(default=256, ge=1)
    """Of the co-attention. [ours]"""
    heads: int = Field(default=8, ge=1)
    """[ours]"""
    layers: int = Field(default=1, ge=1)
    """Of co-attention. [ours]"""
    feed_forward: int = Field(default=1024, ge=1)
    """Inner dim of its position-wise networks. [ours]"""
    positions: bool = True
    """Add a sinusoidal code of the position, by which segments and tokens can be matched. [ours]"""
    pooling: Pool = "mean"
    """Of a sequence: mean, mean and standard deviation (``statistics``), or learned ``attention``. [ours]"""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Of attention, position-wise networks and heads. [ours]"""

    @model_validator(mode="after")
    def _fits_together(self) -> "MultilevelConfig":
        for name in ("granularities", "branches"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}: expected at least one and none twice, found {list(values)}")
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        if isinstance(self.weights, dict):
            given, members = self.weights, self.members()
            if set(given) != set(members):
                raise ValueError(f"weights: expected one for each of {', '.join(members)}, found {', '.join(given)}")
            if min(given.values()) < 0 or abs(sum(given.values()) - 1.0) > 1e-6:
                raise ValueError("weights: expected numbers of at least 0 that sum to 1")
        return self

    def segments(self) -> SegmentRequest | None:
        """Return the alignment's tiers that the granularities need."""
        tiers = tuple(name for name in self.granularities if name != "frame" and set(self.branches) != {"text"})
        return SegmentRequest(self.alignment, tiers) if tiers else None

    def members(self) -> dict[str, tuple[Branch, tuple[Granularity, ...]]]:
        """Return the models that late fusion averages: by name their branch and the granularities they read."""
        members: dict[str, tuple[Branch, tuple[Granularity, ...]]] = {}
        for branch in self.branches:
            if branch == "text":
                members["text"] = (branch, ())
            elif self.join == "score":
                members |= {f"{branch}_{name}": (branch, (name,)) for name in self.granularities}
            else:
                members[branch] = (branch, self.granularities)
        return members


class Multilevel(Model):
    """Speech at several granularities beside words: early fusion by co-attention, late fusion by weighted mean.

    A member counts for an utterance that has all that it reads; if no member has all, those count that have anything.
    An utterance without segments of a tier (silence, no known words, or aligned with ``--unaligned frame``) is read
    frame by frame instead.
    """

    weights: Tensor

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: MultilevelConfig) -> None:
        super().__init__(encoders)
        if set(encoders) != {"audio", "text"}:
            raise ConfigError(f"encoders: {', '.join(encoders)} found, 'multilevel' reads audio and text")
        self.config = config
        self.members = config.members()
        read = {name for _, names in self.members.values() for name in names}
        self.clock = _clock(encoders["audio"], {str(name) for name in read if name != "frame"})
        self.fitted = config.weights == "fitted"
        given = config.weights if isinstance(config.weights, Mapping) else {}
        shares = [given.get(name, 1.0 / len(self.members)) for name in self.members]
        self.register_buffer("weights", torch.tensor(shares, dtype=torch.float32))

        self.project = nn.ModuleDict()
        self.coattention = nn.ModuleDict()
        self.pools = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        self.dropout = Dropout(config.dropout)
        for member, (branch, names) in self.members.items():
            size = 0
            for name in names or ("text",):
                for modality in _READS[branch]:
                    key = f"{branch}_{name}_{modality}"
                    sequence_pooling = SequencePooling(config.dim, config.pooling, lone=branch != "early")
                    self.project[key] = nn.Linear(encoders[modality].dim, config.dim)
                    self.pools[key] = sequence_pooling
                    size += sequence_pooling.dim
                if branch == "early":
                    self.coattention[f"{branch}_{name}"] = CoAttention(
                        config.dim,
                        config.heads,
                        layers=config.layers,
                        hidden=config.feed_forward,
                        dropout=config.dropout,
                    )
            if config.join == "gate" and len(names) > 1:
                size //= len(names)
                self.gates[member] = Gate(size)
            self.heads[member] = classification_head(size, classes, dropout=config.dropout)

    @property
    def fits_on_validation(self) -> bool:
        """Whether the weights of late fusion are fitted, and there is more than one."""
        return self.fitted and len(self.members) > 1

    def forward(self, batch: Batch) -> ModelOutput:
        """Return the log of the weighted mean probability, ``[items, classes]``.

        Auxiliary: of each member its ``logits.<member>`` and ``counts.<member>`` ``[items]``: 2 where all that it reads
        is present, 1 where something is, else 0; ``embedding``, all members' vectors concatenated.
        """
        streams = encode(self.encoders, batch, self.config.modality_dropout, self.training)
        has = {name: stream.mask.any(-1) for name, stream in streams.items()}
        levels = dict.fromkeys(name for _, names in self.members.values() for name in names)
        speech = {name: self._segments(streams["audio"], batch, name) for name in levels}
        auxiliary, vectors = {}, []
        for member, (branch, names) in self.members.items():
            vectors_read = [self._vector(branch, name, {**streams, "audio": speech[name]}) for name in names]
            vectors_read = vectors_read or [self._vector(branch, "text", streams)]
            vector = (
                self.gates[member](torch.stack(vectors_read, dim=-2))
                if member in self.gates
                else torch.cat(vectors_read, -1)
            )
            vectors.append(vector)
            auxiliary[f"logits.{member}"] = self.heads[member](vector)
            reads = torch.stack([has[modality] for modality in _READS[branch]])
            auxiliary[f"counts.{member}"] = reads.any(0).long() + reads.all(0).long()
        logits, counted = self._stacked(auxiliary)
        return ModelOutput(
            log_mixture(logits, self.weights, counted), {**auxiliary, "embedding": torch.cat(vectors, dim=-1)}
        )

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return one term per member over the utterances of which it reads anything; members share the encoders."""
        terms = {}
        for member in self.members:
            read = output.auxiliary[f"counts.{member}"] > 0
            terms[member] = self.classification_loss(output.auxiliary[f"logits.{member}"], batch, read)
        return terms

    @torch.no_grad()
    def fit_on_validation(self, outputs: Iterable[tuple[ModelOutput, Int[Tensor, " items"]]]) -> None:
        """Fit the weights of late fusion by maximum likelihood, on the utterances that have audio and text."""
        logits, numbers = [], []
        for output, given in outputs:
            auxiliary, labels = output.auxiliary, given.to(self.weights.device)
            whole = torch.stack([auxiliary[f"counts.{member}"] == 2 for member in self.members]).all(0)
            chosen = whole & (labels != IGNORED)
            logits.append(at_least_float32(self._stacked(auxiliary)[0][:, chosen]))
            numbers.append(labels[chosen])
        self.weights.copy_(fitted_weights(torch.cat(logits, dim=1), torch.cat(numbers)))

    def logged_values(self) -> Mapping[str, float]:
        """Return the weights of late fusion, ``weight.<member>``."""
        return {f"weight.{name}": float(weight) for name, weight in zip(self.members, self.weights, strict=True)}

    def _segments(self, frames: Padded, batch: Batch, name: Granularity) -> Padded:
        """Return an utterance's segments of a tier, its frames where it has none."""
        if name == "frame":
            return frames
        assert self.clock is not None
        times = batch.extras[f"segments.{name}"]
        real = batch.extras[f"segments.{name}.mask"] & frames.mask.any(-1, keepdim=True)
        if not bool(real.any()):
            return frames
        means = segment_means(frames.data, frames.mask, times, real, self.clock)
        aligned = real.any(-1, keepdim=True)
        if bool(aligned.all()):
            return Padded(means, real)
        longest = max(means.shape[1], frames.data.shape[1])
        data = torch.where(aligned.unsqueeze(-1), _extended(means, longest), _extended(frames.data, longest))
        return Padded(data, torch.where(aligned, _extended(real, longest), _extended(frames.mask, longest)))

    def _vector(self, branch: Branch, name: str, streams: Mapping[str, Padded]) -> Float[Tensor, "items pooled"]:
        """Return a branch's vector of one granularity: what it reads, pooled, side by side."""
        key = f"{branch}_{name}"
        read = {}
        for modality in _READS[branch]:
            stream = streams[modality]
            read[modality] = Padded(self._placed(self.project[f"{key}_{modality}"](stream.data)), stream.mask)
        if key in self.coattention:
            read["audio"], read["text"] = self.coattention[key](read["audio"], read["text"])
        pooled = [self.pools[f"{key}_{modality}"](each.data, each.mask) for modality, each in read.items()]
        return torch.cat(pooled, dim=-1)

    def _placed(self, data: Float[Tensor, "items time dim"]) -> Float[Tensor, "items time dim"]:
        if self.config.positions:
            data = data + sinusoidal_positions(data.shape[1], data.shape[2], data.device).to(data.dtype)
        placed: Tensor = self.dropout(data)
        return placed

    def _stacked(
        self, auxiliary: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "members items classes"], Bool[Tensor, "members items"]]:
        """Return all members' logits, and which of them count for which item."""
        logits = torch.stack([auxiliary[f"logits.{member}"] for member in self.members])
        counts = torch.stack([auxiliary[f"counts.{member}"] for member in self.members])
        return logits, torch.where((counts == 2).any(0), counts == 2, counts == 1)


def _extended(data: Tensor, length: int) -> Tensor:
    """Return sequences ``[items, time, …]``, extended with zeros to a length."""
    return torch.cat([data, data.new_zeros(len(data), length - data.shape[1], *data.shape[2:])], dim=1)


def _clock(encoder: Encoder, tiers: set[str]) -> FrameClock | None:
    if not tiers:
        return None
    if encoder.hop_s is None:
        raise ConfigError(
            f"encoders.audio: its positions have no times, which granularities {', '.join(sorted(tiers))} need. "
            "Choose 'wav2vec2' with pooled = false or 'logmel' with stretch = 0.0, or granularities = ['frame']"
        )
    return FrameClock(encoder.hop_s, encoder.centre_s)


SPEC = ModelSpec(
    name="multilevel",
    summary="speech by frame, phone, syllable and word beside text: co-attention and weighted mean of predictions",
    level="utterance",
    config=MultilevelConfig,
    build=Multilevel,
    modalities=(2, 2),
    inputs=frozenset({"segments"}),
    citation=Citation(
        url="https://arxiv.org/abs/2207.04697",
        bibtex="""@inproceedings{zhao2022multilevel,
  title = {Multi-level Fusion of Wav2vec 2.0 and BERT for Multimodal Emotion Recognition},
  author = {Zhao, Zihan and Wang, Yanfeng and Wang, Yu},
  booktitle = {Proceedings of Interspeech 2022},
  year = {2022}
}""",
    ),
    deviations=(
        "All models that late fusion averages share their encoders and are trained together; the paper trains them "
        "separately.",
        "Dims, heads, positions, pooling and the way to the weights of late fusion are not in what is known "
        "of the paper.",
        "An utterance without segments of a tier is read frame by frame at that granularity.",
    ),
)
