"""Known values: logarithms worked out by hand, and a double loop over the formula of Khosla et al."""

import math

import pytest
import torch
from torch import Tensor

from merkit.nn.contrastive import (
    Memory,
    Partners,
    augmented_contrastive,
    released_augmented_contrastive,
    released_supervised_contrastive,
    supervised_contrastive,
)

T = 0.07


def draw(items: int = 6, dim: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(items, dim, generator=torch.Generator().manual_seed(seed))


def by_loops(vectors: Tensor, labels: list[int], temperature: float) -> float:
    """Khosla et al., eq. 2, term by term."""
    unit = [vector / vector.norm() for vector in vectors.double()]
    losses = []
    for i, label in enumerate(labels):
        positives = [p for p, other in enumerate(labels) if other == label and p != i]
        if positives:
            below = sum(math.exp(float(unit[i] @ unit[a]) / temperature) for a in range(len(labels)) if a != i)
            own = [math.log(math.exp(float(unit[i] @ unit[p]) / temperature) / below) for p in positives]
            losses.append(-sum(own) / len(own))
    return sum(losses) / len(losses)


def test_the_supervised_loss_is_that_of_the_formula() -> None:
    vectors, labels = draw(), [0, 1, 0, 2, 1, 0]

    found = supervised_contrastive(vectors, torch.tensor(labels), 0.5)

    assert float(found) == pytest.approx(by_loops(vectors, labels, 0.5), rel=1e-5)


def test_without_two_of_a_class_there_is_nothing_to_learn() -> None:
    vectors = draw(4).requires_grad_()

    loss = supervised_contrastive(vectors, torch.arange(4), T)
    loss.backward()

    assert float(loss.detach()) == 0.0
    assert vectors.grad is None or not vectors.grad.any()


def test_an_item_without_a_label_takes_no_part() -> None:
    vectors, labels = draw(), torch.tensor([0, 1, 0, -100, 1, -100])
    known = labels != -100

    found = supervised_contrastive(vectors, labels, T)

    assert float(found) == pytest.approx(float(supervised_contrastive(vectors[known], labels[known], T)))


@pytest.mark.parametrize("items", [2, 5, 9])
def test_equal_vectors_of_one_class_give_the_logarithm_of_the_others(items: int) -> None:
    vectors = draw(1).expand(items, -1)

    loss = supervised_contrastive(vectors, torch.zeros(items, dtype=torch.long), T)

    assert float(loss) == pytest.approx(math.log(items - 1), abs=1e-5)


def test_order_and_length_of_vectors_do_not_matter() -> None:
    vectors, labels = draw(), torch.tensor([0, 1, 0, 2, 1, 0])
    order = torch.tensor([3, 0, 5, 2, 4, 1])
    lengths = torch.tensor([0.1, 3.0, 20.0, 1.0, 7.0, 0.5]).unsqueeze(1)
    loss = float(supervised_contrastive(vectors, labels, T))

    assert float(supervised_contrastive(vectors[order], labels[order], T)) == pytest.approx(loss, rel=1e-5)
    assert float(supervised_contrastive(vectors * lengths, labels, T)) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(("labels", "floor"), [([0, 0, 1, 1], math.log(2) / T), ([0, 0, 0, 0], math.log(4) / T)])
def test_the_released_supervised_loss_has_floors(labels: list[int], floor: float) -> None:
    classes = torch.tensor(labels)
    far = 100.0 * torch.eye(2)[classes]  # one direction per class, far apart

    assert float(released_supervised_contrastive(far, classes, T)) == pytest.approx(floor, rel=1e-5)
    assert float(released_supervised_contrastive(draw(4), classes, T)) > floor
    assert [9.902, 19.804][len(set(labels)) == 1] == pytest.approx(floor, abs=1e-3)


def test_the_released_temperature_is_a_mere_factor() -> None:
    vectors, labels = draw(), torch.tensor([0, 1, 0, 2, 1, 0])

    one, other = (float(released_supervised_contrastive(vectors, labels, t)) for t in (1.0, T))

    assert other == pytest.approx(one / T, rel=1e-5)


@pytest.mark.parametrize("items", [1, 2, 7])
def test_views_that_are_all_alike_give_the_logarithm_of_the_batch(items: int) -> None:
    vectors, labels = draw(1).expand(items, -1), torch.arange(items) % 3

    assert float(augmented_contrastive(vectors, vectors, labels, T)) == pytest.approx(math.log(items), abs=1e-5)
    assert float(released_augmented_contrastive(vectors, vectors, T)) == pytest.approx(math.log(items), abs=1e-5)


def test_the_augmented_loss_does_not_care_which_view_is_which_and_the_released_does() -> None:
    one, other, labels = draw(seed=1), draw(seed=2), torch.tensor([0, 1, 0, 2, 1, 0])

    swapped = augmented_contrastive(other, one, labels, 0.5)

    assert float(augmented_contrastive(one, other, labels, 0.5)) == pytest.approx(float(swapped), rel=1e-6)
    difference = released_augmented_contrastive(one, other, 0.5) - released_augmented_contrastive(other, one, 0.5)
    assert abs(float(difference)) > 0.01


def test_distinct_classes_make_the_augmented_loss_symmetric_info_nce() -> None:
    one, other = draw(4, seed=1), draw(4, seed=2)
    cosines = torch.cosine_similarity(one[:, None], other[None], dim=-1) / 0.5
    both = [torch.nn.functional.cross_entropy(scores, torch.arange(4)) for scores in (cosines, cosines.T)]

    for labels in (torch.arange(4), torch.full((4,), -100)):
        found = augmented_contrastive(one, other, labels, 0.5)
        assert float(found) == pytest.approx(float(sum(both)) / 2, rel=1e-5)


def test_another_of_the_class_is_no_negative() -> None:
    unit = torch.eye(3)
    same = torch.tensor([0, 0, 1])
    views = unit[torch.tensor([1, 0, 2])]  # each item's view looks like the other item of its class

    kind = augmented_contrastive(unit, views, same, T)
    harsh = augmented_contrastive(unit, views, torch.arange(3), T)

    assert float(kind) == pytest.approx((2 * (1 / T) / 2 + 0.0) / 3, rel=1e-3)  # half of two items' positives are far
    assert float(harsh) > float(kind)


def test_partners_are_compared_with_and_are_no_anchors() -> None:
    vectors, labels = draw(), torch.tensor([0, 1, 0, 2, 1, 0])
    batch, more = slice(0, 2), slice(2, 6)

    found = supervised_contrastive(vectors[batch], labels[batch], 0.5, Partners(vectors[more], labels[more]))

    unit = torch.nn.functional.normalize(vectors, dim=-1) @ torch.nn.functional.normalize(vectors, dim=-1).T / 0.5
    unit.fill_diagonal_(-torch.inf)
    log_p = unit.log_softmax(dim=1)
    expected = -((log_p[0, 2] + log_p[0, 5]) / 2 + log_p[1, 4]) / 2
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_memory_keeps_the_latest_labelled_vectors_without_gradients() -> None:
    memory = Memory(3)
    assert memory.partners() is None
    first = torch.tensor([[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]], requires_grad=True)

    memory.add(first, torch.tensor([0, 1, -100]))
    memory.add(first[:2] + 2, torch.tensor([2, 3]))

    kept = memory.partners()
    assert kept is not None
    assert kept.vectors.tolist() == [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
    assert kept.labels.tolist() == [1, 2, 3]
    assert not kept.vectors.requires_grad
    memory.clear()
    assert memory.partners() is None
