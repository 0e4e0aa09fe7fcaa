from merkit.api.demo import most_varied_call
from merkit.core.types import Utterance


def test_the_call_is_the_first_with_the_most_distinct_labels() -> None:
    calls = {"a": ["sad", "sad", "sad", "sad"], "b": ["sad", "happy"], "c": ["happy", "angry", "angry"]}
    utterances = [
        Utterance(id=f"{call}{turn}", conversation=call, turn=turn, speaker="")
        for call in calls
        for turn in range(len(calls[call]))
    ]
    labels = {u.id: calls[u.conversation][u.turn] for u in utterances}

    assert [u.id for u in most_varied_call(utterances, labels)] == ["b0", "b1"]
