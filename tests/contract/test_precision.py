"""What every model that learns by gradients must do in bfloat16; see test_models.py."""

from statistics import fmean

import pytest
import torch
from tests.contract.fakes import CONVERSATIONS, all_labels, batch_of
from tests.contract.test_models import TOLERANCE, gradient_models, largest_difference, make, probabilities
from torch import Tensor

from merkit.core.batch import Batch
from merkit.core.model import Model

ROUNDING = 0.02
"""Of probabilities in bfloat16, whose numbers have three digits."""


SEEDS = 3
"""One seed's loss in bf16 lies up to 3 % from that in float32, on either side."""


def trained(name: str, count: int, *, mixed: bool, seed: int = 0) -> tuple[Model, float]:
    """Return a model after five epochs of two batches, and its mean loss in the fifth."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        spec, model = make(name, count)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        model.train()
        for epoch in range(1, 6):
            model.start_epoch(epoch)
            losses = [
                train_batch(model, batch_of(spec, count, part, labels=all_labels()), optimizer, mixed=mixed)
                for part in (CONVERSATIONS[:2], CONVERSATIONS[2:])
            ]
    return model.eval(), sum(losses) / len(losses)


def train_batch(model: Model, batch: Batch, optimizer: torch.optim.Optimizer, *, mixed: bool) -> float:
    """Train one batch as the loop does."""
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        output = model(batch)
        terms = [term.float() for term in model.loss(output, batch).values()]
    loss = torch.stack(terms).sum()
    loss.backward()
    model.after_backward(batch, output)
    model.before_step()
    optimizer.step()
    model.after_step()
    optimizer.zero_grad()
    return float(loss.detach())


@gradient_models
def test_five_epochs_in_bf16_end_where_float32_ends(name: str, count: int) -> None:
    whole, half = ([trained(name, count, mixed=mixed, seed=seed) for seed in range(SEEDS)] for mixed in (False, True))

    assert fmean(loss for _, loss in half) == pytest.approx(fmean(loss for _, loss in whole), rel=0.02)
    pairs = zip(whole[0][0].parameters(), half[0][0].parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs), "nothing was computed in bf16"


@gradient_models
def test_batch_mates_change_no_answer_of_a_model_trained_in_bf16(name: str, count: int) -> None:
    model, _ = trained(name, count, mixed=True)

    assert from_mates(model, name, count) <= TOLERANCE
    with torch.autocast("cpu", torch.bfloat16):
        assert from_mates(model, name, count) <= ROUNDING


def from_mates(model: Model, name: str, count: int) -> float:
    """Return how far batch mates, and padding of a thousand, move a probability."""
    spec, _ = make(name, count)
    together = probabilities(model, batch_of(spec, count))
    alone: dict[str, Tensor] = {}
    for item in CONVERSATIONS:
        alone |= probabilities(model, batch_of(spec, count, [item]))
    assert len(alone) == len(together)
    return largest_difference(together, alone)
