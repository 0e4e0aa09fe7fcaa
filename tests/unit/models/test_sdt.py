"""What is particular to SDT; what holds for every model is in tests/contract."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.contract.fakes import CLASSES, DIM, FakeEncoder, all_labels, batch_of
from torch import nn

from merkit.core.batch import Batch, ModelOutput, Padded
from merkit.core.types import MODALITIES
from merkit.models.sdt import SPEC, PairReader, Sdt
from merkit.nn.losses import build_criterion


def make(count: int = 3, **settings: Any) -> Sdt:
    torch.manual_seed(0)
    encoders = {modality: FakeEncoder(modality) for modality in MODALITIES[:count]}
    model = SPEC.build(encoders, CLASSES, SPEC.config(**{"dim": 16, **settings})).eval()
    model.criterion = build_criterion("cross_entropy", [1] * CLASSES)
    assert isinstance(model, Sdt)
    return model


def size(**settings: Any) -> int:
    """Return how many parameters there are beside the encoders, for features as wide as the paper's on IEMOCAP."""
    with torch.device("meta"):
        encoders = {modality: FakeEncoder(modality) for modality in MODALITIES}
        for modality, dim in (("text", 1024), ("audio", 1582), ("video", 342)):
            encoders[modality].dim = dim
        model = SPEC.build(encoders, 6, SPEC.config(dim=1024, **settings))
    return sum(parameter.numel() for name, parameter in model.named_parameters() if not name.startswith("encoders."))


def test_it_has_as_many_parameters_as_the_released_model() -> None:
    assert size(attention_norm=True) == 79_687_704


def test_nine_layer_norms_of_the_released_model_are_never_applied() -> None:
    assert size() == 79_687_704 - 9 * 2 * 1024


def test_speakers_may_be_numbered_by_name() -> None:
    model = make(speaker_order="name", dropout=0.0)
    batch = batch_of(SPEC, 3)
    swapped = {"speakers.by_name": torch.where(batch.mask, 1 - batch.speakers, 0)}

    by_name = model(dataclasses.replace(batch, extras=swapped)).logits[batch.mask]

    relabelled = dataclasses.replace(batch, speakers=swapped["speakers.by_name"])
    torch.testing.assert_close(by_name, make(dropout=0.0)(relabelled).logits[batch.mask])
    assert not torch.allclose(by_name, make(dropout=0.0)(batch).logits[batch.mask], atol=1e-3)


def test_a_causal_model_cannot_know_the_names_that_follow() -> None:
    with pytest.raises(ValidationError, match="speaker_order = 'name' needs all speakers"):
        SPEC.config(speaker_order="name", causal=True)


@pytest.mark.parametrize("gate", ["learned", "identity", "none"])
def test_a_reader_whose_layers_give_nothing_gates_its_target(gate: str) -> None:
    torch.manual_seed(0)
    reader = PairReader(4, 2, attention_norm=False, gate=gate, dropout=0.5).eval()
    with torch.no_grad():
        for layer in (reader.attention.output, reader.feed_forward[3]):
            layer.weight.zero_()
            layer.bias.zero_()
        if isinstance(reader.gate, nn.Linear):
            reader.gate.weight.copy_(torch.eye(4))
    target = torch.randn(1, 3, 4)

    found = reader(target, torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool), None)

    torch.testing.assert_close(found, target if gate == "none" else nn.functional.silu(target))  # sigmoid(x) x


def test_shares_sum_to_one_over_what_is_present() -> None:
    model = make()
    batch = batch_of(
        SPEC, 3, absent={("a0", "audio"), ("b1", "text"), ("b1", "video"), *(("c0", m) for m in MODALITIES)}
    )

    output = model(batch)

    shares = torch.stack([output.auxiliary[f"share.{name}"] for name in MODALITIES])
    by_id = dict(zip(batch.ids, shares[:, batch.mask].T.tolist(), strict=True))
    number = {name: place for place, name in enumerate(MODALITIES)}
    assert by_id["a0"][number["audio"]] == 0.0
    assert by_id["b1"][number["audio"]] == pytest.approx(1.0)
    assert by_id["c0"] == [0.0] * 3
    assert all(sum(row) == pytest.approx(1.0) for utterance, row in by_id.items() if utterance != "c0")
    assert not shares[:, ~batch.mask].any()


def test_the_loss_is_made_of_the_fused_answer_the_modalities_and_their_divergence() -> None:
    model, batch = make(2, distillation_weight=0.5), batch_of(SPEC, 2, [["a0"]], labels={"a0": 1})
    fused = torch.tensor([[[math.log(3.0), 0.0, -1e4, -1e4]]])
    own = torch.tensor([[[0.0, 0.0, -1e4, -1e4]]])
    there = torch.tensor([[True]])
    auxiliary = {f"logits.{name}": own for name in ("text", "audio")}
    auxiliary |= {"present.text": there, "present.audio": ~there}

    terms = {name: float(term) for name, term in model.loss(ModelOutput(fused, auxiliary), batch).items()}

    assert terms["classification"] == pytest.approx(math.log(4.0))
    assert terms["modalities"] == pytest.approx(math.log(2.0))  # audio is absent
    assert terms["distillation"] == pytest.approx(0.5 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


def test_the_fused_answer_learns_from_the_distillation_too() -> None:
    model = make()
    batch = batch_of(SPEC, 3, labels=all_labels())

    model.loss(model(batch), batch)["distillation"].backward()

    assert bool(model.head.weight.grad.any())
    assert all(bool(head[2].weight.grad.any()) for head in model.heads.values())


def test_the_order_of_turns_counts() -> None:
    model, batch = make(), batch_of(SPEC, 3, [["b0", "b1", "b2"]])
    backwards = batch_of(SPEC, 3, [["b2", "b1", "b0"]])

    with torch.no_grad():
        difference = model(batch).logits - model(backwards).logits.flip(1)

    assert float(difference.abs().max()) > 1e-3


def with_another_end(batch: Batch, first: int) -> Batch:
    """Return the batch with other features from a turn on."""
    inputs = {}
    for name, padded in batch.inputs.items():
        data = padded.data.clone()
        data[:, first:] = torch.randn(*data[:, first:].shape[:-1], DIM, generator=torch.Generator().manual_seed(7))
        inputs[name] = Padded(data, padded.mask)
    return dataclasses.replace(batch, inputs=inputs)


@pytest.mark.parametrize("causal", [True, False])
def test_only_a_causal_model_never_reads_the_future(causal: bool) -> None:
    model, batch = make(causal=causal), batch_of(SPEC, 3, [["b0", "b1", "b2", "b3", "b4"]])

    with torch.no_grad():
        difference = (model(batch).logits - model(with_another_end(batch, 3)).logits)[:, :3].abs().max()

    assert (float(difference) <= 1e-6) == causal


def test_speakers_count() -> None:
    model, batch = make(), batch_of(SPEC, 3, [["b0", "b1", "b2"]])
    one = dataclasses.replace(batch, speakers=torch.zeros_like(batch.speakers))

    assert not torch.equal(model(batch).logits, model(one).logits)


def test_a_dim_that_heads_do_not_divide_is_an_error_of_the_recipe() -> None:
    with pytest.raises(ValidationError, match=r"dim \(100\) must be a multiple of heads \(8\)"):
        SPEC.config(dim=100)
