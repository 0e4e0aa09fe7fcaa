import pytest
import torch
from torch import Tensor

from merkit.nn.noise import GaussianNoise

SIZE = 600_000
"""Over four blocks; five standard errors of the mean are 0.0065 of a standard deviation."""


def drawn(stream: GaussianNoise, std: float = 1.0, shape: tuple[int, ...] = (SIZE,)) -> Tensor:
    values = torch.zeros(shape)
    stream.add(values, torch.tensor(std))
    return values


def stream(seed: int = 0) -> GaussianNoise:
    return GaussianNoise(seed, torch.device("cpu"))


def test_noise_is_gaussian_with_the_standard_deviation_that_is_asked_for() -> None:
    values = drawn(stream(), 2.5, (2, SIZE // 2)).flatten() / 2.5

    assert float(values.mean()) == pytest.approx(0.0, abs=0.0065)
    assert float(values.std()) == pytest.approx(1.0, abs=0.005)  # five standard errors
    assert float((values**3).mean()) == pytest.approx(0.0, abs=0.03)
    assert float((values**4).mean()) == pytest.approx(3.0, abs=0.07)
    # of a standard normal: 68.27 %, 95.45 % and 99.73 % within 1, 2 and 3
    for bound, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert float((values.abs() < bound).float().mean()) == pytest.approx(share, abs=0.004)


def test_two_draws_and_the_blocks_of_one_are_not_correlated() -> None:
    source = stream()
    first, second = drawn(source), drawn(source)
    block = 2**17

    assert float((first * second).mean()) == pytest.approx(0.0, abs=0.0065)
    assert float((first[:block] * first[block : 2 * block]).mean()) == pytest.approx(0.0, abs=5 * block**-0.5)
    assert float((first[1:] * first[:-1]).mean()) == pytest.approx(0.0, abs=0.0065)
    assert len(first.unique()) > 0.9 * SIZE


def test_a_seed_decides_the_stream_and_torch_s_generator_has_no_part_in_it() -> None:
    before = torch.get_rng_state()
    first = drawn(stream(7))
    torch.manual_seed(99)

    assert torch.equal(first, drawn(stream(7)))
    assert not torch.equal(first, drawn(stream(8)))
    torch.set_rng_state(before)
    drawn(stream(7))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_added_to_what_is_there_in_its_own_type() -> None:
    values = torch.full((3, 5), 4.0, dtype=torch.float64)

    stream().add(values, torch.tensor(0.0, dtype=torch.float64))
    assert torch.equal(values, torch.full((3, 5), 4.0, dtype=torch.float64))

    stream().add(values, torch.tensor(1e-3, dtype=torch.float64))
    assert 0.0 < float((values - 4.0).abs().max()) < 0.006
    assert float(values.std()) > 0.0
