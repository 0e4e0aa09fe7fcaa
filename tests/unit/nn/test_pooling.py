"""Golden values by hand: frames (1, 4), (3, 0) and, in padded places, garbage."""

import pytest
import torch
from torch import Tensor

from merkit.nn.pooling import (
    AttentivePooling,
    first_real,
    masked_max,
    masked_mean,
    masked_softmax,
    masked_std,
    mean_of_real,
    pool,
    pooled_dim,
)

GARBAGE = (1e3, float("inf"), float("nan"))
NAMES = ("mean", "max", "mean_std", "mean_std_max", "first", "first_and_mean")


def frames(garbage: float = 1e3) -> tuple[Tensor, Tensor]:
    """Rows: two real frames after a padded one; a single real frame; none."""
    bad = [garbage, garbage]
    data = torch.tensor([[bad, [1.0, 4.0], [3.0, 0.0]], [[-2.0, 5.0], bad, bad], [bad, bad, bad]])
    mask = torch.tensor([[False, True, True], [True, False, False], [False, False, False]])
    return data, mask


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (masked_mean, [[2.0, 2.0], [-2.0, 5.0], [0.0, 0.0]]),
        (masked_std, [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]),
        (masked_max, [[3.0, 4.0], [-2.0, 5.0], [0.0, 0.0]]),
        (first_real, [[1.0, 4.0], [-2.0, 5.0], [0.0, 0.0]]),
    ],
)
def test_statistics_read_real_frames_alone(statistic, expected: list[list[float]], garbage: float) -> None:
    data, mask = frames(garbage)

    assert statistic(data, mask).tolist() == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", [2.0, 2.0]),
        ("max", [3.0, 4.0]),
        ("mean_std", [2.0, 2.0, 1.0, 2.0]),
        ("mean_std_max", [2.0, 2.0, 1.0, 2.0, 3.0, 4.0]),
        ("first", [1.0, 4.0]),
        ("first_and_mean", [1.0, 4.0, 2.0, 2.0]),
    ],
)
def test_a_pooling_concatenates_what_its_name_lists(name, expected: list[float]) -> None:
    data, mask = frames()

    found = pool(name, data, mask)

    assert found[0].tolist() == expected
    assert found.shape[-1] == pooled_dim(name, 2)


@pytest.mark.parametrize("name", NAMES)
def test_leading_axes_are_kept(name) -> None:
    data, mask = torch.randn(2, 3, 4, 5), torch.ones(2, 3, 4, dtype=torch.bool)

    assert pool(name, data, mask).shape == (2, 3, pooled_dim(name, 5))
    alone = pool(name, data[1, 2], mask[1, 2])
    torch.testing.assert_close(pool(name, data, mask)[1, 2], alone)  # another shape may be summed in another order


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_zero_in_padding(name, garbage: float) -> None:
    data, mask = frames(garbage)
    data.requires_grad_()

    pool(name, data, mask).square().sum().backward()

    assert data.grad is not None
    assert torch.isfinite(data.grad).all()
    assert not data.grad[~mask].any()


@pytest.mark.parametrize("garbage", GARBAGE)
def test_attention_weighs_real_frames_and_gives_zero_without_any(garbage: float) -> None:
    torch.manual_seed(0)
    data, mask = frames(garbage)
    attention = AttentivePooling(2, hidden=3)

    found = attention(data, mask)

    assert torch.isfinite(found).all()
    assert found[1].tolist() == pytest.approx([-2.0, 5.0])
    assert found[2].tolist() == [0.0, 0.0]
    assert 1.0 < found[0, 0].item() < 3.0


def test_attention_without_preference_is_the_mean() -> None:
    data, mask = frames()
    attention = AttentivePooling(2, hidden=3)
    torch.nn.init.zeros_(attention.score.weight)

    torch.testing.assert_close(attention(data, mask), masked_mean(data, mask))


def test_softmax_weights_by_hand() -> None:
    scores = torch.tensor([[0.0, 0.0, 1e3], [float("nan"), 5.0, 1e3], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])

    assert masked_softmax(scores, mask).tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_a_mean_of_real_places_does_not_read_the_others() -> None:
    values, mask = torch.tensor([[1.0, torch.nan], [4.0, 7.0]]), torch.tensor([[True, False], [True, True]])

    assert float(mean_of_real(values, mask)) == 4.0
    assert float(mean_of_real(values, torch.zeros_like(mask))) == 0.0
