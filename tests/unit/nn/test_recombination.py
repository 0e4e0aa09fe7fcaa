"""Partners inside a batch: who may be whose, evenly drawn, with masks that travel."""

import pytest
import torch

from merkit.nn.recombination import draw_partners, pairs_of_two, recombined, same_class

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


def test_same_class_is_symmetric_with_ones_on_the_diagonal() -> None:
    same = same_class(LABELS)

    assert torch.equal(same, same.T)
    assert same.diagonal().all()
    assert int(same.sum()) == 3**2 + 2**2 + 1**2


def test_pairs_are_of_two_usable_items() -> None:
    pairs = pairs_of_two(torch.tensor([True, False, True]))

    assert pairs.tolist() == [[False, False, True], [False] * 3, [True, False, False]]


def test_a_partner_of_the_same_class_is_never_oneself_and_a_class_of_one_has_none() -> None:
    torch.manual_seed(0)
    allowed = pairs_of_two(torch.ones(6, dtype=torch.bool)) & same_class(LABELS)

    for _ in range(50):
        partners, found = draw_partners(allowed)

        assert found.tolist() == [True, True, True, False, True, True]
        assert torch.equal(LABELS[partners], LABELS)
        assert partners.tolist()[3] == 3
        assert all(place != partner for place, partner in enumerate(partners.tolist()) if place != 3)


def test_partners_are_drawn_evenly() -> None:
    torch.manual_seed(0)
    allowed = pairs_of_two(torch.tensor([True] * 4 + [False]))

    counts = torch.zeros(5, 5)
    for _ in range(3000):
        counts[torch.arange(5), draw_partners(allowed)[0]] += 1

    shares = counts / 3000
    # a share of 1/3 of 3,000 draws has a standard error of 0.9 points
    torch.testing.assert_close(shares[:4, :4], (1 - torch.eye(4)) / 3, atol=0.04, rtol=0.0)
    assert shares[4].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_draws_follow_torchs_seed() -> None:
    allowed = pairs_of_two(torch.ones(40, dtype=torch.bool))

    def drawn(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return draw_partners(allowed)[0].tolist()

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_permutation_and_its_inverse_cancel_and_masks_travel(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    data, mask = torch.randn(6, 3, 2, generator=generator), torch.rand(6, 3, generator=generator) < 0.5
    order = torch.randperm(6, generator=generator)

    there = recombined(data, mask, order)
    back = recombined(*there, order.argsort())

    assert torch.equal(there[1][0], mask[order[0]])
    assert torch.equal(there[0][0], data[order[0]])
    assert torch.equal(back[0], data)
    assert torch.equal(back[1], mask)
