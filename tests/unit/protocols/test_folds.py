import pytest

from merkit.core.errors import CountError
from merkit.core.lookup import load
from merkit.core.types import Utterance
from merkit.protocols._folds import balanced, conversation, dealt, draw, fold, held_out, speaker


def clip(name: str, person: str = "A", label: str = "sad", **attributes: str) -> Utterance:
    return Utterance(name, name, 0, person, attributes={"emotion": label, **attributes})


def test_a_draw_stays_what_it_is_on_every_machine() -> None:
    # From `printf '3\\0fold\\0<name>' | b2sum -l 128`, the three smallest.
    assert draw("abcdefgh", 3, 3, "fold") == frozenset("cfb")


def test_a_draw_does_not_depend_on_order_and_survives_other_names() -> None:
    chosen = draw(["x", "y", "z", "w"], 2, 5)

    assert draw(["w", "z", "y", "x", "x"], 2, 5) == chosen
    assert draw([*chosen, "another"], 3, 5) > chosen
    assert len({draw(map(str, range(20)), 2, seed) for seed in range(20)}) > 10


@pytest.mark.parametrize(("count", "held"), [(1, 1), (3, 3), (99, 9), (0.1, 1), (0.26, 3), (0.001, 1), (1.0, 9)])
def test_a_count_or_a_share_of_the_groups_is_held_out_and_one_group_stays(count: float, held: int) -> None:
    utterances = [clip(str(number)) for number in range(10)]

    assert len(held_out(utterances, conversation, count, 0)) == held


def test_one_group_cannot_be_cut() -> None:
    with pytest.raises(CountError, match="has 1 group"):
        held_out([clip("a"), clip("b")], speaker, 1, 0)


def test_an_utterance_in_two_splits_is_an_error() -> None:
    spec = load("protocols", "parley")

    with pytest.raises(CountError, match="in two splits"):
        fold(spec.build(spec.options(), True), "f", [clip("a")], [clip("b")], [clip("a")])


def test_names_are_dealt_like_cards() -> None:
    assert dealt(["c", "a", "b", "d", "a"], 3) == {"a": 0, "b": 1, "c": 2, "d": 0}


def test_large_groups_are_placed_first() -> None:
    utterances = [
        clip(f"{person}{number}", person)
        for person, size in zip("abcd", (1, 5, 3, 3), strict=True)
        for number in range(size)
    ]

    # b (5) | c (3) | then d (3) to c's fold, for 3 < 5; a (1) to b's, for 5 < 6
    assert balanced(utterances, speaker, 2) == {"b": 0, "c": 1, "d": 1, "a": 0}


def test_fewer_groups_than_folds_is_an_error() -> None:
    with pytest.raises(CountError, match=r"cannot make 3 folds of 2 group"):
        balanced([clip("a", "A"), clip("b", "B")], speaker, 3)


def test_nemo_validates_on_one_of_the_other_speakers_drawn_by_the_seed() -> None:
    utterances = [clip(f"{person}{label}", person, label) for person in "ABCDEFGHI" for label in ("anger", "surprised")]
    spec = load("protocols", "nemo6")

    drawn = []
    for seed in range(3):
        for made in spec.build(spec.options(), True).folds(utterances, seed):
            people = {id_[0] for id_ in made.valid}
            assert len(people) == 1
            assert people.isdisjoint({made.name, *(id_[0] for id_ in made.train)})
            drawn += people
    assert len(set(drawn)) > 4


def test_folds_of_ravdess_are_the_published_actors_and_absent_actors_have_no_fold() -> None:
    utterances = [clip(f"{actor:02d}", f"{actor:02d}", "calm") for actor in range(1, 25) if actor not in (1, 4, 9, 22)]
    spec = load("protocols", "ravdess8")

    folds = spec.build(spec.options(), True).folds(utterances, 0)

    assert [made.name for made in folds] == ["1", "2", "3", "4"]
    assert folds[0].test == ("02", "05", "14", "15", "16")
    assert len(folds[0].valid) == 3  # a fifth of 15


def test_scriptfree_training_has_neither_session_nor_script_of_the_test_part() -> None:
    utterances = [
        Utterance(
            f"{session}-{script}-{number}",
            f"{session}-{script}",
            number,
            f"Ses0{session}F",
            attributes={"session": session, "script": script, "emotion": "neu"},
        )
        for session in "123"
        for script in ("impro01", "script01", "script02")
        for number in range(2)
    ]
    spec = load("protocols", "iemocap4-scriptfree")
    protocol = spec.build(spec.options(), True)

    folds = protocol.folds(utterances, 0)

    assert protocol.pooled
    assert [made.name for made in folds[:4]] == [
        "session1-impro01",
        "session1-script01",
        "session1-script02",
        "session2-impro01",
    ]
    assert folds[1].test == ("1-script01-0", "1-script01-1")
    assert {id_[:-2] for id_ in (*folds[1].train, *folds[1].valid)} == {
        "2-impro01",
        "2-script02",
        "3-impro01",
        "3-script02",
    }
    for made in folds:
        assert not {id_.split("-")[1] for id_ in made.train} & {id_.split("-")[1] for id_ in made.valid}


def test_scriptfree_validation_has_every_class_and_a_tenth_of_the_utterances() -> None:
    pairs = {f"impro0{number}": (("neu", "ang"), ("sad", "hap"))[number % 2] for number in range(1, 9)}
    utterances = [
        Utterance(f"{session}-{script}-{label}", f"{session}-{script}", turn, f"Ses0{session}F",
                  attributes={"session": session, "script": script, "emotion": label})
        for session in "12345" for script, labels in pairs.items() for turn, label in enumerate(labels)
    ]  # fmt: skip
    spec = load("protocols", "iemocap4-scriptfree")

    folds = [made for seed in range(3) for made in spec.build(spec.options(), True).folds(utterances, seed)]

    assert len(folds) == 3 * 40
    drawn = [{id_.split("-")[1] for id_ in made.valid} for made in folds]
    classes = [{id_.split("-")[2] for id_ in made.valid} for made in folds]
    assert {len(names) for names in drawn} == {2, 3}  # of the seven that the test split leaves
    assert all(len(found) == 4 for found, names in zip(classes, drawn, strict=True) if len(names) == 2)
    assert len({frozenset(names) for names in drawn}) > 10


def test_the_partner_of_the_tested_speaker_takes_no_part_in_the_fold() -> None:
    utterances = [
        Utterance(
            f"Ses0{session}{who}_{dialog}",
            f"Ses0{session}_{dialog}",
            turn,
            f"Ses0{session}{who}",
            attributes={"session": session, "emotion": "sad"},
        )
        for session in "123"
        for dialog in "ab"
        for turn, who in enumerate("FM")
    ]
    spec = load("protocols", "iemocap4-speaker")

    folds = spec.build(spec.options(), True).folds(utterances, 0)

    assert [made.name for made in folds] == ["Ses01F", "Ses01M", "Ses02F", "Ses02M", "Ses03F", "Ses03M"]
    assert folds[0].test == ("Ses01F_a", "Ses01F_b")
    assert {id_[:5] for id_ in (*folds[0].train, *folds[0].valid)} == {"Ses02", "Ses03"}
