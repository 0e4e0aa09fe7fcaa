from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.contract.fakes import FakeEncoder

from merkit.core.types import Conversation, Turn, Utterance


def utterances(*turns: int, conversation: str = "c") -> tuple[Utterance, ...]:
    return tuple(Utterance(f"u{number}", conversation, turn, "Ann", text="…") for number, turn in enumerate(turns))


def test_a_conversation_holds_its_turns_in_order() -> None:
    assert len(Conversation("c", utterances(0, 1, 2)).utterances) == 3


@pytest.mark.parametrize("turns", [(1,), (0, 2), (0, 0)])
def test_a_conversation_with_a_gap_is_refused(turns: Sequence[int]) -> None:
    with pytest.raises(ValueError, match="has turn"):
        Conversation("c", utterances(*turns))


def test_a_conversation_of_others_utterances_is_refused() -> None:
    with pytest.raises(ValueError, match="is of conversation 'c', not 'd'"):
        Conversation("d", utterances(0))


def test_words_cost_one_second_each_turn_unless_an_encoder_knows_better() -> None:
    turn = Turn(utterances(0)[0], (), Path())

    assert FakeEncoder("text").duration_s(turn) == 1.0


def test_an_encoder_without_statistics_learns_nothing_from_fit() -> None:
    encoder = FakeEncoder("text")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}

    encoder.fit(iter([]))

    assert all((encoder.state_dict()[name] == tensor).all() for name, tensor in before.items())
