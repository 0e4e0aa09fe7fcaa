"""Syllables of English words as dictionaries divide them."""

import pytest

from merkit.aligners.segments.syllables import cuts, syllables_of
from merkit.core.alignment import Interval

WORDS = {
    # Merriam-Webster's division by sound, where it follows maximal onset
    "extra": ("EH1 K S T R AH0", ["EH1 K", "S T R AH0"]),
    "angry": ("AE1 NG G R IY0", ["AE1 NG", "G R IY0"]),
    "hello": ("HH AH0 L OW1", ["HH AH0", "L OW1"]),
    "abstract": ("AE1 B S T R AE2 K T", ["AE1 B", "S T R AE2 K T"]),
    "cats": ("K AE1 T S", ["K AE1 T S"]),
    "atlas": ("AE1 T L AH0 S", ["AE1 T", "L AH0 S"]),
    "singing": ("S IH1 NG IH0 NG", ["S IH1 NG", "IH0 NG"]),
    "chaos": ("K EY1 AA2 S", ["K EY1", "AA2 S"]),
    "hmm": ("HH M", ["HH M"]),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_divided_by_maximal_onset(word: str) -> None:
    phones = WORDS[word][0].split()
    starts = cuts(phones)

    assert [" ".join(phones[a:b]) for a, b in zip(starts, [*starts[1:], len(phones)], strict=True)] == WORDS[word][1]


def test_ipa_is_divided_as_arpabet_is() -> None:
    assert cuts(["ɛ", "k", "s", "t", "ɹ", "ə"]) == [0, 2]
    assert cuts(["p", "l", "eɪ", "tʃ", "ə"]) == [0, 3]
    assert cuts(["s", "ɪ", "ŋ", "ɪ", "ŋ"]) == [0, 3]


def test_a_syllable_has_the_times_of_its_phones_and_never_spans_two_words() -> None:
    phones = [
        Interval(name, place / 10, (place + 1) / 10)
        for place, name in enumerate(["AE", "NG", "G", "R", "IY", "SIL", "K", "AE", "T"])
    ]
    words = [Interval("angry", 0.0, 0.5), Interval("cat", 0.6, 0.9)]

    found = syllables_of(words, phones)

    assert [(each.label, each.start_s, each.end_s) for each in found] == [
        ("AE NG", 0.0, 0.2),
        ("G R IY", 0.2, 0.5),
        ("K AE T", 0.6, 0.9),
    ]
