"""Ghosh et al., "MMER: Multimodal Multi-task Learning for Speech Emotion Recognition", Interspeech 2023.

Words and speech attend to one another (blocks B, C and D of figure 1), a gate weights the speech that each
word has read, and three further tasks train the same vectors: the transcript from the speech frames (CTC),
a supervised contrastive loss, and a contrastive loss against an augmented view of the utterance.

[paper] arXiv 2203.16794; [code] its released module, where the paper is silent or differs; [ours] otherwise.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput, Padded
from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError
from merkit.core.model import Citation, ModalityDropoutConfig, Model, ModelSpec, ReleasedCode
from merkit.nn.attention import AttentionBlock
from merkit.nn.contrastive import (
    Memory,
    augmented_contrastive,
    released_augmented_contrastive,
    released_supervised_contrastive,
    supervised_contrastive,
)
from merkit.nn.ctc import ENGLISH, SPECIAL, mean_ctc, released_ctc, spelled
from merkit.nn.layers import Dropout, PooledUtterance, encode

Weight = Field(default=0.1, ge=0.0)
_EPSILON = 1e-12  # of layer norms, as in BERT [code]


class MmerConfig(ModalityDropoutConfig):
    """Settings of ``mmer``. The dim d of all blocks is the text encoder's, 768 in the paper."""

    profile: Literal["clean", "released"] = "clean"
    """How the three further losses are computed: as described in their sources, or as in the released code (summed CTC,
    event tags spelled, contrastive losses without normalisation, temperature outside, self-pairs). [ours]

    The released speech encoder also reads its padding: ``[encoders.audio] unmasked_padding = true``."""
    heads: int = Field(default=12, ge=1)
    """Of every block. [code]"""
    feed_forward: int = Field(default=4, ge=1)
    """Inner dim of the blocks' position-wise networks, as a multiple of d. [code]"""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Of text vectors, attention weights, blocks and the frames before CTC. [code]"""
    ctc_weight: float = Weight
    """Of the transcript's CTC loss (alpha) [paper]; 0: ablation, and no transcript is read."""
    supervised_weight: float = Weight
    """Of the supervised contrastive loss (beta) [paper]; 0: ablation."""
    augmented_weight: float = Weight
    """Of the augmented contrastive loss (gamma) [paper]; 0: ablation, and no view is made or read."""
    temperature: float = Field(default=0.07, gt=0.0)
    """Of both contrastive losses. [code]"""
    memory: int = Field(default=0, ge=0)
    """Vectors of earlier batches that the supervised contrastive loss compares with: partners for small batches; 0:
    none, as in the paper. [ours]"""
    characters: str = ENGLISH
    """What CTC spells with, ``|`` between words; by default wav2vec2-base's 28, with its special classes 32. [code]"""

    @field_validator("characters")
    @classmethod
    def _characters_fit(cls, characters: str) -> str:
        if "|" not in characters or len(set(characters)) < len(characters) or characters != characters.upper():
            raise ValueError("characters must hold '|' (between words) and each upper-case character once")
        return characters

    @model_validator(mode="after")
    def _settings_fit_together(self) -> "MmerConfig":
        if self.memory and (self.profile == "released" or not self.supervised_weight):
            raise ValueError("memory needs profile = 'clean' and a supervised_weight above 0")
        return self

    def needs_views(self) -> bool:
        """Return whether the augmented contrastive loss is on."""
        return self.augmented_weight > 0.0


class Interaction(NamedTuple):
    """The results of the blocks for an utterance's words and frames; padded positions are finite."""

    speech_by_word: Float[Tensor, "items tokens dim"]
    """Q, block D: words have read the speech."""
    words_by_frame: Float[Tensor, "items frames dim"]
    """P, block B: frames have read the words."""
    words: Float[Tensor, "items tokens dim"]
    """R, block C: words have read P."""
    gate: Float[Tensor, "items tokens dim"]
    """How much of Q each word takes up."""
    fused: Float[Tensor, "items tokens twice"]
    """M = [R ; gate * Q]"""


class Mmer(Model):
    """One vector ``[pooled frames ; pooled fused words]`` per utterance, read by a linear head and by three more tasks.

    An absent modality is masked in attention, and its pooled vector is a learned one.
    """

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: MmerConfig) -> None:
        super().__init__(encoders)
        self.config = config
        if set(encoders) != {"text", "audio"}:
            raise ConfigError(f"'mmer' takes the encoders text and audio, found {', '.join(encoders)}")
        dim, heard = encoders["text"].dim, encoders["audio"].dim
        if dim % config.heads:
            raise ConfigError(f"config.heads = {config.heads}: the text encoder's dim, {dim}, must be a multiple of it")
        self.released = config.profile == "released"
        self.weights = {
            "ctc": config.ctc_weight,
            "supervised": config.supervised_weight,
            "augmented": config.augmented_weight,
        }
        self.dropout = Dropout(config.dropout)

        def block() -> AttentionBlock:
            return AttentionBlock(
                dim,
                config.heads,
                hidden=config.feed_forward * dim,
                norm="post",
                dropout=config.dropout,
                epsilon=_EPSILON,
                hidden_dropout=0.0,
            )

        self.text_attention = block()
        self.audio_projections = nn.ModuleDict({name: nn.Linear(heard, dim) for name in ("source", "query")})
        self.blocks = nn.ModuleDict({name: block() for name in ("d", "b", "c")})
        self.gate = nn.Linear(2 * dim, dim)
        dims = {"audio": heard, "fused": 2 * dim}
        self.pooled = nn.ModuleDict({name: PooledUtterance(inputs, "max") for name, inputs in dims.items()})
        self.squeeze = nn.Linear(2 * dim, dim)
        self.head = nn.Linear(heard + dim, classes)
        self.ctc = nn.Linear(heard, SPECIAL + len(config.characters)) if config.ctc_weight else None
        contrasts = bool(config.supervised_weight or config.augmented_weight)
        self.anchor = _projection(heard + dim, dim) if contrasts else None
        self.key = _projection(heard + dim, dim) if config.augmented_weight else None
        self.memory = Memory(config.memory) if config.memory else None

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, classes]``, the vectors that the head reads, ``embedding`` ``[items, d_audio + d]``,
        and the speech encoder's ``frames`` ``[items, frames, d_audio]`` with their ``frames_mask``.
        """
        embedding, frames = self._embed(batch)
        auxiliary = {"embedding": embedding, "frames": frames.data, "frames_mask": frames.mask}
        return ModelOutput(self.head(embedding), auxiliary)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the classification loss, ``ctc``, ``supervised`` and ``augmented``; those of weight 0 are left out.

        Raises:
            ConfigError: The batch has no view and ``augmented_weight`` is above 0.
        """
        terms = {}
        embedding = output.auxiliary["embedding"]
        labels = batch.labels
        assert labels is not None
        if self.ctc is not None:
            frames = Padded(output.auxiliary["frames"], output.auxiliary["frames_mask"])
            terms["ctc"] = self._ctc_loss(frames, batch)
        if self.anchor is not None:
            anchors = self.anchor(embedding)
            if self.weights["supervised"]:
                terms["supervised"] = self._supervised(anchors, labels)
            if self.key is not None:
                if batch.view is None:
                    raise ConfigError("config.augmented_weight is above 0 and the batch has no augmented view")
                keys = self.key(self._embed(batch.view)[0])
                terms["augmented"] = (
                    released_augmented_contrastive(anchors, keys, self.config.temperature)
                    if self.released
                    else augmented_contrastive(anchors, keys, labels, self.config.temperature)
                )
        return super().loss(output, batch) | {name: self.weights[name] * term for name, term in terms.items()}

    def start_epoch(self, epoch: int) -> None:
        """Clear the memory, so that an epoch depends on its own batches only."""
        if self.memory is not None:
            self.memory.clear()

    def interact(self, text: Padded, audio: Padded) -> Interaction:
        """Return what blocks D, B and C and the gate make of ``[items, time, …]`` from the encoders."""
        words = self.text_attention(self.dropout(text.data), text.mask)  # T
        speech = self.blocks["d"](words, audio.mask, self.audio_projections["source"](audio.data))
        heard = self.blocks["b"](self.audio_projections["query"](audio.data), text.mask, words)
        read = self.blocks["c"](words, audio.mask, heard)
        gate = torch.sigmoid(self.gate(torch.cat([read, speech], dim=-1)))
        return Interaction(speech, heard, read, gate, torch.cat([read, gate * speech], dim=-1))

    def _embed(self, batch: Batch) -> tuple[Float[Tensor, "items both"], Padded]:
        streams = encode(self.encoders, batch, self.config.modality_dropout, self.training)
        text, audio = streams["text"], streams["audio"]
        fused = self.interact(text, audio).fused
        heard = self.pooled["audio"](audio.data, audio.mask, audio.mask.any(dim=-1))
        words = self.squeeze(self.pooled["fused"](fused, text.mask, text.mask.any(dim=-1)))
        return torch.cat([heard, words], dim=-1), audio

    def _ctc_loss(self, frames: Padded, batch: Batch) -> Tensor:
        assert self.ctc is not None
        targets = [
            [] if text is None else spelled(text, self.config.characters, keep_events=self.released)
            for text in batch.texts
        ]
        logits = self.ctc(self.dropout(frames.data))
        return (released_ctc if self.released else mean_ctc)(logits, frames.mask, targets)

    def _supervised(self, anchors: Tensor, labels: Tensor) -> Tensor:
        if self.released:
            return released_supervised_contrastive(anchors, labels, self.config.temperature)
        partners = None if self.memory is None else self.memory.partners()
        loss = supervised_contrastive(anchors, labels, self.config.temperature, partners)
        if self.memory is not None and self.training:
            self.memory.add(anchors, labels)
        return loss


def _projection(inputs: int, dim: int) -> nn.Sequential:
    """Return linear, GELU, linear: the projection on which contrastive losses are computed."""
    return nn.Sequential(nn.Linear(inputs, dim), nn.GELU(), nn.Linear(dim, dim))


CITATION = Citation(
    url="https://arxiv.org/abs/2203.16794",
    bibtex="""@inproceedings{ghosh2023mmer,
  title = {MMER: Multimodal Multi-task Learning for Speech Emotion Recognition},
  author = {Ghosh, Sreyan and Tyagi, Utkarsh and Ramaneswaran, S and Srivastava, Harshvardhan and Manocha, Dinesh},
  booktitle = {Interspeech 2023},
  year = {2023},
  note = {arXiv:2203.16794}
}""",
)

SPEC = ModelSpec(
    name="mmer",
    summary="words and speech read one another; CTC and two contrastive losses beside (Ghosh et al., 2023)",
    level="utterance",
    config=MmerConfig,
    build=Mmer,
    citation=CITATION,
    released=ReleasedCode("https://github.com/Sreyan88/MMER", "2b076fb", licence=None),
    modalities=(2, 2),
    inputs=frozenset({"texts", "views"}),
    deviations=(
        "Architecture as in the released code: a self-attention layer on the text and two projections of the frames "
        "that the paper does not name; its figure draws P as the query of block C and the gate on R.",
        "With profile = 'clean' CTC is a mean per character without event tags; the code sums it, so that it begins "
        "about forty times as large as the classification loss.",
        "A transcript that is too long for its frames adds nothing to CTC; the code's loss becomes infinite and its "
        "weights NaN.",
        "With profile = 'clean' the supervised contrastive loss is that of Khosla et al. (2020) and the augmented one "
        "is symmetric and has all of a class as positives; the code's have neither normalised vectors nor these.",
        "Recordings are not cut: the code cuts them at 13.1 s and keeps the whole transcript.",
        "Augmented views are drawn from the training split only, with donors of the same emotion; the code's voices "
        "are those of all sessions.",
        "An absent modality is masked in attention and pooled to a learned vector; nothing is known of absence in the "
        "paper.",
    ),
)
