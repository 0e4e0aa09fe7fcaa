"""What is particular to dialogue_rnn; what holds for every model is in tests/contract."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from tests.contract.fakes import CLASSES, FakeEncoder, batch_of
from torch import nn

from merkit.core import lookup
from merkit.core.batch import Batch
from merkit.core.model import Model, ModelSpec
from merkit.core.types import MODALITIES
from merkit.models.dialogue_rnn import Direction, EmotionAttention

CONVERSATION = [("b0", "b1", "b2", "b3", "b4")]


def make(count: int = 2, **settings: Any) -> tuple[ModelSpec, Model]:
    torch.manual_seed(0)
    spec = lookup.load("models", "dialogue_rnn")
    encoders = {modality: FakeEncoder(modality) for modality in MODALITIES[:count]}
    dims = {"global_dim": 6, "party_dim": 5, "emotion_dim": 4, "dense": 7}
    return spec, spec.build(encoders, CLASSES, spec.config(**{**dims, **settings})).eval()


def direction(inputs: int = 3, dropout: float = 0.0) -> Direction:
    torch.manual_seed(0)
    return Direction(inputs, global_dim=6, party_dim=5, emotion_dim=4, dropout=dropout)


def test_dropout_of_inputs_and_emotions_is_that_of_the_dense_layer_unless_it_is_given() -> None:
    _, plain = make(dropout=0.2)
    _, own = make(dropout=0.1, input_dropout=0.0, emotion_dropout=0.25)

    assert [model.p for model in (plain.input_dropout, plain.emotion_dropout, plain.dropout)] == [0.2, 0.2, 0.2]
    assert [model.p for model in (own.input_dropout, own.emotion_dropout, own.dropout)] == [0.0, 0.25, 0.1]


def simple_cell(cell: nn.GRUCell) -> None:
    """Make a cell whose gates stand at one half: ``h' = tanh(sum of the inputs) / 2 + h / 2``."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_ih[-1:] = 1.0  # the rows are reset, update, new


def with_speakers(batch: Batch, speakers: list[int]) -> Batch:
    return dataclasses.replace(batch, speakers=torch.tensor([speakers]))


def test_three_turns_of_two_speakers_worked_out_by_hand() -> None:
    track = Direction(1, global_dim=1, party_dim=1, emotion_dim=1, dropout=0.0)
    for cell in (track.global_cell, track.party_cell, track.emotion_cell):
        simple_cell(cell)
    with torch.no_grad():
        track.query.weight.fill_(2.0)
    u = (0.5, -1.0, 2.0)

    found = track(torch.tensor(u).view(1, 3, 1), torch.tensor([[0, 1, 0]]), torch.ones(1, 3, dtype=torch.bool))

    g1 = math.tanh(u[0]) / 2  # nobody has a state yet, and there is no past to look at
    a1 = math.tanh(u[0]) / 2
    e1 = math.tanh(a1) / 2
    g2 = math.tanh(u[1]) / 2 + g1 / 2  # the second speaker's state is still zero
    b2 = math.tanh(u[1] + g1) / 2  # the past is g1 alone
    e2 = math.tanh(b2) / 2 + e1 / 2
    first, second = math.exp(2 * u[2] * g1), math.exp(2 * u[2] * g2)
    context = (first * g1 + second * g2) / (first + second)
    a3 = math.tanh(u[2] + context) / 2 + a1 / 2
    e3 = math.tanh(a3) / 2 + e2 / 2
    torch.testing.assert_close(found[0, :, 0], torch.tensor([e1, e2, e3]))


def test_the_global_state_reads_what_the_speaker_felt_before() -> None:
    track = Direction(1, global_dim=1, party_dim=1, emotion_dim=1, dropout=0.0)
    for cell in (track.global_cell, track.party_cell, track.emotion_cell):
        simple_cell(cell)
    real, turn = torch.tensor([True]), torch.tensor([[1.0]])
    state = track.start(turn, speakers=2)
    state = track.step(state, turn, torch.tensor([0]), real)
    g, q = state.past[0, 0].item(), state.parties[0, 0].item()

    same = track.step(state, turn, torch.tensor([0]), real)
    other = track.step(state, turn, torch.tensor([1]), real)

    assert same.past[0, 1].item() == pytest.approx(math.tanh(1 + q) / 2 + g / 2)
    assert other.past[0, 1].item() == pytest.approx(math.tanh(1) / 2 + g / 2)


def test_a_party_changes_only_when_it_speaks() -> None:
    track = direction()
    turns = torch.randn(2, 4, 3)
    speakers = torch.tensor([[0, 1, 2, 0], [0, 0, 1, 0]])
    state = track.start(turns[:, 0], speakers=3)

    for t in range(4):
        after = track.step(state, turns[:, t], speakers[:, t], torch.ones(2, dtype=torch.bool))
        changed = (after.parties != state.parties).any(dim=-1)
        assert changed.tolist() == [[number == int(speakers[item, t]) for number in range(3)] for item in range(2)]
        state = after


def test_a_padded_turn_changes_no_state_and_is_never_looked_at() -> None:
    track = direction()
    turns, speakers = torch.randn(1, 3, 3), torch.tensor([[0, 1, 0]])
    mask = torch.tensor([[True, False, False, True, True, False]])
    padded = torch.full((1, 6, 3), 1e3)
    padded[mask] = turns[0]
    numbers = torch.zeros(1, 6, dtype=torch.long)
    numbers[mask] = speakers[0]
    everything = torch.ones(1, 3, dtype=torch.bool)

    for backward in (False, True):
        alone = track(turns, speakers, everything, backward=backward)
        found = track(padded, numbers, mask, backward=backward)
        torch.testing.assert_close(found[mask], alone[0])


def test_backward_is_forward_on_the_turns_reversed() -> None:
    track = direction()
    turns, speakers, mask = torch.randn(2, 4, 3), torch.tensor([[0, 1, 0, 1], [0, 1, 2, 2]]), torch.ones(2, 4).bool()

    found = track(turns, speakers, mask, backward=True)

    torch.testing.assert_close(found, track(turns.flip(1), speakers.flip(1), mask).flip(1))


def test_attention_over_emotions_worked_out_by_hand() -> None:
    attention = EmotionAttention(1)
    with torch.no_grad():
        attention.query.weight.fill_(1.0)
    emotions = torch.tensor([[[1.0], [2.0], [1e3]]])
    mask = torch.tensor([[True, True, False]])
    e = math.e

    both = attention(emotions, mask, causal=False)[0, :2, 0]
    past = attention(emotions, mask, causal=True)[0, :2, 0]

    first = (e * 1 + e**2 * 2) / (e + e**2)  # scores 1 * 1 and 1 * 2
    second = (e**2 * 1 + e**4 * 2) / (e**2 + e**4)  # scores 2 * 1 and 2 * 2
    torch.testing.assert_close(both, torch.tensor([first, second]))
    torch.testing.assert_close(past, torch.tensor([1.0, second]))


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"attention": False}])
def test_numbering_the_speakers_otherwise_changes_nothing(settings: dict[str, Any]) -> None:
    spec, model = make(**settings)
    batch = batch_of(spec, 2, CONVERSATION)

    first = model(with_speakers(batch, [0, 1, 2, 1, 0])).logits
    second = model(with_speakers(batch, [2, 0, 1, 0, 2])).logits
    other = model(with_speakers(batch, [0, 1, 2, 1, 1])).logits

    torch.testing.assert_close(first, second)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_a_turn_reads_its_whole_conversation_and_a_causal_one_its_past_alone(causal: bool, attention: bool) -> None:
    spec, model = make(causal=causal, attention=attention)
    batch = batch_of(spec, 2, CONVERSATION)
    inputs = {}
    for name, padded in batch.inputs.items():
        data = padded.data.clone()
        data[:, 2] += 1.0
        inputs[name] = dataclasses.replace(padded, data=data)

    change = (model(batch).logits - model(dataclasses.replace(batch, inputs=inputs)).logits).abs().amax(dim=-1)[0]

    assert (change > 1e-7).tolist() == [not causal, not causal, True, True, True]


def test_settings_decide_what_is_built() -> None:
    _, both = make()
    _, forward = make(causal=True, attention=False)

    keys = set(both.state_dict())
    assert {"backward_track.global_cell.weight_ih", "attention.query.weight"} <= keys
    assert not [key for key in forward.state_dict() if key.startswith(("backward_track", "attention"))]
    assert both.dense.in_features == 8
    assert forward.dense.in_features == 4
    assert make(projection=7)[1].forward_track.query.in_features == 14


def test_dropout_acts_in_training_alone() -> None:
    for settings in ({"dropout": 0.5}, {"recurrent_dropout": 0.5}, {"modality_dropout": 0.5}):
        spec, model = make(**{"dropout": 0.0, "recurrent_dropout": 0.0, **settings})
        batch = batch_of(spec, 2)

        still = model(batch).logits
        noisy = model.train()(batch).logits

        assert torch.equal(model.eval()(batch).logits, still)
        assert not torch.allclose(noisy[batch.mask], still[batch.mask]), settings
