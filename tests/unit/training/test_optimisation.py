import math

import pytest
import torch
from torch import nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.model import Model
from merkit.training.config import TrainingConfig
from merkit.training.optimisation import (
    build_optimizer,
    groups_of,
    plateau_factor,
    schedule_factor,
    set_learning_rates,
)


def groups() -> dict[str, list[nn.Parameter]]:
    return {
        "encoders": list(nn.Linear(3, 2).parameters()),
        "head": list(nn.Linear(2, 2).parameters()),
    }


def test_each_group_has_its_own_rate_and_vectors_are_not_decayed() -> None:
    config = TrainingConfig(learning_rates={"encoders": 1e-5, "head": 1e-3}, weight_decay=0.1)

    optimizer = build_optimizer(groups(), config)
    set_learning_rates(optimizer, 0.5)

    found = [(g["name"], g["lr"], g["weight_decay"], g["params"][0].ndim) for g in optimizer.param_groups]
    assert found == [
        ("encoders", 5e-6, 0.1, 2),
        ("encoders", 5e-6, 0.0, 1),
        ("head", 5e-4, 0.1, 2),
        ("head", 5e-4, 0.0, 1),
    ]


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_the_optimizer_is_the_one_that_was_asked_for(name: str, kind: type) -> None:
    config = TrainingConfig(learning_rates={"encoders": 1e-5, "head": 1e-3}, optimizer=name)

    optimizer = build_optimizer(groups(), config)

    assert type(optimizer) is kind
    assert all(group["fused"] for group in optimizer.param_groups)


def test_a_group_without_a_rate_and_a_rate_without_a_group_are_errors() -> None:
    with pytest.raises(ConfigError, match="no learning rate for encoders"):
        build_optimizer(groups(), TrainingConfig(learning_rates={"head": 1e-3}))
    with pytest.raises(ConfigError, match="Did you mean 'head'"):
        build_optimizer(groups(), TrainingConfig(learning_rates={"encoders": 1e-3, "haed": 1e-3}))


def layered() -> tuple[dict[str, list[nn.Parameter]], dict[str, list[list[nn.Parameter]]]]:
    """Return groups whose encoders are something below two layers, and a scale that is of no layer."""
    stack = [list(nn.Linear(3, 2).parameters()) for _ in range(3)]
    scale = nn.Parameter(torch.ones(1))
    stack[0][1].requires_grad_(False)  # frozen: in no group
    encoders = [p for layer in stack for p in layer if p.requires_grad] + [scale]
    return {"encoders": encoders, "head": list(nn.Linear(2, 2).parameters())}, {"text": stack}


def test_learning_rates_fall_from_layer_to_layer_and_every_weight_has_one() -> None:
    groups, layers = layered()
    config = TrainingConfig(learning_rates={"encoders": 1e-4, "head": 1e-3}, layer_decay=0.5, weight_decay=0.1)

    optimizer = build_optimizer(groups, config, layers)
    set_learning_rates(optimizer, 1.0)

    found = [(g["name"], g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups]
    # by hand: 1e-4 x 0.5 ** (layers above)
    assert found == [
        ("encoders.text.below", 2.5e-5, 0.1, 1),
        ("encoders.text.layer-1", 5e-5, 0.1, 1),
        ("encoders.text.layer-1", 5e-5, 0.0, 1),
        ("encoders.text.layer-2", 1e-4, 0.1, 1),
        ("encoders.text.layer-2", 1e-4, 0.0, 1),
        ("encoders", 1e-4, 0.0, 1),
        ("head", 1e-3, 0.1, 1),
        ("head", 1e-3, 0.0, 1),
    ]
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for group in groups.values() for p in group)


def test_without_decay_layers_make_no_groups() -> None:
    groups, layers = layered()

    optimizer = build_optimizer(groups, TrainingConfig(learning_rates={"encoders": 1e-4, "head": 1e-3}), layers)

    assert [g["name"] for g in optimizer.param_groups] == ["encoders", "encoders", "head", "head"]


def test_decay_without_trained_layers_is_an_error() -> None:
    config = TrainingConfig(learning_rates={"encoders": 1e-5, "head": 1e-3}, layer_decay=0.9)

    with pytest.raises(ConfigError, match=r"layer_decay = 0\.9: no encoder here is a trained network of layers"):
        build_optimizer(groups(), config, {})


class Odd(Model):
    """Has three weights and the groups that it is told to have."""

    def __init__(self, chosen: list[list[int]]) -> None:
        super().__init__({})
        self.weights = nn.ParameterList([torch.zeros(1) for _ in range(4)])
        self.weights[3].requires_grad_(False)
        self.chosen = chosen

    def forward(self, batch: Batch) -> ModelOutput:
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {str(n): [self.weights[i] for i in group] for n, group in enumerate(self.chosen)}


@pytest.mark.parametrize("chosen", [[[0, 1]], [[0, 1, 2], [2]]])
def test_a_trained_weight_in_no_group_or_in_two_is_an_error(chosen: list[list[int]]) -> None:
    assert list(groups_of(Odd([[0, 2], [1]]))) == ["0", "1"]

    with pytest.raises(MerkitError, match=r"Odd\.parameter_groups: 1 trained weights .* first 'weights\.2'"):
        groups_of(Odd(chosen))


class Two(Model):
    """A text network of two layers beside an audio network, and a head."""

    def __init__(self) -> None:
        super().__init__({"text": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)), "audio": nn.Linear(4, 2)})
        self.head = nn.Linear(2, 2)

    def forward(self, batch: Batch) -> ModelOutput:
        raise NotImplementedError


def test_an_encoder_may_have_a_rate_of_its_own_beside_or_in_place_of_the_encoders_rate() -> None:
    model = Two()
    audio = list(model.encoders["audio"].parameters())

    beside = groups_of(model, ("encoders", "encoders.audio", "head"))
    each = groups_of(model, ("encoders.audio", "encoders.text", "head"))

    assert {name: len(group) for name, group in beside.items()} == {"encoders.audio": 2, "encoders": 4, "head": 2}
    assert beside["encoders.audio"] == audio
    assert {name: len(group) for name, group in each.items()} == {"encoders.text": 4, "encoders.audio": 2, "head": 2}


def test_a_rate_of_an_encoder_that_does_not_learn_is_an_error() -> None:
    model = Two()
    model.encoders["text"].requires_grad_(False)
    config = TrainingConfig(learning_rates={"encoders": 1e-4, "encoders.text": 1e-5, "head": 1e-3})

    with pytest.raises(ConfigError, match=r"No parameter group named 'encoders\.text'"):
        build_optimizer(groups_of(model, config.learning_rates), config)


def test_layers_decay_from_the_rate_of_their_own_encoder() -> None:
    model = Two()
    config = TrainingConfig(learning_rates={"encoders.audio": 1e-3, "encoders.text": 1e-4, "head": 1e-3})
    layers = {"text": [list(layer.parameters()) for layer in model.encoders["text"]]}

    optimizer = build_optimizer(
        groups_of(model, config.learning_rates), config.model_copy(update={"layer_decay": 0.5}), layers
    )

    rates = {group["name"]: group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {
        "encoders.audio": 1e-3, "encoders.text.below": 5e-5, "encoders.text.layer-1": 1e-4, "head": 1e-3,
    }  # fmt: skip


def test_schedules_rise_and_fall_as_their_formulas_say() -> None:
    linear = TrainingConfig(schedule="linear", warmup=0.2)
    cosine = TrainingConfig(schedule="cosine")

    # by hand: 10 steps, the first 2 rise to 1, the other 8 fall by 1/8 each
    assert [schedule_factor(step, 10, linear) for step in range(10)] == [
        0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8,
    ]  # fmt: skip
    assert schedule_factor(0, 10, cosine) == 1.0
    assert schedule_factor(5, 10, cosine) == pytest.approx(0.5)
    assert schedule_factor(9, 10, cosine) == pytest.approx((1 + math.cos(0.9 * math.pi)) / 2)
    assert schedule_factor(7, 10, TrainingConfig()) == 1.0


@pytest.mark.parametrize(("factor", "patience"), [(0.1, 2), (0.5, 0), (0.1, 10)])
def test_a_plateau_falls_when_pytorch_s_own_scheduler_does(factor: float, patience: int) -> None:
    config = TrainingConfig(schedule="plateau", plateau_factor=factor, plateau_patience=patience)
    losses = [1.0, 0.9, 0.95, 0.9, 0.89995, 0.91, 0.92, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8, *[0.9] * 12, 0.4, 0.5]
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    expected = []
    for loss in losses:
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)

    found = [plateau_factor(losses[:epoch], config) for epoch in range(len(losses))]

    # PyTorch skips a fall of the rate by less than 1e-8; ours goes on
    assert len(set(expected)) > 1
    assert found == pytest.approx(expected, abs=2e-8)
