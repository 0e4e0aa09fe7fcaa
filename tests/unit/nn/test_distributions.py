"""Known values by hand (variances in the names, logarithms in the code) and torch.distributions."""

import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from merkit.nn.distributions import Gaussian, categorical_kl, gaussian_kl, product_of_experts, standard_normal


def normal(mean: float, variance: float) -> Gaussian:
    return Gaussian(torch.tensor([mean]), torch.tensor([math.log(variance)]))


def random_gaussian(seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1.0, 1.0), (0.0, 1.0), 0.5),
        ((0.0, 4.0), (0.0, 1.0), 0.806853),
        ((0.0, 1.0), (0.0, 4.0), 0.318147),
        ((1.0, 0.25), (-1.0, 2.0), 1.602221),
        ((3.0, 0.1), (3.0, 0.1), 0.0),
    ],
)
def test_divergence_of_gaussians(first: tuple[float, float], second: tuple[float, float], expected: float) -> None:
    assert float(gaussian_kl(normal(*first), normal(*second))) == pytest.approx(expected, abs=1e-6)


def test_divergence_of_gaussians_is_that_of_pytorch() -> None:
    first, second = random_gaussian(0), random_gaussian(1)
    twins = [Normal(one.mean, (one.log_variance / 2).exp()) for one in (first, second)]

    torch.testing.assert_close(gaussian_kl(first, second), kl_divergence(*twins), atol=1e-5, rtol=1e-5)


def test_the_standard_normal_diverges_from_itself_by_nothing() -> None:
    standard = standard_normal(torch.randn(2, 3))

    assert not gaussian_kl(standard, standard).any()


def product(experts: list[Gaussian]) -> Gaussian:
    return product_of_experts(experts, [torch.ones(one.mean.shape[:-1], dtype=torch.bool) for one in experts])


def test_a_product_of_two_experts() -> None:
    joint = product([normal(0.0, 1.0), normal(2.0, 1.0)])

    assert float(joint.mean) == pytest.approx(1.0)
    assert float(joint.log_variance.exp()) == pytest.approx(0.5)


def test_a_product_is_a_density_of_the_product() -> None:
    first, second, third = random_gaussian(0), random_gaussian(1), random_gaussian(2)
    joint = product([first, second, third])

    def log_density(gaussian: Gaussian, place: float) -> torch.Tensor:
        return Normal(gaussian.mean, (gaussian.log_variance / 2).exp()).log_prob(torch.tensor(place))

    def unnormalised(place: float) -> torch.Tensor:
        return sum((log_density(expert, place) for expert in (first, second, third)), torch.tensor(0.0))

    difference = log_density(joint, 1.5) - log_density(joint, -0.5)
    torch.testing.assert_close(difference, unnormalised(1.5) - unnormalised(-0.5), atol=1e-4, rtol=1e-4)


def test_the_order_of_experts_does_not_matter() -> None:
    experts = [random_gaussian(seed) for seed in range(3)]
    forwards, backwards = product(experts), product(experts[::-1])

    torch.testing.assert_close(forwards.mean, backwards.mean)
    torch.testing.assert_close(forwards.log_variance, backwards.log_variance)


def test_an_expert_of_huge_variance_is_ignored() -> None:
    joint = product([normal(1.0, 0.3), normal(-50.0, 1e12)])

    assert float(joint.mean) == pytest.approx(1.0, abs=1e-6)
    assert float(joint.log_variance.exp()) == pytest.approx(0.3, abs=1e-6)


def test_an_absent_expert_is_ignored_and_none_at_all_is_a_standard_normal() -> None:
    first = Gaussian(torch.full((3, 1), 1.0), torch.full((3, 1), -1.0, requires_grad=True))
    second = Gaussian(torch.full((3, 1), 5.0), torch.full((3, 1), 2.0))
    present = [torch.tensor([True, True, False]), torch.tensor([True, False, False])]

    joint = product_of_experts([first, second], present)
    joint.log_variance.sum().backward()
    joint = joint.detach()

    both = product([first, second]).detach()
    assert float(joint.mean[0]) == float(both.mean[0])
    assert float(joint.mean[1]) == 1.0
    assert float(joint.log_variance[1]) == -1.0
    assert (float(joint.mean[2]), float(joint.log_variance[2])) == (0.0, 0.0)
    assert first.log_variance.grad is not None
    assert bool(torch.isfinite(first.log_variance.grad).all())


def test_draws_have_the_mean_and_the_variance() -> None:
    gaussian = Gaussian(torch.full((100_000,), 2.0), torch.full((100_000,), math.log(9.0)))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = gaussian.sample()

    assert float(draws.mean()) == pytest.approx(2.0, rel=0.01)
    assert float(draws.var()) == pytest.approx(9.0, rel=0.01)


def test_gradients_reach_mean_and_variance_through_a_draw() -> None:
    gaussian = Gaussian(torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True))

    gaussian.sample().sum().backward()

    assert gaussian.mean.grad is not None
    assert gaussian.mean.grad.tolist() == [1.0] * 4
    assert gaussian.log_variance.grad is not None
    assert bool(gaussian.log_variance.grad.all())
    assert not gaussian.detach().log_variance.requires_grad


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_divergence_of_scores_is_that_of_pytorch(temperature: float) -> None:
    teacher, student = torch.randn(4, 6), torch.randn(4, 6)

    expected = kl_divergence(Categorical(logits=teacher / temperature), Categorical(logits=student / temperature))

    torch.testing.assert_close(categorical_kl(teacher, student, temperature), expected, atol=1e-6, rtol=1e-5)
    assert not categorical_kl(teacher, teacher + 3.0).abs().gt(1e-6).any()
