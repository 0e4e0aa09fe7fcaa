"""Poria et al., "Context-Dependent Sentiment Analysis in User-Generated Videos", ACL 2017: an LSTM over the turns.

Each utterance is one vector (its modalities pooled over time and concatenated); a bidirectional LSTM reads the vectors
of a conversation in order; a dense layer and a linear one give the logits of each turn.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Citation, ModelSpec
from merkit.models._joined import JoinedModel, JoinedTurnsConfig
from merkit.nn.recurrent import MaskedLSTM


class BcLstmConfig(JoinedTurnsConfig):
    """Settings of ``bc_lstm``; ``causal`` is the paper's sc-LSTM."""

    hidden_size: int = Field(default=128, ge=1)
    """Of the LSTM's state, per direction."""
    layers: int = Field(default=1, ge=1)
    dense: int = Field(default=100, ge=1)
    """Of the dense layer between LSTM and logits."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    """Of the LSTM's input, between its layers, of its states and of the dense layer."""


class BcLstm(JoinedModel):
    """Turns of a conversation to logits; an absent modality is a learned vector, padded turns are skipped."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: BcLstmConfig) -> None:
        super().__init__(encoders, config, config.projection)
        self.norm: nn.Module = nn.LayerNorm(self.joined_dim) if config.layer_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.context = MaskedLSTM(
            self.joined_dim,
            config.hidden_size,
            layers=config.layers,
            dropout=config.dropout,
            bidirectional=not config.causal,
        )
        self.dense = nn.Linear(self.context.dim, config.dense)
        self.head = nn.Linear(config.dense, classes)

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, turns, classes]`` and the dense layer's activations, ``embedding``."""
        turns = self.dropout(self.norm(self.joined(batch)))
        states = self.dropout(self.context(turns, batch.mask))
        embedding = torch.relu(self.dense(states))
        return ModelOutput(self.head(self.dropout(embedding)), {"embedding": embedding})


CITATION = Citation(
    url="https://aclanthology.org/P17-1081",
    bibtex="""@inproceedings{poria2017context,
  title = {Context-Dependent Sentiment Analysis in User-Generated Videos},
  author = {Poria, Soujanya and Cambria, Erik and Hazarika, Devamanyu and Majumder, Navonil and Zadeh, Amir and
            Morency, Louis-Philippe},
  booktitle = {Proceedings of the 55th Annual Meeting of the Association for Computational Linguistics
               (Volume 1: Long Papers)},
  pages = {873--883},
  year = {2017},
  address = {Vancouver, Canada},
  publisher = {Association for Computational Linguistics},
  doi = {10.18653/v1/P17-1081},
}""",
)

SPEC = ModelSpec(
    name="bc_lstm",
    summary="bidirectional LSTM over the turns of a conversation (Poria et al., ACL 2017)",
    level="conversation",
    config=BcLstmConfig,
    build=BcLstm,
    multi_label=True,
    citation=CITATION,
    deviations=(
        "Fusion is early (one LSTM over concatenated modalities); the paper's hierarchical variant, an LSTM per "
        "modality trained first and a second one over their states, is not built.",
        "Utterance vectors come from the recipe's encoders, not from the paper's CNN, 3D-CNN and openSMILE features.",
        "Sizes, dropout and the layer normalisation of the LSTM's input are ours.",
        "An absent modality is a learned vector; the paper has none absent.",
    ),
)
