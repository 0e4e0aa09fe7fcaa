"""The word error rate, against values that were counted by hand."""

import pytest

from merkit.metrics.words import word_error_rate, word_errors


@pytest.mark.parametrize(
    ("said", "recognised", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),  # one substituted
        ("a b c", "a c", 1),  # one left out
        ("a b c", "a b b c", 1),  # one inserted
        ("a b c d", "b c d e", 2),  # one left out, one inserted: cheaper than four substituted
        ("a b", "", 2),
        ("", "a b", 2),
        ("k i t t e n", "s i t t i n g", 3),  # the textbook's example
    ],
)
def test_errors_are_those_of_the_cheapest_edit(said: str, recognised: str, errors: int) -> None:
    assert word_errors(said.split(), recognised.split()) == errors
    assert word_errors(recognised.split(), said.split()) == errors


def test_the_rate_is_of_all_words_not_the_mean_of_rates() -> None:
    pairs = [(list("abcdefghi"), list("abcdefghi")), (["a"], ["b"])]

    assert word_error_rate(pairs) == pytest.approx(1 / 10)


def test_a_rate_may_exceed_one_and_nothing_said_has_none() -> None:
    assert word_error_rate([(["a"], ["b", "c", "d"])]) == 3.0
    with pytest.raises(ValueError, match="no words were said"):
        word_error_rate([([], ["a"])])
