import pytest

from merkit.core.phrases import listed, number_of


@pytest.mark.parametrize(("count", "phrase"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines")])
def test_one_has_a_singular(count: int, phrase: str) -> None:
    assert number_of(count, "line") == phrase


@pytest.mark.parametrize(
    ("most", "between", "phrase"),
    [(3, ", ", "a, b, c"), (2, ", ", "a, b and 1 more"), (1, "; ", "a; and 2 more"), (3, "; ", "a; b; c")],
)
def test_a_list_that_is_too_long_says_how_many_are_left_out(most: int, between: str, phrase: str) -> None:
    assert listed(["a", "b", "c"], most, between) == phrase
