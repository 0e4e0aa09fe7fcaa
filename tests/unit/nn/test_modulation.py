import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from merkit.nn.modulation import (
    Modulation,
    Noise,
    Target,
    coefficients,
    disparity_ratios,
    standard_deviation,
    true_class_scores,
)


def test_scores_equal_a_loop_over_utterances_and_build_no_graph() -> None:
    logits = torch.randn(3, 4, 5, requires_grad=True)
    labels = torch.randint(0, 5, (3, 4))
    labels[0, 1] = -100
    counted = torch.rand(3, 4) > 0.3

    total, count = true_class_scores(logits, labels, counted)

    rows = logits.detach()
    expected = [
        math.exp(rows[i, t, labels[i, t]]) / sum(math.exp(value) for value in rows[i, t])
        for i in range(3)
        for t in range(4)
        if counted[i, t] and labels[i, t] >= 0
    ]
    assert float(total) == pytest.approx(sum(expected), rel=1e-5)
    assert float(count) == len(expected)
    assert not total.requires_grad


def test_the_smallest_ratio_is_exactly_one_and_equal_modalities_have_ones() -> None:
    ratios = disparity_ratios(torch.tensor([3.0, 1.5, 2.0]), torch.full((3,), 7.0))

    assert ratios.tolist() == pytest.approx([2.0, 1.0, 4 / 3])
    assert float(ratios.min()) == 1.0
    assert disparity_ratios(torch.full((3,), 0.3), torch.full((3,), 7.0)).tolist() == [1.0, 1.0, 1.0]


def test_a_modality_that_no_utterance_has_is_neither_ahead_nor_behind() -> None:
    ratios = disparity_ratios(torch.tensor([3.0, 0.0, 2.0]), torch.tensor([10.0, 0.0, 5.0]))

    assert ratios.tolist() == pytest.approx([1.0, 1.0, 0.4 / 0.3])


@pytest.mark.parametrize(
    ("alpha", "ratio", "expected"),
    [
        (0.42, 1.5, 0.4419),  # by hand: 1 - tanh(0.63)
        (0.42, 2.0, 0.3142),
        (0.42, 3.0, 0.1489),
        (0.037, 2.0, 0.9261),
        (0.037, 4.0, 0.8531),
        (0.42, 1.0, 1.0),
        (0.42, 0.5, 1.0),
    ],
)
def test_coefficients_are_the_formula_s(alpha: float, ratio: float, expected: float) -> None:
    assert float(coefficients(torch.tensor([ratio]), alpha)) == pytest.approx(expected, abs=5e-5)


def test_a_deviation_is_that_of_the_population() -> None:
    values = torch.randn(500, 7) * 3.0 + 1.0

    assert float(standard_deviation(values)) == pytest.approx(float(values.std(correction=0)), rel=1e-5)
    assert float(standard_deviation(torch.tensor([4.0]))) == 0.0


STRONG, WEAK = (torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.0]]))


def balance(
    target: Target = "gradient", noise: Noise = "none", alpha: float = 0.42, first_epoch: int = 1, epoch: int = 1
) -> Modulation:
    """A modulation that has watched one utterance: ``text`` is nearly sure of the truth, ``audio`` knows nothing."""
    found = Modulation(("audio", "text"), alpha=alpha, target=target, noise=noise, first_epoch=first_epoch)
    found.start_epoch(epoch, torch.device("cpu"))
    there = torch.ones(1, dtype=torch.bool)
    found.watch({"text": STRONG, "audio": WEAK}, torch.tensor([0]), {"text": there, "audio": there})
    return found


def parameters(gradient: Tensor | None = None) -> dict[str, list[nn.Parameter]]:
    found = {name: [nn.Parameter(torch.zeros(2000, 10))] for name in ("audio", "text")}
    for group in found.values():
        group[0].grad = torch.ones(2000, 10) if gradient is None else gradient.clone()
    return found


K = 1.0 - math.tanh(0.42 * 2.0 / (1.0 + math.exp(-5.0)))
"""By hand: p(true) is 1 / (1 + e^-5) against 1/2."""


def test_the_gradient_of_the_modality_that_is_ahead_is_multiplied() -> None:
    groups = parameters()

    watching = balance()
    watching.before_step(groups)

    assert torch.equal(groups["audio"][0].grad, torch.ones(2000, 10))
    torch.testing.assert_close(groups["text"][0].grad, torch.full((2000, 10), K))
    assert watching.logged_values() == pytest.approx(
        {
            "disparity.audio": 1.0,
            "disparity.text": 2 / (1 + math.exp(-5)),
            "coefficient.audio": 1.0,
            "coefficient.text": K,
        }
    )


def test_nothing_is_touched_before_its_first_epoch_but_the_balance_is_told() -> None:
    groups = parameters(torch.randn(2000, 10))
    before = groups["text"][0].grad.clone()

    watching = balance(noise="before", first_epoch=4, epoch=3)
    watching.before_step(groups)

    assert torch.equal(groups["text"][0].grad, before)
    assert watching.logged_values()["coefficient.text"] == 1.0
    assert watching.logged_values()["disparity.text"] > 1.9


@pytest.mark.parametrize(("noise", "spread"), [("before", 3.0), ("after", 3.0 * K)])
def test_noise_has_mean_zero_and_the_deviation_that_is_stated(noise: Noise, spread: float) -> None:
    gradient = 3.0 * torch.sign(torch.randn(2000, 10))  # of deviation 3
    groups = parameters(gradient)

    balance(noise=noise).before_step(groups)

    drawn = groups["text"][0].grad - K * gradient
    # 20,000 draws: standard errors are spread / 141 for the mean and spread / 200 for the deviation; five of them
    assert float(drawn.mean()) == pytest.approx(0.0, abs=5 * spread / 141)
    assert float(drawn.std()) == pytest.approx(spread, abs=5 * spread / 200)
    kurtosis = ((drawn - drawn.mean()) ** 4).mean() / drawn.var() ** 2
    assert float(kurtosis) == pytest.approx(3.0, abs=0.2)  # Gaussian


def test_the_noise_follows_torch_s_seed() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        groups = parameters(torch.randn(2000, 10, generator=torch.Generator().manual_seed(0)))
        balance(noise="before").before_step(groups)
        gradient = groups["text"][0].grad
        assert gradient is not None
        return gradient

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize(
    ("target", "optimizer", "share"),
    [
        ("gradient", torch.optim.SGD, K),
        ("gradient", torch.optim.Adam, 1.0),  # the first step of Adam is lr whatever the gradient's size
        ("update", torch.optim.SGD, K),
        ("update", torch.optim.Adam, K),
        ("none", torch.optim.SGD, 1.0),
    ],
)
def test_what_is_left_of_a_step(target: Target, optimizer: type, share: float) -> None:
    groups = parameters()
    steps = optimizer([group[0] for group in groups.values()], lr=0.1)

    watching = balance(target)
    watching.before_step(groups)
    steps.step()
    watching.after_step(groups)

    torch.testing.assert_close(groups["audio"][0].detach(), torch.full((2000, 10), -0.1))
    torch.testing.assert_close(groups["text"][0].detach(), torch.full((2000, 10), -0.1 * share))


def test_two_processes_apply_the_same_coefficient_and_noise(tmp_path: Path) -> None:
    script = Path(__file__).with_name("modulated_processes.py")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)

    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    # by hand: text has 1 / (1 + e^-5) on one process and 1/2 on the other, audio 1/2 on both
    assert first["figures"]["disparity.text"] == pytest.approx(1 / (1 + math.exp(-5)) + 0.5)
