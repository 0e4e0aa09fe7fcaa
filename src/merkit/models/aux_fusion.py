"""Sun, He and Han, "Using Auxiliary Tasks in Multimodal Fusion of Wav2vec 2.0 and BERT", ICASSP 2023.

Two encoded streams ``A`` and ``T`` read each other in K layers, both the other's previous layer:
``A_k = LN(A_{k-1} + MHA(A_{k-1}, T_{k-1}))`` and the same for ``T_k``, each followed by a position-wise network. Their
pooled vectors, side by side, are classified by one linear layer. K = 0 is the paper's FC, concatenation alone.

Auxiliary tasks pair the encoded stream of one utterance with that of another one of the batch; only the fusion layers
run again. How the paper defines its two tasks is not known here beyond their aims, so there are three readings:

| reading | pair (i, j) | target | aim |
|---|---|---|---|
| ``own_label`` | any two | each stream's own head: its own utterance's label | neither stream is ignored |
| ``same_emotion_swap`` | of one label | the main head, held still: that label | emotion, not speaker or matter |
| ``emotion_match`` | half of them of one label | one number: are the labels the same? | streams aligned by emotion |

In the configuration [paper] is what the paper says, [assumed] a common value where it is silent, [ours] our addition.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from merkit.core.batch import Batch, ModelOutput, Padded
from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError
from merkit.core.model import Citation, ModalityDropoutConfig, Model, ModelSpec
from merkit.core.precision import at_least_float32
from merkit.nn.attention import AttentionBlock
from merkit.nn.layers import PooledUtterance, classification_head, encode
from merkit.nn.losses import IGNORED
from merkit.nn.pooling import mean_of_real
from merkit.nn.recombination import draw_partners, pairs_of_two, recombined, same_class

Reading = Literal["own_label", "same_emotion_swap", "emotion_match"]
TextPooling = Literal["mean", "first"]


class AuxFusionConfig(ModalityDropoutConfig):
    """Settings of ``aux_fusion``."""

    layers: int = Field(default=2, ge=0)
    """K. The paper compares three values [paper]; this one: [assumed]. 0: concatenation alone, FC. Ablation."""
    dim: int = Field(default=256, ge=1)
    """Of the fusion layers; a stream of another dim is projected. [ours] For base checkpoints 768 [assumed], which
    the recipe for IEMOCAP has."""
    heads: int = Field(default=8, ge=1)
    """[assumed]"""
    feed_forward: int = Field(default=1024, ge=0)
    """Inner dim of the position-wise networks, 0: none; as ``dim``. Four times that: [assumed]"""
    text_pooling: TextPooling = "mean"
    """``first``: the text's first position, [CLS], instead of the mean. [assumed]"""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Of attention weights, of the fusion layers' results and before the heads. [assumed]"""

    auxiliary: tuple[Reading, ...] = ("own_label", "same_emotion_swap")
    """Tasks beside the main one: two [paper]; which: [assumed]. An empty list: none. Ablation."""
    own_label_weight: float = Field(default=0.5, ge=0.0)
    """Of the sum of both streams' losses; 0, here and below: the task is off. [assumed]"""
    same_emotion_swap_weight: float = Field(default=0.5, ge=0.0)
    """[assumed]"""
    emotion_match_weight: float = Field(default=0.5, ge=0.0)
    """[assumed]"""

    @model_validator(mode="after")
    def _fits_together(self) -> "AuxFusionConfig":
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        if len(set(self.auxiliary)) < len(self.auxiliary):
            raise ValueError(f"auxiliary names a task twice: {', '.join(self.auxiliary)}")
        return self

    def weights(self) -> dict[Reading, float]:
        """Return the weight of each auxiliary task that has one and is asked for."""
        known: tuple[Reading, ...] = get_args(Reading)
        weights = {name: float(getattr(self, f"{name}_weight")) for name in known if name in self.auxiliary}
        return {name: weight for name, weight in weights.items() if weight}


class CrossFusion(nn.Module):
    """K layers in which each of two streams reads the other as it left the layer before."""

    def __init__(
        self, names: tuple[str, str], dim: int, heads: int, *, layers: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.names = names
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {name: AttentionBlock(dim, heads, hidden=hidden, norm="post", dropout=dropout) for name in names}
            )
            for _ in range(layers)
        )

    def forward(self, streams: Mapping[str, Padded]) -> Mapping[str, Padded]:
        """Return both streams ``[items, time, dim]`` after the last layer; attention to an absent one adds zeros."""
        first, second = self.names
        for layer in self.layers:
            a, b = streams[first], streams[second]
            assert isinstance(layer, nn.ModuleDict)
            streams = {
                first: Padded(layer[first](a.data, b.mask, b.data), a.mask),
                second: Padded(layer[second](b.data, a.mask, a.data), b.mask),
            }
        return streams


class AuxFusion(Model):
    """Two streams that attend to each other, pooled and concatenated, to logits; an absent one is a learned vector."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: AuxFusionConfig) -> None:
        super().__init__(encoders)
        self.config = config
        first, second = encoders
        if config.text_pooling == "first" and "text" not in encoders:
            raise ConfigError(f"config.text_pooling = 'first': there is no text, only {first} and {second}")
        self.names = (first, second)
        self.auxiliary = config.weights()
        dims = {name: config.dim if config.layers else encoder.dim for name, encoder in encoders.items()}
        self.projection = nn.ModuleDict(
            {
                name: nn.Identity() if encoder.dim == dims[name] else nn.Linear(encoder.dim, config.dim)
                for name, encoder in encoders.items()
            }
        )
        self.fusion = CrossFusion(
            self.names,
            config.dim,
            config.heads,
            layers=config.layers,
            hidden=config.feed_forward,
            dropout=config.dropout,
        )
        self.pooled = nn.ModuleDict(
            {name: PooledUtterance(dims[name], config.text_pooling if name == "text" else "mean") for name in encoders}
        )
        self.head = classification_head(sum(dims.values()), classes, dropout=config.dropout)
        # last, so that the weights above begin alike with and without auxiliary tasks
        self.own_heads = nn.ModuleDict()
        if "own_label" in self.auxiliary:
            for name in encoders:
                self.own_heads[name] = classification_head(dims[name], classes, dropout=config.dropout)
        self.match_head = (
            classification_head(sum(dims.values()), 1, dropout=config.dropout)
            if "emotion_match" in self.auxiliary
            else None
        )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, classes]``.

        Auxiliary: the vector that is classified, ``embedding``; its share of each modality, ``fused.<modality>``
        ``[items, dim]``; and what the auxiliary tasks recombine, ``stream.<modality>`` ``[items, time, dim]`` with
        ``stream_mask.<modality>``.
        """
        encoded = encode(self.encoders, batch, self.config.modality_dropout, self.training)
        streams = {name: Padded(self.projection[name](frames.data), frames.mask) for name, frames in encoded.items()}
        vectors = self._fused(streams)
        embedding = torch.cat(list(vectors.values()), dim=-1)
        auxiliary = {"embedding": embedding}
        auxiliary |= {f"fused.{name}": vector for name, vector in vectors.items()}
        auxiliary |= {f"stream.{name}": stream.data for name, stream in streams.items()}
        auxiliary |= {f"stream_mask.{name}": stream.mask for name, stream in streams.items()}
        return ModelOutput(self.head(embedding), auxiliary)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the main loss and the weighted auxiliary ones, each a mean over its pairs (0 without any).

        Pairs consist of labelled utterances with both streams. Nothing is drawn or computed for tasks that are off.
        """
        assert batch.labels is not None
        terms = super().loss(output, batch)
        if not self.auxiliary:
            return terms
        streams = {
            name: Padded(output.auxiliary[f"stream.{name}"], output.auxiliary[f"stream_mask.{name}"])
            for name in self.names
        }
        usable = batch.labels != IGNORED
        for stream in streams.values():
            usable = usable & stream.mask.any(dim=-1)
        tasks = {
            "own_label": self._own_label,
            "same_emotion_swap": self._same_emotion_swap,
            "emotion_match": self._emotion_match,
        }
        for name, weight in self.auxiliary.items():
            terms[name] = weight * tasks[name](streams, batch.labels, pairs_of_two(usable))
        return terms

    def _own_label(
        self, streams: Mapping[str, Padded], labels: Int[Tensor, " items"], pairs: Bool[Tensor, "items items"]
    ) -> Float[Tensor, ""]:
        """Return the sum of both streams' losses.

        Partners are drawn from all others: if their labels always differed, each stream would reveal what the other's
        label is not.
        """
        partners, has_partner = draw_partners(pairs)
        vectors = self._fused(self._recombined(streams, partners))
        losses = [
            self.criterion(
                at_least_float32(self.own_heads[name](vectors[name])), target.masked_fill(~has_partner, IGNORED)
            )
            for name, target in zip(self.names, (labels, labels[partners]), strict=True)
        ]
        return torch.stack(losses).sum()

    def _same_emotion_swap(
        self, streams: Mapping[str, Padded], labels: Int[Tensor, " items"], pairs: Bool[Tensor, "items items"]
    ) -> Float[Tensor, ""]:
        """Return the main head's loss; the head itself is left as it is."""
        partners, has_partner = draw_partners(pairs & same_class(labels))
        vectors = self._fused(self._recombined(streams, partners))
        fixed = {name: parameter.detach() for name, parameter in self.head.named_parameters()}
        logits = functional_call(self.head, fixed, (torch.cat(list(vectors.values()), dim=-1),))
        return self.criterion(at_least_float32(logits), labels.masked_fill(~has_partner, IGNORED))

    def _emotion_match(
        self, streams: Mapping[str, Padded], labels: Int[Tensor, " items"], pairs: Bool[Tensor, "items items"]
    ) -> Float[Tensor, ""]:
        """Return the binary cross-entropy; every other item, by chance, asks for a partner of its own label."""
        assert self.match_head is not None
        same = same_class(labels)
        alike = torch.rand(len(labels), 1, device=labels.device) < 0.5
        partners, has_partner = draw_partners(pairs & (same == alike))
        vectors = self._fused(self._recombined(streams, partners))
        logits = at_least_float32(self.match_head(torch.cat(list(vectors.values()), dim=-1)).squeeze(-1))
        target = same.gather(1, partners.unsqueeze(1)).squeeze(1).to(logits.dtype)
        return mean_of_real(binary_cross_entropy_with_logits(logits, target, reduction="none"), has_partner)

    def _recombined(self, streams: Mapping[str, Padded], partners: Int[Tensor, " items"]) -> dict[str, Padded]:
        """Return the first stream as it is and the second one of the partners."""
        first, second = self.names
        other = streams[second]
        return {first: streams[first], second: Padded(*recombined(other.data, other.mask, partners))}

    def _fused(self, streams: Mapping[str, Padded]) -> dict[str, Float[Tensor, "items dim"]]:
        """Run the fusion layers and pool."""
        return {
            name: self.pooled[name](stream.data, stream.mask, stream.mask.any(dim=-1))
            for name, stream in self.fusion(streams).items()
        }


CITATION = Citation(
    url="https://arxiv.org/abs/2302.13661",
    bibtex="""@inproceedings{sun2023auxiliary,
  title = {Using Auxiliary Tasks in Multimodal Fusion of Wav2vec 2.0 and BERT for Multimodal Emotion Recognition},
  author = {Sun, Dekai and He, Yancheng and Han, Jiqing},
  booktitle = {ICASSP 2023},
  year = {2023}
}""",
)

SPEC = ModelSpec(
    name="aux_fusion",
    summary="speech and text read each other; auxiliary tasks on recombined pairs (Sun et al., 2023)",
    level="utterance",
    config=AuxFusionConfig,
    build=AuxFusion,
    citation=CITATION,
    modalities=(2, 2),
    representations={"fused": "the modality's pooled stream, which has read the other one"},
    deviations=(
        "The paper's definition of its two auxiliary tasks was not available: own_label and same_emotion_swap follow "
        "the aims that its abstract names, emotion_match is a third reading.",
        "Depth, heads, the position-wise network, pooling, loss weights and training values are assumed; the paper's "
        "were not available.",
        "An absent modality is masked in attention and pooled to a learned vector; nothing is known of absence in the "
        "paper.",
    ),
)
