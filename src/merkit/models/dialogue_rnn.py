"""Majumder et al., "DialogueRNN: An Attentive RNN for Emotion Detection in Conversations", AAAI 2019.

Three recurrent states, each a GRU (section "Our model"; ``u`` a turn, ``s`` its speaker):

* global: ``g_t = GRU_G(g_{t-1}, [u_t; q_{s,t-1}])``
* context: ``c_t``, the mean of ``g_1 … g_{t-1}`` with weights ``softmax(u_t W [g_1 … g_{t-1}])``; zero at first
* party: ``q_{s,t} = GRU_P(q_{s,t-1}, [u_t; c_t])``; the listeners' states stay as they are
* emotion: ``e_t = GRU_E(e_{t-1}, q_{s,t})``

A second set of states reads the conversation backwards, and each turn attends over the emotions of all turns before it
is classified (the paper's BiDialogueRNN+Att).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Citation, ModelSpec, ReleasedCode
from merkit.models._joined import JoinedModel, JoinedTurnsConfig
from merkit.nn.pooling import masked_softmax


class DialogueRnnConfig(JoinedTurnsConfig):
    """Settings of ``dialogue_rnn``; dims are those of the authors' script for MELD."""

    global_dim: int = Field(default=150, ge=1)
    party_dim: int = Field(default=150, ge=1)
    emotion_dim: int = Field(default=100, ge=1)
    """Of each direction."""
    dense: int = Field(default=200, ge=1)
    """Of the dense layer before the logits."""
    attention: bool = True
    """Attend over the emotions of all turns; without it a turn is classified by its own."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Of the dense layer, and of inputs and emotions unless the next two are given."""
    input_dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Of what enters the states; ``None``: as ``dropout``; the authors' scripts: 0."""
    emotion_dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Of the emotions; ``None``: as ``dropout``; the authors' scripts: ``dropout`` + 0.15."""
    recurrent_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Of every new state, before it is carried on."""


@dataclass(frozen=True, slots=True)
class State:
    """The states of one direction after some turns."""

    past: Float[Tensor, "items turns global"]
    """The global state after each of them."""
    real: Bool[Tensor, "items turns"]
    """Which of them belong to real turns."""
    parties: Float[Tensor, "items speakers party"]
    emotion: Float[Tensor, "items emotion"]


class Direction(nn.Module):
    """Global, party and emotion states carried over the turns of a conversation in one direction."""

    def __init__(self, inputs: int, *, global_dim: int, party_dim: int, emotion_dim: int, dropout: float) -> None:
        super().__init__()
        self.global_cell = nn.GRUCell(inputs + party_dim, global_dim)
        self.party_cell = nn.GRUCell(inputs + global_dim, party_dim)
        self.emotion_cell = nn.GRUCell(party_dim, emotion_dim)
        self.query = nn.Linear(inputs, global_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        turns: Float[Tensor, "items turns dim"],
        speakers: Int[Tensor, "items turns"],
        mask: Bool[Tensor, "items turns"],
        *,
        backward: bool = False,
    ) -> Float[Tensor, "items turns emotion"]:
        """Return the emotion state after each turn; after a padded one it is the state before it."""
        state = self.start(turns[:, 0], int(speakers.max()) + 1)
        order = range(turns.shape[1])
        emotions = []
        for turn in reversed(order) if backward else order:
            state = self.step(state, turns[:, turn], speakers[:, turn], mask[:, turn])
            emotions.append(state.emotion)
        return torch.stack(emotions[::-1] if backward else emotions, dim=1)

    def start(self, turn: Float[Tensor, "items dim"], speakers: int) -> State:
        """Return the state before the first turn: all zeros."""
        items = len(turn)
        return State(
            past=turn.new_zeros(items, 0, self.global_cell.hidden_size),
            real=torch.zeros(items, 0, dtype=torch.bool, device=turn.device),
            parties=turn.new_zeros(items, speakers, self.party_cell.hidden_size),
            emotion=turn.new_zeros(items, self.emotion_cell.hidden_size),
        )

    def step(
        self,
        state: State,
        turn: Float[Tensor, "items dim"],
        speaker: Int[Tensor, " items"],
        real: Bool[Tensor, " items"],
    ) -> State:
        """Return the state after one more turn; where it is padding (``real`` is ``False``) nothing changes."""
        speaks = torch.arange(state.parties.shape[1], device=speaker.device) == speaker.unsqueeze(1)
        party = state.parties[torch.arange(len(turn), device=speaker.device), speaker]
        steps = state.past.shape[1]
        before = state.past[:, -1] if steps else turn.new_zeros(len(turn), self.global_cell.hidden_size)

        scores = torch.einsum("ig,isg->is", self.query(turn), state.past)
        weights = masked_softmax(scores, state.real) if steps else scores
        context = torch.einsum("is,isg->ig", weights, state.past)

        update = real.unsqueeze(1)
        new_global = self.dropout(self.global_cell(torch.cat([turn, party], dim=-1), before))
        new_party = self.dropout(self.party_cell(torch.cat([turn, context], dim=-1), party))
        new_emotion = self.dropout(self.emotion_cell(new_party, state.emotion))
        return State(
            past=torch.cat([state.past, torch.where(update, new_global, before).unsqueeze(1)], dim=1),
            real=torch.cat([state.real, update], dim=1),
            parties=torch.where((speaks & update).unsqueeze(-1), new_party.unsqueeze(1), state.parties),
            emotion=torch.where(update, new_emotion, state.emotion),
        )


class EmotionAttention(nn.Module):
    """Each turn's weighted mean over the emotions of the turns: weights ``softmax(e_t W [e_1 … e_n])``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)

    def forward(
        self, emotions: Float[Tensor, "items turns dim"], mask: Bool[Tensor, "items turns"], *, causal: bool
    ) -> Float[Tensor, "items turns dim"]:
        """Return the means; ``causal`` leaves out the turns that follow."""
        visible = mask.unsqueeze(1).expand(-1, mask.shape[1], -1)
        if causal:
            visible = visible.tril()
        scores = torch.einsum("itd,isd->its", self.query(emotions), emotions)
        return torch.einsum("its,isd->itd", masked_softmax(scores, visible), emotions)


class DialogueRnn(JoinedModel):
    """Turns of a conversation to logits; an absent modality is a learned vector, padded turns are skipped."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: DialogueRnnConfig) -> None:
        super().__init__(encoders, config, config.projection)
        dim = self.joined_dim
        self.norm: nn.Module = nn.LayerNorm(dim) if config.layer_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.input_dropout = nn.Dropout(_given(config.input_dropout, config.dropout))
        self.emotion_dropout = nn.Dropout(_given(config.emotion_dropout, config.dropout))

        def direction() -> Direction:
            return Direction(
                dim,
                global_dim=config.global_dim,
                party_dim=config.party_dim,
                emotion_dim=config.emotion_dim,
                dropout=config.recurrent_dropout,
            )

        self.forward_track = direction()
        self.backward_track = None if config.causal else direction()
        emotions = config.emotion_dim if config.causal else 2 * config.emotion_dim
        self.attention = EmotionAttention(emotions) if config.attention else None
        self.dense = nn.Linear(emotions, config.dense)
        self.head = nn.Linear(config.dense, classes)

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, turns, classes]`` and the dense layer's activations, ``embedding``."""
        turns = self.input_dropout(self.norm(self.joined(batch)))
        emotions = self.forward_track(turns, batch.speakers, batch.mask)
        if self.backward_track is not None:
            after = self.backward_track(turns, batch.speakers, batch.mask, backward=True)
            emotions = torch.cat([emotions, after], dim=-1)
        emotions = self.emotion_dropout(emotions)
        if self.attention is not None:
            emotions = self.attention(emotions, batch.mask, causal=self.backward_track is None)
        embedding = torch.relu(self.dense(emotions))
        return ModelOutput(self.head(self.dropout(embedding)), {"embedding": embedding})


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


CITATION = Citation(
    url="https://arxiv.org/abs/1811.00405",
    bibtex="""@inproceedings{majumder2019dialoguernn,
  title = {DialogueRNN: An Attentive RNN for Emotion Detection in Conversations},
  author = {Majumder, Navonil and Poria, Soujanya and Hazarika, Devamanyu and Mihalcea, Rada and
            Gelbukh, Alexander and Cambria, Erik},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume = {33},
  pages = {6818--6825},
  year = {2019},
  doi = {10.1609/aaai.v33i01.33016818},
}""",
)

SPEC = ModelSpec(
    name="dialogue_rnn",
    summary="global, party and emotion GRUs over the turns of a conversation (Majumder et al., AAAI 2019)",
    level="conversation",
    config=DialogueRnnConfig,
    build=DialogueRnn,
    multi_label=True,
    citation=CITATION,
    released=ReleasedCode("https://github.com/declare-lab/conv-emotion", "6128ca2", licence="MIT"),
    deviations=(
        "The variant that updates the listeners too (DialogueRNN_l) is not built: a listener's state stays as it is, "
        "as in the paper's other variants.",
        "Read backwards, each turn keeps its own speaker, as in the authors' code since 2019; its first versions "
        "reversed the utterances and left the speakers in their old order.",
        "Attention over emotions is bilinear, as in the paper; the authors' code adds a bias to the query.",
        "With causal = true attention over emotions ends at the turn itself.",
        "Utterance vectors come from the recipe's encoders, not from the paper's CNN, 3D-CNN and openSMILE features; "
        "dropout and layer normalisation of what enters the states are ours.",
        "An absent modality is a learned vector; the paper has none absent.",
    ),
)
