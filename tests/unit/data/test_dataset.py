from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import write_corpus

from merkit.core.errors import MerkitError
from merkit.core.model import Level
from merkit.data.collate import NO_LABEL, Example, collate
from merkit.data.dataset import Dataset, bucketed_batches, items_of, ordered_batches


def example(name: str, length: int, label: int | None = None, speaker: str = "A") -> Example:
    return Example(name, speaker, {"audio": np.full((length, 2), len(name), np.float32)}, label)


BLANKS = {"audio": np.zeros((1, 2), np.float32)}


def test_bucketed_batches_draw_every_item_once_and_alike_for_the_same_seed() -> None:
    lengths = [(7 * n) % 23 for n in range(101)]

    first, again, other = (bucketed_batches(lengths, 8, seed) for seed in (1, 1, 2))

    assert sorted(index for batch in first for index in batch) == list(range(101))
    assert first == again != other
    assert max(len(batch) for batch in first) == 8


def test_bucketed_batches_hold_items_of_similar_length() -> None:
    lengths = list(np.random.default_rng(0).integers(1, 1000, size=400))

    spreads = [
        max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in bucketed_batches(lengths, 8, 0)
    ]

    assert np.mean(spreads) < 50  # random batches of 8 from 1..1000 spread over 778 on average (7/9 of the range)


def test_ordered_batches_are_sorted_by_length() -> None:
    assert ordered_batches([3, 1, 2], 2) == [[1, 2], [0]]


def test_utterances_are_padded_in_time_and_marked() -> None:
    batch = collate([[example("a", 3, 1)], [example("bb", 1)]], "utterance", True, BLANKS)

    assert batch.ids == ("a", "bb")
    assert batch.inputs["audio"].data.shape == (2, 3, 2)
    assert batch.inputs["audio"].mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, NO_LABEL]
    assert batch.mask.tolist() == [True, True]


def test_conversations_are_padded_in_turns_and_speakers_are_numbered_by_appearance() -> None:
    talk = [example("a", 1, 0, "Zoe"), example("b", 2, 1, "Al"), example("c", 1, 2, "Zoe")]

    batch = collate([talk, [example("d", 1, 0, "Al")]], "conversation", True, BLANKS)

    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.speakers.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch.inputs["audio"].data.shape == (2, 3, 2, 2)
    assert not batch.inputs["audio"].mask[1, 1:].any()


def test_speakers_are_numbered_by_their_names_too() -> None:
    turns = [Example(f"u{n}", speaker, {}, None) for n, speaker in enumerate(["Ses01M", "Ses01F", "Ses01M"])]

    batch = collate([turns, turns[1:2]], "conversation", False, {})

    assert batch.speakers.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch.extras["speakers.by_name"].tolist() == [[1, 0, 1], [0, 0, 0]]


def test_an_absent_modality_is_a_mask_even_where_nobody_has_it() -> None:
    batch = collate([[Example("a", "A", {"audio": None}, None)]], "utterance", False, BLANKS)

    assert not batch.present["audio"].any()
    assert batch.inputs["audio"].data.shape == (1, 1, 2)
    assert not batch.inputs["audio"].mask.any()
    assert batch.labels is None


def test_arrays_of_another_dim_are_refused() -> None:
    wrong = Example("a", "A", {"audio": np.zeros((2, 3), np.float32)}, None)

    with pytest.raises(MerkitError, match=r"audio: an array of shape \(2, 3\)"):
        collate([[wrong]], "utterance", False, BLANKS)


def test_items_of_keep_a_conversation_whole_for_the_sake_of_context(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, conversations=3, turns=4)
    members = [u.id for u in manifest.utterances]

    talks = items_of(manifest.turns(members), "conversation", ["c001_2"])
    single = items_of(manifest.turns(members, context=5), "utterance", ["c001_2"])

    assert [[turn.utterance.id for turn in talk] for talk in talks] == [["c001_0", "c001_1", "c001_2", "c001_3"]]
    assert [u.id for u in single[0][0].previous] == ["c001_0", "c001_1"]


@pytest.mark.parametrize("level", ["utterance", "conversation"])
def test_items_carry_later_turns_where_an_encoder_asks_for_them(tmp_path: Path, level: Level) -> None:
    manifest = write_corpus(tmp_path, conversations=3, turns=4)
    members = [u.id for u in manifest.utterances]

    items = items_of(manifest.turns(members, following=5), level, ["c001_2"])

    (turn,) = [turn for item in items for turn in item if turn.utterance.id == "c001_2"]
    assert [u.id for u in turn.following] == ["c001_3"]
    assert turn.previous == ()


def test_segments_are_padded_beside_each_other_and_masked() -> None:
    def example(name: str, times: list[tuple[float, float]] | None) -> Example:
        arrays = {"audio": np.zeros((2, 3), dtype=np.float32)}
        return Example(name, "s", arrays, None, {"word": None if times is None else np.array(times)})

    examples = [[example("a", [(0.0, 0.5), (0.5, 0.7)])], [example("b", None)], [example("c", [(0.1, 0.2)])]]

    batch = collate(examples, "utterance", False, {"audio": np.zeros((1, 3), dtype=np.float32)})

    assert batch.extras["segments.word.mask"].tolist() == [[True, True], [False, False], [True, False]]
    assert batch.extras["segments.word"][0].tolist() == [[0.0, 0.5], [0.5, 0.7]]
    assert batch.extras["segments.word"][2, 0].tolist() == [0.1, 0.2]
    assert batch.extras["segments.word"].dtype == torch.float64


@pytest.mark.parametrize("level", ["utterance", "conversation"])
def test_a_teachers_answers_stand_beside_their_utterances_and_context_has_none(level: Level, tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, conversations=3, turns=4)
    ids = [utterance.id for utterance in manifest.utterances]
    labels = dict.fromkeys(ids[1:], 0)  # the first utterance is context
    teacher = {id_: np.array([number, 0.0, 1.0], np.float32) for number, id_ in enumerate(ids) if id_ in labels}
    items = items_of(manifest.turns(ids), level, ids)

    batch = Dataset(items, {}, level, labels, teacher=teacher).batch(range(len(items)))

    assert batch.teacher is not None
    assert batch.teacher.shape == (*batch.mask.shape, 3)
    found = dict(zip(batch.ids, batch.teacher[batch.mask].tolist(), strict=True))
    assert found == {id_: teacher[id_].tolist() if id_ in teacher else [0.0, 0.0, 0.0] for id_ in ids}
    assert batch.to(torch.device("cpu")).teacher is not None
    assert Dataset(items, {}, level, labels).batch([0]).teacher is None
