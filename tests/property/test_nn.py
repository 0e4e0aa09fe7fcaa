"""Poolings, weights and recurrence on ragged sequences of any lengths, against NumPy or themselves unpadded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.nn.losses import build_criterion, weights_of_classes
from merkit.nn.pooling import masked_softmax, pool
from merkit.nn.recurrent import MaskedLSTM

lengths = st.lists(st.integers(0, 6), min_size=1, max_size=5)
counts = st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(lambda found: sum(found) > 0)


def ragged(sizes: list[int], seed: int) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return rows, and the same rows scattered in order over random places of a padded tensor of garbage."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(size, 3, generator=generator) for size in sizes]
    time = max(sizes) + int(torch.randint(1, 4, (1,), generator=generator))
    data, mask = torch.full((len(sizes), time, 3), 1e3), torch.zeros(len(sizes), time, dtype=torch.bool)
    for number, row in enumerate(rows):
        mask[number, torch.randperm(time, generator=generator)[: len(row)]] = True
        data[number, mask[number]] = row
    return rows, data, mask


@settings(max_examples=50, deadline=None)
@given(lengths, st.integers(0, 2**20))
def test_pooling_agrees_with_numpy_row_by_row(sizes: list[int], seed: int) -> None:
    rows, data, mask = ragged(sizes, seed)

    found = pool("mean_std_max", data, mask).numpy()

    for row, pooled in zip(rows, found, strict=True):
        frames = row.numpy()
        expected = (
            np.concatenate([frames.mean(axis=0), frames.std(axis=0), frames.max(axis=0)])
            if len(frames)
            else np.zeros(9)
        )
        np.testing.assert_allclose(pooled, expected, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(lengths, st.integers(0, 2**20))
def test_weights_sum_to_one_over_real_places(sizes: list[int], seed: int) -> None:
    _, data, mask = ragged(sizes, seed)

    weights = masked_softmax(data[..., 0], mask)

    assert not weights[~mask].any()
    assert weights.sum(dim=1).tolist() == pytest.approx([float(size > 0) for size in sizes], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(lengths, st.integers(0, 2**20))
def test_recurrence_gives_each_row_what_it_gets_alone(sizes: list[int], seed: int) -> None:
    rows, data, mask = ragged(sizes, seed)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        recurrent = MaskedLSTM(3, 4)

    with torch.no_grad():
        found = recurrent(data, mask)
        for number, row in enumerate(rows):
            if len(row):
                alone = recurrent(row.unsqueeze(0), torch.ones(1, len(row), dtype=torch.bool))[0]
                torch.testing.assert_close(found[number, mask[number]], alone, atol=1e-5, rtol=0.0)


@settings(max_examples=50, deadline=None)
@given(counts)
def test_inverse_weights_make_the_seen_classes_weigh_the_same_in_all(found: list[int]) -> None:
    shares = weights_of_classes(found, "inverse") * torch.tensor(found)

    seen = shares[torch.tensor(found) > 0]
    assert seen.tolist() == pytest.approx([sum(found) / len(seen)] * len(seen), rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(counts, st.sampled_from(["cross_entropy", "focal", "logit_adjusted"]), st.integers(0, 2**20))
def test_a_loss_is_finite_not_negative_and_blind_to_order(found: list[int], kind, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 10 * torch.randn(6, len(found), generator=generator)
    labels = torch.randint(0, len(found), (6,), generator=generator)
    labels[0] = -100
    criterion = build_criterion(kind, found, "effective", 0.05)

    loss, backwards = float(criterion(logits, labels)), float(criterion(logits.flip(0), labels.flip(0)))

    assert np.isfinite(loss)
    assert loss >= 0.0
    assert backwards == pytest.approx(loss, rel=1e-4, abs=1e-6)
