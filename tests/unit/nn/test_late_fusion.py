"""Late fusion against sums of probabilities by hand and scipy's optimum."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from merkit.nn.late_fusion import fitted_weights, log_mixture


def random_logits(models: int = 3, items: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (items,), generator=generator)
    strengths = torch.linspace(0.3, 1.5, models).view(-1, 1, 1)
    logits = torch.randn(models, items, 4, generator=generator)
    return logits + strengths * torch.nn.functional.one_hot(labels, 4), labels


def test_the_mixture_is_the_weighted_mean_of_probabilities_and_a_distribution() -> None:
    logits, _ = random_logits()
    weights = torch.tensor([0.2, 0.5, 0.3])
    counted = torch.ones(3, 60, dtype=torch.bool)

    found = log_mixture(logits, weights, counted).exp()

    torch.testing.assert_close(found, (weights.view(3, 1, 1) * logits.softmax(-1)).sum(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.sum(-1), torch.ones(60))


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_one_weight_returns_that_model_and_equal_models_return_that_model(chosen: int) -> None:
    logits, _ = random_logits()
    counted = torch.ones(3, 60, dtype=torch.bool)
    one = torch.nn.functional.one_hot(torch.tensor(chosen), 3).float()
    same = logits[chosen].expand(3, -1, -1)

    torch.testing.assert_close(log_mixture(logits, one, counted).exp(), logits[chosen].softmax(-1))
    mixed = log_mixture(same, torch.tensor([0.1, 0.6, 0.3]), counted).exp()
    torch.testing.assert_close(mixed, logits[chosen].softmax(-1))


def test_models_that_do_not_count_have_no_part_and_the_others_weights_are_scaled() -> None:
    logits, _ = random_logits(items=3)
    counted = torch.tensor([[True, True, False], [False, True, False], [True, False, False]])
    weights = torch.tensor([0.25, 0.0, 0.75])
    p = logits.softmax(-1)

    found = log_mixture(logits, weights, counted).exp()

    torch.testing.assert_close(found[0], 0.25 * p[0, 0] + 0.75 * p[2, 0])
    torch.testing.assert_close(found[1], p[0, 1])
    torch.testing.assert_close(found[2], torch.full((4,), 0.25))
    only = log_mixture(logits, weights, torch.tensor([[False], [True], [False]]).expand(3, 3)).exp()
    torch.testing.assert_close(only, p[1])


def test_a_weight_of_zero_leaves_gradients_finite() -> None:
    logits, labels = random_logits()
    logits.requires_grad_()
    counted = torch.ones(3, 60, dtype=torch.bool)

    torch.nn.functional.nll_loss(log_mixture(logits, torch.tensor([0.0, 1.0, 0.0]), counted), labels).backward()

    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0].any()


@pytest.mark.parametrize("seed", range(5))
def test_fitted_weights_are_the_optimum_that_scipy_finds_and_no_model_alone_is_likelier(seed: int) -> None:
    logits, labels = random_logits(models=4, seed=seed)
    likelihoods = logits.double().softmax(-1)[:, torch.arange(60), labels].numpy()

    def loss(weights: np.ndarray) -> float:
        return -float(np.log(weights @ likelihoods).mean())

    found = fitted_weights(logits, labels).numpy()

    outside = minimize(
        loss,
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert loss(found) <= outside.fun + 1e-6
    assert all(loss(found) <= loss(row) + 1e-12 for row in np.eye(4))


def test_a_model_that_is_best_everywhere_gets_all_the_weight() -> None:
    logits, labels = random_logits()
    best = 20.0 * torch.nn.functional.one_hot(labels, 4).float()

    found = fitted_weights(torch.stack([logits[0], best, -best]), labels)

    assert found[1] > 0.999


def test_without_items_all_weigh_the_same() -> None:
    assert fitted_weights(torch.zeros(4, 0, 3), torch.zeros(0, dtype=torch.long)).tolist() == [0.25] * 4
