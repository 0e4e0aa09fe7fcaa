"""What holds for the folds of every protocol, whatever the labels and sizes of the corpus."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthetic import IEMOCAP, MAKERS, clips, relabelled

from merkit.core.lookup import load, names
from merkit.core.protocol import Fold, Protocol
from merkit.core.types import Utterance
from merkit.evaluation.true_labels import true_labels

SINGLE = {"iemocap6", "iemocap6-release", "meld3", "meld7", "mosi2", "parley", "table"}
BY_SPEAKER = {"crema-d6", "iemocap4-scriptfree", "iemocap4-session", "iemocap4-speaker", "nemo6", "ravdess8"}
CUT_BY_SEED = sorted(set(MAKERS) - {"meld3", "meld7", "parley", "table"})

# Shrinking a corpus of hundreds of rows takes longer than finding out by its seed.
quick = settings(max_examples=6, deadline=None, derandomize=True)


def build(name: str) -> Protocol:
    spec = load("protocols", name)
    protocol: Protocol = spec.build(spec.options(), True)
    return protocol


def corpus(name: str, seed: int) -> list[Utterance]:
    return MAKERS[name](random.Random(seed))


def test_every_protocol_is_covered() -> None:
    assert set(names("protocols")) == set(MAKERS)


@pytest.mark.parametrize("name", sorted(MAKERS))
@quick
@given(st.integers(0, 10**6), st.integers(0, 100))
def test_parts_are_disjoint_and_the_test_part_shares_no_conversation(name: str, data: int, seed: int) -> None:
    utterances = corpus(name, data)
    conversation = {utterance.id: utterance.conversation for utterance in utterances}

    folds = build(name).folds(utterances, seed)

    assert len({fold.name for fold in folds}) == len(folds)
    for fold in folds:
        parts = [set(fold.train), set(fold.valid), set(fold.test)]
        assert all(parts)
        assert len(set().union(*parts)) == sum(map(len, parts))
        groups = [{conversation[id_] for id_ in part} for part in parts]
        assert len(set().union(*groups)) == sum(map(len, groups))


@pytest.mark.parametrize("name", sorted(BY_SPEAKER))
@quick
@given(st.integers(0, 10**6))
def test_tested_speakers_are_in_no_other_part(name: str, data: int) -> None:
    utterances = corpus(name, data)
    speaker = {utterance.id: utterance.speaker for utterance in utterances}

    for fold in build(name).folds(utterances, 0):
        tested = {speaker[id_] for id_ in fold.test}
        assert not tested & {speaker[id_] for id_ in (*fold.train, *fold.valid)}


@pytest.mark.parametrize("name", sorted(set(MAKERS) - SINGLE))
@quick
@given(st.integers(0, 10**6))
def test_k_folds_test_each_member_exactly_once(name: str, data: int) -> None:
    utterances = corpus(name, data)
    protocol = build(name)

    tested = Counter(id_ for fold in protocol.folds(utterances, 0) for id_ in fold.test)

    assert tested == Counter(utterance.id for utterance in protocol.members(utterances))


@pytest.mark.parametrize("name", sorted(SINGLE))
@quick
@given(st.integers(0, 10**6))
def test_a_single_fold_uses_each_member_exactly_once(name: str, data: int) -> None:
    utterances = corpus(name, data)
    protocol = build(name)

    (fold,) = protocol.folds(utterances, 0)

    assert sorted([*fold.train, *fold.valid, *fold.test]) == sorted(u.id for u in protocol.members(utterances))


@pytest.mark.parametrize("name", sorted(MAKERS))
@quick
@given(st.integers(0, 10**6), st.integers(0, 100))
def test_labels_of_the_test_part_change_nothing_in_its_fold(name: str, data: int, seed: int) -> None:
    utterances = corpus(name, data)
    folds = build(name).folds(utterances, seed)
    place = random.Random(data).randrange(len(folds))
    tested = set(folds[place].test)
    attribute = "sentiment" if name in ("meld3", "mosi2") else "label" if name == "table" else "emotion"
    shuffled = [utterance.attributes[attribute] for utterance in utterances if utterance.id in tested]
    random.Random(seed).shuffle(shuffled)
    labels = iter(shuffled)

    mixed = [relabelled(u, **{attribute: next(labels)}) if u.id in tested else u for u in utterances]

    assert build(name).folds(mixed, seed)[place] == folds[place]


@pytest.mark.parametrize("name", sorted(MAKERS))
@quick
@given(st.integers(0, 10**6))
def test_the_order_of_the_corpus_does_not_matter(name: str, data: int) -> None:
    utterances = corpus(name, data)
    shuffled = list(utterances)
    random.Random(data).shuffle(shuffled)

    def content(folds: list[Fold]) -> list[tuple[str, dict[str, int], dict[str, int], set[str]]]:
        return [(fold.name, dict(fold.train), dict(fold.valid), set(fold.test)) for fold in folds]

    assert content(build(name).folds(utterances, 3)) == content(build(name).folds(shuffled, 3))


@pytest.mark.parametrize("name", CUT_BY_SEED)
@quick
@given(st.integers(0, 10**6))
def test_the_seed_moves_the_validation_part_and_nothing_else(name: str, data: int) -> None:
    utterances = corpus(name, data)
    runs = [build(name).folds(utterances, seed) for seed in range(12)]

    assert build(name).folds(utterances, 0) == runs[0]
    for versions in zip(*runs, strict=True):
        assert len({fold.name for fold in versions}) == 1
        assert len({fold.test for fold in versions}) == 1
        assert len({frozenset({**fold.train, **fold.valid}.items()) for fold in versions}) == 1
    assert any(len({frozenset(fold.valid) for fold in versions}) > 1 for versions in zip(*runs, strict=True))


@pytest.mark.parametrize("name", sorted(MAKERS))
@quick
@given(st.integers(0, 10**6))
def test_class_numbers_of_the_folds_are_those_of_the_answers(name: str, data: int) -> None:
    utterances = corpus(name, data)
    protocol = build(name)

    folds = protocol.folds(utterances, 0)

    answers = true_labels(protocol, utterances)
    assert set(answers.values()) <= set(range(len(protocol.labels)))
    for fold in folds:
        assert {**fold.train, **fold.valid}.items() <= answers.items()
        assert set(fold.test) <= answers.keys()


@quick
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_folds_of_a_table_by_speaker_are_disjoint_complete_and_of_like_size(data: int, folds: int) -> None:
    utterances = clips([f"s{number}" for number in range(11)], IEMOCAP[:3])(random.Random(data))
    spec = load("protocols", "table")
    protocol = spec.build(spec.options(label="emotion", group="speaker", folds=folds), False)

    made = protocol.folds(utterances, 0)

    assert [fold.name for fold in made] == [str(number + 1) for number in range(folds)]
    assert sorted(id_ for fold in made for id_ in fold.test) == sorted(utterance.id for utterance in utterances)
    largest = max(Counter(utterance.speaker for utterance in utterances).values())
    sizes = [len(fold.test) for fold in made]
    assert max(sizes) - min(sizes) <= largest
