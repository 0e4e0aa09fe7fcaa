"""What every protocol must do, whatever the labels and sizes of the corpus.

A file dropped into ``merkit/protocols`` is tested here without any edit, on what its ``SPEC.example`` returns.
"""

import random
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.synthetic import IEMOCAP, MAKERS, clips, relabelled

from merkit.core.lookup import load, names
from merkit.core.protocol import Fold, Protocol, ProtocolSpec, Selection, Target
from merkit.core.types import Utterance
from merkit.evaluation.true_labels import true_labels
from merkit.metrics.multi_label import metrics_of

NAMES = names("protocols")
BY_SPEAKER = {
    "crema-d6", "emodb6", "emodb7", "emovo7", "iemocap4-scriptfree", "iemocap4-session", "iemocap4-speaker", "nemo6",
    "ravdess7", "ravdess8",
}  # fmt: skip
CUT_BY_SEED = sorted(set(MAKERS) - {"meld3", "meld7", "parley", "table"})

# Shrinking a corpus of hundreds of rows takes longer than finding out by its seed.
quick = settings(max_examples=6, deadline=None, derandomize=True)


def build(name: str) -> Protocol:
    spec = load("protocols", name)
    protocol: Protocol = spec.build(spec.options(), True)
    return protocol


def corpus(name: str, seed: int) -> list[Utterance]:
    """Return a made-up corpus: a random one where there is a maker, else the one that the protocol brings along."""
    if name in MAKERS:
        return MAKERS[name](random.Random(seed))
    example = load("protocols", name).example
    assert example is not None, f"'{name}' has no SPEC.example: return a small made-up corpus, see ProtocolSpec"
    return list(example())


def label_attribute(protocol: Protocol, utterances: list[Utterance]) -> str:
    """Return the attribute that the label comes from: with another one's value there, an utterance has its label."""
    members = protocol.members(utterances)
    first = members[0]
    other = next(utterance for utterance in members if protocol.label(utterance) != protocol.label(first))
    for name in first.attributes:
        if protocol.label(relabelled(first, **{name: other.attributes[name]})) == protocol.label(other):
            return name
    raise AssertionError("the label comes from no attribute")


def test_there_are_protocols() -> None:
    assert set(MAKERS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_says_what_it_is(name: str) -> None:
    spec: ProtocolSpec = load("protocols", name)
    protocol = build(name)
    protocol.folds(corpus(name, 0), 0)  # the classes of a user's table are learned

    assert spec.summary.strip()
    assert spec.corpus is None or spec.corpus in names("corpora")
    assert len(set(protocol.labels)) == len(protocol.labels) >= 2
    assert protocol.metrics
    assert set(protocol.metrics) <= set(metrics_of(multi_label=protocol.multi_label))
    assert protocol.selection in get_args(Selection)
    assert protocol.cluster in ("conversation", "speaker")
    assert (type(protocol).__doc__ or "").strip()
    with pytest.raises(ValidationError, match="lable"):
        spec.options(lable="x")


@pytest.mark.parametrize("name", NAMES)
@quick
@given(st.integers(0, 10**6), st.integers(0, 100))
def test_splits_are_disjoint_and_share_no_conversation(name: str, data: int, seed: int) -> None:
    utterances = corpus(name, data)
    conversation = {utterance.id: utterance.conversation for utterance in utterances}

    folds = build(name).folds(utterances, seed)

    assert len({fold.name for fold in folds}) == len(folds)
    for fold in folds:
        splits = [set(fold.train), set(fold.valid), set(fold.test)]
        assert all(splits)
        assert len(set().union(*splits)) == sum(map(len, splits))
        groups = [{conversation[id_] for id_ in split} for split in splits]
        assert len(set().union(*groups)) == sum(map(len, groups))


@pytest.mark.parametrize("name", sorted(BY_SPEAKER))
@quick
@given(st.integers(0, 10**6))
def test_speakers_of_the_test_split_are_in_no_other(name: str, data: int) -> None:
    utterances = corpus(name, data)
    speaker = {utterance.id: utterance.speaker for utterance in utterances}

    for fold in build(name).folds(utterances, 0):
        tested = {speaker[id_] for id_ in fold.test}
        assert not tested & {speaker[id_] for id_ in (*fold.train, *fold.valid)}


@pytest.mark.parametrize("name", NAMES)
@quick
@given(st.integers(0, 10**6))
def test_a_single_fold_uses_each_member_once_and_k_folds_test_each_once(name: str, data: int) -> None:
    utterances = corpus(name, data)
    protocol = build(name)

    folds = protocol.folds(utterances, 0)

    if len(folds) == 1:
        used = Counter([*folds[0].train, *folds[0].valid, *folds[0].test])
    else:
        used = Counter(id_ for fold in folds for id_ in fold.test)
    assert used == Counter(utterance.id for utterance in protocol.members(utterances))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(st.integers(0, 10**6), st.integers(0, 100))
def test_labels_of_the_test_split_change_nothing_in_its_fold(name: str, data: int, seed: int) -> None:
    utterances = corpus(name, data)
    folds = build(name).folds(utterances, seed)
    place = random.Random(data).randrange(len(folds))
    tested = set(folds[place].test)
    attribute = label_attribute(build(name), utterances)
    shuffled = [utterance.attributes[attribute] for utterance in utterances if utterance.id in tested]
    random.Random(seed).shuffle(shuffled)
    labels = iter(shuffled)

    mixed = [relabelled(u, **{attribute: next(labels)}) if u.id in tested else u for u in utterances]

    assert build(name).folds(mixed, seed)[place] == folds[place]


@pytest.mark.parametrize("name", NAMES)
@quick
@given(st.integers(0, 10**6))
def test_the_order_of_the_corpus_does_not_matter(name: str, data: int) -> None:
    utterances = corpus(name, data)
    shuffled = list(utterances)
    random.Random(data).shuffle(shuffled)

    def content(folds: list[Fold]) -> list[tuple[str, dict[str, Target], dict[str, Target], set[str]]]:
        return [(fold.name, dict(fold.train), dict(fold.valid), set(fold.test)) for fold in folds]

    assert content(build(name).folds(utterances, 3)) == content(build(name).folds(shuffled, 3))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(st.integers(0, 10**6))
def test_the_seed_moves_the_validation_split_and_nothing_else(name: str, data: int) -> None:
    utterances = corpus(name, data)
    runs = [build(name).folds(utterances, seed) for seed in range(12)]

    assert build(name).folds(utterances, 0) == runs[0]
    for versions in zip(*runs, strict=True):
        assert len({fold.name for fold in versions}) == 1
        assert len({fold.test for fold in versions}) == 1
        assert len({frozenset({**fold.train, **fold.valid}.items()) for fold in versions}) == 1
    moves = any(len({frozenset(fold.valid) for fold in versions}) > 1 for versions in zip(*runs, strict=True))
    assert moves or name not in CUT_BY_SEED


@pytest.mark.parametrize("name", NAMES)
@quick
@given(st.integers(0, 10**6))
def test_class_numbers_of_the_folds_are_those_of_the_true_labels(name: str, data: int) -> None:
    utterances = corpus(name, data)
    protocol = build(name)

    folds = protocol.folds(utterances, 0)

    labels = true_labels(protocol, utterances)
    numbers = [label if isinstance(label, tuple) else (label,) for label in labels.values()]
    assert all(isinstance(label, tuple) == protocol.multi_label for label in labels.values())
    assert all(of and list(of) == sorted(set(of)) for of in numbers)
    assert {number for of in numbers for number in of} <= set(range(len(protocol.labels)))
    for fold in folds:
        assert {**fold.train, **fold.valid}.items() <= labels.items()
        assert set(fold.test) <= labels.keys()


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
