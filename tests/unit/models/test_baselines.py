"""What is particular to single, concat, late_average and bc_lstm; what holds for every model is in tests/contract."""

import dataclasses
from typing import Any

import pytest
import torch
from tests.contract.fakes import CLASSES, WIDTHS, FakeEncoder, all_labels, batch_of

from merkit.core import lookup
from merkit.core.batch import Batch
from merkit.core.model import Model, ModelSpec
from merkit.core.types import MODALITIES


def make(name: str, count: int, **settings: Any) -> tuple[ModelSpec, Model]:
    torch.manual_seed(0)
    spec = lookup.load("models", name)
    encoders = {modality: FakeEncoder(modality) for modality in MODALITIES[:count]}
    return spec, spec.build(encoders, CLASSES, spec.config(**settings)).eval()


@pytest.mark.parametrize(
    ("pooling", "factor"), [("mean", 1), ("max", 1), ("mean_std", 2), ("mean_std_max", 3), ("first_and_mean", 2)]
)
@pytest.mark.parametrize("name", ["single", "concat", "late_average", "bc_lstm"])
def test_every_pooling_fits_every_model(name: str, pooling: str, factor: int) -> None:
    spec, model = make(name, 1, pooling=pooling)
    batch = batch_of(spec, 1)

    output = model(batch)

    assert output.logits.shape == (*batch.mask.shape, CLASSES)
    if name == "single":
        assert output.auxiliary["embedding"].shape[-1] == factor * WIDTHS["text"]


@pytest.mark.parametrize("name", ["single", "late_average"])
def test_a_hidden_layer_is_optional(name: str) -> None:
    _, linear = make(name, 1)
    _, deep = make(name, 1, hidden_size=5, layer_norm=True)

    assert not [key for key in linear.state_dict() if key.endswith("head.4.weight")]
    shapes = {tuple(value.shape) for key, value in deep.state_dict().items() if "head" in key}
    assert {(5, WIDTHS["text"]), (CLASSES, 5), (5,)} <= shapes


def without(batch: Batch, *modalities: str) -> Batch:
    """Return the batch as if no utterance had the modalities."""
    inputs = {
        name: dataclasses.replace(padded, mask=padded.mask & (name not in modalities))
        for name, padded in batch.inputs.items()
    }
    present = {name: there & (name not in modalities) for name, there in batch.present.items()}
    return dataclasses.replace(batch, inputs=inputs, present=present)


def test_late_average_is_the_mean_of_the_probabilities_that_are_there() -> None:
    spec, model = make("late_average", 3)
    batch = batch_of(spec, 3)

    output = model(batch)

    single = {name: output.auxiliary[f"logits_{name}"].softmax(dim=-1) for name in MODALITIES}
    mean = sum(single.values()) / 3
    torch.testing.assert_close(output.logits, mean.log())
    torch.testing.assert_close(model(without(batch, "audio")).logits, ((single["text"] + single["video"]) / 2).log())
    torch.testing.assert_close(model(without(batch, "audio", "video")).logits, single["text"].log())
    torch.testing.assert_close(
        model(without(batch, *MODALITIES)).logits.exp(), torch.full((len(batch.ids), CLASSES), 1 / CLASSES)
    )


def test_late_average_never_becomes_infinite_over_certain_heads() -> None:
    spec, model = make("late_average", 2)
    with torch.no_grad():
        model.heads["text"][-1].bias[0] = 1e4
        model.heads["audio"][-1].bias[0] = 1e4
    batch = batch_of(spec, 2, labels=all_labels())

    output = model(batch)
    sum(model.loss(output, batch).values()).backward()

    assert torch.isfinite(output.logits).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_heads_of_late_average_do_not_learn_from_each_other() -> None:
    spec, model = make("late_average", 2)
    batch = batch_of(spec, 2, labels=all_labels())

    model.loss(model(batch), batch)["text"].backward()

    assert model.heads["text"][-1].weight.grad.abs().sum() > 0
    assert model.heads["audio"][-1].weight.grad is None


def test_a_head_learns_nothing_from_an_utterance_that_lacks_its_modality() -> None:
    spec, model = make("late_average", 2)
    labels = all_labels()
    batch = batch_of(spec, 2, labels=labels, absent={("a0", "audio")})
    other = batch_of(spec, 2, labels=labels | {"a0": (labels["a0"] + 1) % CLASSES}, absent={("a0", "audio")})

    first, second = model.loss(model(batch), batch), model.loss(model(other), other)

    assert first["audio"].item() == second["audio"].item()
    assert first["text"].item() != second["text"].item()


def turn_changed(batch: Batch, turn: int) -> Batch:
    """Return the batch with other data in one turn of every conversation."""
    inputs = {}
    for name, padded in batch.inputs.items():
        data = padded.data.clone()
        data[:, turn] += 1.0
        inputs[name] = dataclasses.replace(padded, data=data)
    return dataclasses.replace(batch, inputs=inputs)


def test_a_turn_reads_its_whole_conversation_and_a_causal_one_its_past_alone() -> None:
    for causal in (False, True):
        spec, model = make("bc_lstm", 2, causal=causal)
        batch = batch_of(spec, 2, [("b0", "b1", "b2", "b3", "b4")])

        change = (model(batch).logits - model(turn_changed(batch, 2)).logits).abs().amax(dim=-1)[0] > 1e-6

        assert change.tolist() == [not causal, not causal, True, True, True]


def test_conversations_never_read_each_other() -> None:
    spec, model = make("bc_lstm", 2)
    batch = batch_of(spec, 2)
    inputs = {
        name: dataclasses.replace(padded, data=torch.cat([padded.data[:1] + 1.0, padded.data[1:]]))
        for name, padded in batch.inputs.items()
    }

    before, after = model(batch).logits, model(dataclasses.replace(batch, inputs=inputs)).logits

    assert not torch.equal(before[0], after[0])
    torch.testing.assert_close(before[1:][batch.mask[1:]], after[1:][batch.mask[1:]], atol=1e-6, rtol=0.0)


def test_projections_and_normalisation_are_optional() -> None:
    _, plain = make("bc_lstm", 2, layer_norm=False)
    _, projected = make("bc_lstm", 2, projection=7, layers=2)

    assert not [key for key in plain.state_dict() if key.startswith(("norm", "project"))]
    assert projected.norm.weight.shape == (14,)
    assert plain.context.lstm.input_size == WIDTHS["text"] + WIDTHS["audio"]
    assert projected.context.lstm.input_size == 14
    assert projected.context.lstm.num_layers == 2


@pytest.mark.parametrize("name", ["concat", "bc_lstm"])
def test_modality_dropout_acts_in_training_alone(name: str) -> None:
    spec, model = make(name, 2, modality_dropout=0.5, dropout=0.0)
    batch = batch_of(spec, 2)

    still = model(batch).logits
    noisy = model.train()(batch).logits

    assert torch.equal(model.eval()(batch).logits, still)
    assert not torch.allclose(noisy[batch.mask], still[batch.mask])


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("single", {"pooling": "median"}),
        ("single", {"dropout": 1.0}),
        ("concat", {"hidden_size": 0}),
        ("concat", {"modality_dropout": -0.1}),
        ("late_average", {"hidden_size": -1}),
        ("bc_lstm", {"layers": 0}),
        ("bag_of_words", {"ngrams": 0}),
        ("bag_of_words", {"inverse_penalty": 0.0}),
        ("majority", {"hidden_size": 1}),
    ],
)
def test_a_setting_out_of_range_is_an_error(name: str, setting: dict[str, Any]) -> None:
    (key,) = setting

    with pytest.raises(ValueError, match=key):
        lookup.load("models", name).config(**setting)
