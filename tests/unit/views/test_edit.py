import numpy as np
import pytest

from merkit.core.lookup import load
from merkit.core.view import Wording

TEXT = "one two three four five six seven eight nine ten"


def edited(text: str = TEXT, seed: int = 0, **settings: float) -> str:
    spec = load("views", "edit")
    (found,) = spec.build(spec.config(**settings)).rewrite([Wording(text, 0, seed)])
    return str(found)


def test_words_are_left_out_at_the_asked_rate_and_order_is_kept() -> None:
    counts = []
    for seed in range(400):
        words = edited(seed=seed, drop=0.3, reach=0).split()
        places = [TEXT.split().index(word) for word in words]
        assert places == sorted(places)
        counts.append(len(words))

    assert np.mean(counts) == pytest.approx(7.0, abs=0.25)  # 3 standard errors of a binomial mean: 0.22
    assert min(counts) >= 1


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_no_word_moves_farther_than_asked_and_some_move_that_far(reach: int) -> None:
    moves = []
    for seed in range(300):
        words = edited(seed=seed, drop=0.0, reach=reach).split()
        assert sorted(words) == sorted(TEXT.split())
        moves += [abs(place - TEXT.split().index(word)) for place, word in enumerate(words)]

    assert max(moves) == reach


def test_the_seed_decides_and_one_word_always_stays() -> None:
    assert edited(seed=5) == edited(seed=5)
    assert len({edited(seed=seed) for seed in range(20)}) > 10
    assert all(edited("alone", seed=seed, drop=0.99) == "alone" for seed in range(20))
    assert edited("  ") == "  "


def test_nothing_to_do_changes_nothing() -> None:
    assert edited(drop=0.0, reach=0) == TEXT
