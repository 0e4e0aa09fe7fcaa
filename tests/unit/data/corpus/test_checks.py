from merkit.core.types import Utterance
from merkit.data.corpus.checks import check_durations, check_repeated_texts, check_texts


def utterance(identity, text, split=None):
    return Utterance(identity, identity, 0, "s", text=text, attributes={} if split is None else {"split": split})


def test_damaged_and_empty_texts_are_reported_by_kind():
    utterances = [
        utterance("sound", "It’s fine"),
        utterance("control", "It\x92s"),
        utterance("apart", "caf\u00c3\u00a9"),
        utterance("lost", "caf\ufffd"),
        utterance("blank", "  "),
        utterance("none", None),
    ]

    found = {finding.code: finding.ids for finding in check_texts(utterances)}

    assert found == {
        "text-controls": ("control",),
        "text-mojibake": ("apart",),
        "text-replacement": ("lost",),
        "empty-text": ("blank",),
    }


def test_durations_at_the_bounds_pass_and_those_beyond_are_reported():
    durations = {"a": 30.0, "b": 30.01, "c": 235.07, "d": 0.1, "e": 0.099}

    long, short = check_durations(durations)

    assert (long.code, long.ids) == ("over-long", ("b", "c"))
    assert "2 utterances last longer than 30 s, the longest 235.1 s" in long.message
    assert (short.code, short.ids) == ("very-short", ("e",))


def test_texts_of_other_splits_that_training_has_are_counted_but_for_case_and_blanks():
    utterances = [
        utterance("1", "Oh  my god", "train"),
        utterance("2", "Oh my god", "train"),
        utterance("3", "oh my God ", "test"),
        utterance("4", "oh my cat", "test"),
        utterance("5", "", "test"),
        utterance("6", "new", "dev"),
    ]

    (finding,) = check_repeated_texts(utterances)

    assert finding.code == "repeated-text-test"
    assert finding.ids == ("3",)
    assert finding.message.startswith("1 of 2 texts of 'test'")


def test_without_splits_nothing_repeats():
    assert check_repeated_texts([utterance("1", "a"), utterance("2", "a")]) == []
