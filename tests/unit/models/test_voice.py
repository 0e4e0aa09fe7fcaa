"""The built-in voice model's form: what it computes, worked out by hand."""

import math
from typing import Any

import pytest
import torch
from tests.contract.fakes import DIM, FakeEncoder

from merkit.core.batch import Batch, Padded
from merkit.core.errors import ConfigError
from merkit.models.voice import Voice, VoiceConfig

AROUSAL = ("low", "high", "neither")


def voice(**settings: Any) -> Voice:
    """Return a model of three labels on a fake encoder that passes its first two columns on."""
    encoder = FakeEncoder("audio")
    encoder.dim = 2
    encoder.project = torch.nn.Linear(DIM, 2)
    with torch.no_grad():
        encoder.project.weight.copy_(torch.eye(2, DIM))
    encoder.project.bias.data.zero_()
    model = Voice({"audio": encoder}, 3, VoiceConfig(**settings))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        model.head.bias.copy_(torch.tensor([0.0, 0.0, 0.5]))
        if model.arousal is not None:
            model.arousal.weight.copy_(torch.tensor([[2.0, -1.0]]))
            model.arousal.bias.copy_(torch.tensor([0.25]))
    return model


def batch(vectors: list[list[float]], labels: list[int] | None = None, absent: tuple[int, ...] = ()) -> Batch:
    """Return a batch of utterances with one vector each; the padded second position is garbage."""
    data = torch.full((len(vectors), 2, DIM), 1e3)
    data[:, 0] = torch.nn.functional.pad(torch.tensor(vectors), (0, DIM - 2))
    present = torch.tensor([row not in absent for row in range(len(vectors))])
    mask = torch.stack([present, torch.zeros_like(present)], dim=1)
    return Batch(
        ids=tuple(f"u{row}" for row in range(len(vectors))),
        mask=torch.ones(len(vectors), dtype=torch.bool),
        inputs={"audio": Padded(data, mask)},
        present={"audio": present},
        speakers=torch.zeros(len(vectors), dtype=torch.long),
        labels=None if labels is None else torch.tensor(labels),
    )


def test_logits_and_arousal_are_linear_in_the_vector() -> None:
    output = voice(arousal=AROUSAL)(batch([[1.0, 2.0], [-0.5, 0.0]]))

    assert output.logits.tolist() == [[1.0, 2.0, 0.5], [-0.5, 0.0, 0.5]]
    assert output.auxiliary["arousal"].tolist() == [0.25, -0.75]  # 2·1 - 2 + .25, 2·(-.5) - 0 + .25


def test_an_absent_utterance_has_the_logits_of_the_average() -> None:
    output = voice(arousal=AROUSAL)(batch([[1.0, 2.0]], absent=(0,)))

    assert output.logits.tolist() == [[0.0, 0.0, 0.5]]
    assert output.auxiliary["arousal"].tolist() == [0.25]


def test_arousal_learns_from_labels_that_are_high_or_low_alone() -> None:
    model = voice(arousal=AROUSAL, arousal_weight=0.5)
    labelled = batch([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0], [9.0, 9.0]], labels=[0, 1, 2, -100])

    terms = model.loss(model(labelled), labelled)

    # low at logit .25: log(1 + e^.25); high at 2.25: log(1 + e^-2.25)
    expected = (math.log1p(math.exp(0.25)) + math.log1p(math.exp(-2.25))) / 2
    assert terms["arousal"].item() == pytest.approx(0.5 * expected, rel=1e-6)


def test_without_sides_there_is_no_arousal() -> None:
    model = voice()
    labelled = batch([[0.0, 0.0]], labels=[0])

    assert "arousal" not in model(labelled).auxiliary
    assert set(model.loss(model(labelled), labelled)) == {"classification"}


@pytest.mark.parametrize("sides", [("low", "high"), ("low", "low", "neither"), ("high", "high", "high")])
def test_sides_that_do_not_fit_the_labels_are_refused(sides: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="expected 3 entries, one for each label"):
        voice(arousal=sides)
