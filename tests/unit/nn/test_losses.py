"""Golden values by hand where the arithmetic is short, and from PyTorch and scikit-learn where they have the same loss.

Two classes with scores (ln 3, 0) have probabilities 3/4 and 1/4.
"""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn.functional import cross_entropy

from merkit.nn.losses import MultiLabelLoss, build_criterion, distillation_loss, weights_of_classes

KINDS = ("cross_entropy", "focal", "logit_adjusted")
WEIGHTS = ("none", "inverse", "effective")
LOGITS = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
LABELS = torch.tensor([0, 1])


def test_cross_entropy_by_hand() -> None:
    loss = build_criterion("cross_entropy", [1, 1])(LOGITS, LABELS)

    assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_inverse_weights_by_hand() -> None:
    # 4 items, 2 classes: 4 / (2 * 3) and 4 / (2 * 1)
    weights = weights_of_classes([3, 1], "inverse")
    loss = build_criterion("cross_entropy", [3, 1], "inverse")(LOGITS, LABELS)

    assert weights.tolist() == pytest.approx([2 / 3, 2.0])
    assert float(loss) == pytest.approx((2 / 3 * math.log(4 / 3) + 2 * math.log(4)) / (2 / 3 + 2))


def test_inverse_weights_are_those_scikit_learn_calls_balanced() -> None:
    labels = [0] * 7 + [1] * 2 + [2]

    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)

    assert weights_of_classes([7, 2, 1], "inverse").tolist() == pytest.approx(expected.tolist())


def test_effective_number_weights_by_hand() -> None:
    # beta 0.9: effective numbers 1 and 1.9; their inverses 1 and 0.526316, scaled to sum to 2
    weights = weights_of_classes([1, 2], "effective", 0.9)

    assert weights.tolist() == pytest.approx([1.310345, 0.689655], abs=1e-6)


def test_effective_number_with_beta_zero_is_no_weighting() -> None:
    assert weights_of_classes([1, 50, 900], "effective", 0.0).tolist() == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("how", ["inverse", "effective"])
def test_a_class_that_training_never_saw_weighs_nothing_and_changes_no_other(how) -> None:
    with_it, without = weights_of_classes([3, 0, 1], how), weights_of_classes([3, 1], how)

    assert with_it[1] == 0.0
    assert with_it[[0, 2]].tolist() == pytest.approx(without.tolist())


def test_focal_by_hand() -> None:
    # gamma 2: (1/4)^2 ln(4/3) and (3/4)^2 ln 4
    loss = build_criterion("focal", [1, 1], focal_gamma=2.0)(LOGITS, LABELS)

    assert float(loss) == pytest.approx((math.log(4 / 3) / 16 + 9 * math.log(4) / 16) / 2)


def test_focal_with_exponent_zero_is_cross_entropy() -> None:
    focal, plain = build_criterion("focal", [1, 1], focal_gamma=0.0), build_criterion("cross_entropy", [1, 1])

    assert float(focal(LOGITS, LABELS)) == float(plain(LOGITS, LABELS))


def test_focal_gradient_is_finite_for_a_certain_answer() -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)

    build_criterion("focal", [1, 1], focal_gamma=0.5)(logits, LABELS).backward()

    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_logit_adjustment_by_hand() -> None:
    # priors 3/4 and 1/4 on even scores: the losses are those of probabilities 3/4 and 1/4
    loss = build_criterion("logit_adjusted", [3, 1])(torch.zeros(2, 2), LABELS)

    assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_logit_adjustment_with_exponent_two_by_hand() -> None:
    # priors squared: 9/16 and 1/16, normalised 9/10 and 1/10
    loss = build_criterion("logit_adjusted", [3, 1], prior_exponent=2.0)(torch.zeros(2, 2), LABELS)

    assert float(loss) == pytest.approx((math.log(10 / 9) + math.log(10)) / 2)


def test_logit_adjustment_stays_finite_for_a_class_that_training_never_saw() -> None:
    assert math.isfinite(float(build_criterion("logit_adjusted", [3, 0])(LOGITS, LABELS)))


def test_label_smoothing_by_hand() -> None:
    # smoothing 0.2: the label gets 0.9, the other 0.1
    loss = build_criterion("cross_entropy", [1, 1], label_smoothing=0.2)(LOGITS[:1], LABELS[:1])

    assert float(loss) == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("how", WEIGHTS)
def test_cross_entropy_is_that_of_pytorch(how, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    counts = [50, 20, 5, 1]
    logits = 3 * torch.randn(32, 4, generator=generator)
    labels = torch.randint(0, 4, (32,), generator=generator)
    labels[::5] = -100

    found = build_criterion("cross_entropy", counts, how, smoothing)(logits, labels)

    expected = cross_entropy(logits, labels, weight=weights_of_classes(counts, how), label_smoothing=smoothing)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", WEIGHTS)
def test_ignored_items_count_for_nothing(kind, how) -> None:
    criterion = build_criterion(kind, [4, 2], how, 0.1)
    more = torch.cat([LOGITS, torch.full((3, 2), float("nan"))])

    found = criterion(more, torch.tensor([0, 1, -100, -100, -100]))

    assert float(found) == float(criterion(LOGITS, LABELS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [0, 2])
def test_nothing_to_count_gives_zero_and_no_gradient(kind, rows: int) -> None:
    logits = LOGITS[:rows].clone().requires_grad_()

    loss = build_criterion(kind, [4, 2], "inverse", 0.1)(logits, torch.full((rows,), -100))
    loss.backward()

    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_batch_of_weightless_labels_gives_zero() -> None:
    assert float(build_criterion("cross_entropy", [4, 0], "inverse")(LOGITS, torch.tensor([1, 1]))) == 0.0


def test_a_criterion_in_a_model_adds_nothing_to_its_state() -> None:
    model = nn.Linear(2, 2)
    before = set(model.state_dict())

    model.criterion = build_criterion("logit_adjusted", [4, 2], "inverse")

    assert set(model.state_dict()) == before


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        ([], {}, "class counts"),
        ([3, -1], {}, "class counts"),
        ([3, 1], {"label_smoothing": 1.0}, "label_smoothing"),
        ([3, 1], {"effective_beta": 1.0}, "effective_beta"),
        ([3, 1], {"focal_gamma": -1.0}, "focal_gamma"),
        ([3, 1], {"prior_exponent": -1.0}, "prior_exponent"),
    ],
)
def test_settings_out_of_range_are_errors(counts: list[int], settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_criterion("focal", counts, **settings)


def test_distillation_by_hand() -> None:
    # answers 3/4 and 1/4; a teacher of one half each, and one that was not asked
    teacher = torch.tensor([[0.5, 0.5], [0.0, 0.0]])

    assert float(distillation_loss(LOGITS, teacher)) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_distillation_is_the_cross_entropy_of_pytorch_against_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 5, generator=generator)
    teacher = torch.randn(9, 5, generator=generator).softmax(dim=-1)

    assert float(distillation_loss(logits, teacher)) == pytest.approx(float(cross_entropy(logits, teacher)))


def test_a_student_that_answers_like_its_teacher_is_left_alone() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()

    distillation_loss(logits, logits.detach().softmax(dim=-1)).backward()

    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.zeros_like(logits), atol=1e-7)


def test_distillation_with_no_teacher_asked_is_zero_and_has_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()

    loss = distillation_loss(logits, torch.zeros(2, 2))
    loss.backward()

    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_loss_of_several_labels_is_the_binary_cross_entropy_of_each() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0], [-math.log(3.0), 0.0]])
    labels = torch.tensor([[1.0, 1.0], [-100.0, -100.0], [0.0, 1.0]])

    loss = MultiLabelLoss()(logits, labels)

    # by hand: -log(1/2), -log(3/4), -log(3/4), -log(1/2); the second item is not counted
    assert float(loss) == pytest.approx((2 * math.log(2.0) + 2 * math.log(4 / 3)) / 4)
    nothing = MultiLabelLoss()(logits.requires_grad_(), torch.full((3, 2), -100.0))
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
