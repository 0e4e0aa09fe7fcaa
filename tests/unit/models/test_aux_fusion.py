"""What is particular to auxiliary-task fusion; what holds for every model is in tests/contract."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.contract.fakes import CLASSES, DIM, FakeEncoder, all_labels, batch_of
from torch import Tensor

from merkit.core.batch import Batch, Padded
from merkit.core.errors import ConfigError
from merkit.models import aux_fusion
from merkit.models.aux_fusion import SPEC, AuxFusion
from merkit.nn.losses import build_criterion
from merkit.nn.pooling import masked_mean

NAMES = ("text", "audio")
READINGS = ("own_label", "same_emotion_swap", "emotion_match")
SMALL = {"dim": 16, "heads": 2, "feed_forward": 24, "dropout": 0.0}


def make(classes: int = CLASSES, **settings: Any) -> AuxFusion:
    torch.manual_seed(0)
    encoders = {modality: FakeEncoder(modality) for modality in NAMES}
    model = SPEC.build(encoders, classes, SPEC.config(**{**SMALL, **settings})).eval()
    model.criterion = build_criterion("cross_entropy", [1] * classes)
    assert isinstance(model, AuxFusion)
    return model


def labelled(**settings: Any) -> Batch:
    return batch_of(SPEC, 2, labels=all_labels(), **settings)


def with_labels(batch: Batch, labels: Sequence[int]) -> Batch:
    return dataclasses.replace(batch, labels=torch.tensor(labels))


def losses(model: AuxFusion, batch: Batch) -> dict[str, Tensor]:
    return model.loss(model(batch), batch)


def fixed_partners(monkeypatch: pytest.MonkeyPatch, partners: Sequence[int]) -> None:
    found = torch.ones(len(partners), dtype=torch.bool)
    monkeypatch.setattr(aux_fusion, "draw_partners", lambda allowed: (torch.tensor(partners), found))


# the network


def test_without_layers_it_is_concatenation_and_one_linear_layer() -> None:
    model, batch = make(layers=0), batch_of(SPEC, 2, garbage=0.0)

    means = []
    for name in NAMES:
        frames = model.encoders[name](batch.inputs[name])
        means.append(masked_mean(frames.data, frames.mask))
    expected = torch.cat(means, dim=-1) @ model.head[1].weight.T + model.head[1].bias

    assert model.head[1].weight.shape == (CLASSES, 12 + 10)
    torch.testing.assert_close(model(batch).logits, expected)


@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("feed_forward", [0, 24])
def test_the_layers_keep_the_streams_shapes(layers: int, feed_forward: int) -> None:
    model, batch = make(layers=layers, feed_forward=feed_forward), batch_of(SPEC, 2)
    found = model(batch).auxiliary
    streams = {name: Padded(found[f"stream.{name}"], found[f"stream_mask.{name}"]) for name in NAMES}

    fused = model.fusion(streams)

    assert len(model.fusion.layers) == layers
    for name in NAMES:
        assert fused[name].data.shape == streams[name].data.shape
        assert torch.equal(fused[name].mask, batch.inputs[name].mask)
        assert torch.equal(fused[name].data, streams[name].data) is (layers == 0)


def test_one_layer_without_a_position_wise_network_is_its_equation() -> None:
    # A_1 = LN(A_0 + MHA(q = A_0, kv = T_0)), T_1 = LN(T_0 + MHA(q = T_0, kv = A_0)): both read the layer before
    model, batch = make(layers=1, feed_forward=0), batch_of(SPEC, 2)
    found = model(batch).auxiliary
    streams = {name: Padded(found[f"stream.{name}"], found[f"stream_mask.{name}"]) for name in NAMES}

    fused = model.fusion(streams)

    for name, other in (("text", "audio"), ("audio", "text")):
        block, a, b = model.fusion.layers[0][name], streams[name].data, streams[other]
        expected = block.attention_norm(a + block.attention(a, b.data, b.mask))
        torch.testing.assert_close(fused[name].data, expected)


def test_exchanging_the_inputs_and_both_streams_weights_changes_nothing() -> None:
    torch.manual_seed(0)
    model = make(layers=2, auxiliary=[])
    other = SPEC.build(
        {"text": FakeEncoder("audio"), "audio": FakeEncoder("text")},
        CLASSES,
        SPEC.config(**SMALL, layers=2, auxiliary=[]),
    ).eval()
    swapped = {}
    for key, tensor in model.state_dict().items():
        parts = [{"text": "audio", "audio": "text"}.get(part, part) for part in key.split(".")]
        swapped[".".join(parts)] = torch.cat(tensor.chunk(2, dim=1)[::-1], dim=1) if key == "head.1.weight" else tensor
    other.load_state_dict(swapped, strict=True)
    batch = batch_of(SPEC, 2, absent={("a0", "text"), ("b1", "audio")})
    crossed = dataclasses.replace(
        batch,
        inputs={"text": batch.inputs["audio"], "audio": batch.inputs["text"]},
        present={"text": batch.present["audio"], "audio": batch.present["text"]},
    )

    torch.testing.assert_close(other(crossed).logits, model(batch).logits)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_attention_weights_sum_to_one_and_padded_keys_get_nothing(layer: int, name: str) -> None:
    attention = make(layers=2).fusion.layers[layer][name].attention
    places, part = 5, 16 // 2
    with torch.no_grad():  # values that name their place in every head make the result the weights themselves
        for linear in (attention.value, attention.output):
            linear.weight.copy_(torch.eye(16))
            linear.bias.zero_()
    source = torch.eye(places, part).repeat(1, 2).unsqueeze(0)
    mask = torch.tensor([[True, True, False, True, False]])

    weights = attention(torch.randn(1, 3, 16), source, mask).view(3, 2, part)[..., :places]

    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2))
    assert not weights[..., ~mask[0]].any()
    assert (weights[..., mask[0]] > 0).all()


def test_padded_steps_never_reach_the_pooled_vectors() -> None:
    model, found = make(layers=2), make(layers=2)(batch_of(SPEC, 2, more_time=2)).auxiliary
    streams = {}
    for name in NAMES:
        mask = found[f"stream_mask.{name}"]
        data = found[f"stream.{name}"].detach().masked_fill(~mask.unsqueeze(-1), 50.0).requires_grad_()
        streams[name] = Padded(data, mask)

    fused = model.fusion(streams)
    for name in NAMES:
        vector = model.pooled[name](fused[name].data, fused[name].mask, fused[name].mask.any(dim=-1))
        torch.testing.assert_close(vector, found[f"fused.{name}"])
        vector.square().sum().backward(retain_graph=True)

    for stream in streams.values():
        assert stream.data.grad is not None
        assert not stream.data.grad[~stream.mask].any()
        assert (stream.data.grad[stream.mask].abs().sum(dim=-1) > 0).all()


def test_first_takes_the_texts_first_step_and_the_means_of_the_rest() -> None:
    model, batch = make(layers=2, text_pooling="first"), batch_of(SPEC, 2)

    found = model(batch).auxiliary

    fused = model.fusion({n: Padded(found[f"stream.{n}"], found[f"stream_mask.{n}"]) for n in NAMES})
    torch.testing.assert_close(found["fused.text"], fused["text"].data[:, 0])
    torch.testing.assert_close(found["fused.audio"], masked_mean(fused["audio"].data, fused["audio"].mask))


def test_an_answer_does_not_depend_on_the_others_of_the_batch() -> None:
    model, batch = make(layers=2), batch_of(SPEC, 2)
    inputs = {
        name: Padded(torch.cat([padded.data[:1], -3 * padded.data[1:].flip(0)]), padded.mask)
        for name, padded in batch.inputs.items()
    }

    found, other = model(batch).logits, model(dataclasses.replace(batch, inputs=inputs)).logits

    torch.testing.assert_close(found[0], other[0])
    assert (found[1:] - other[1:]).abs().max() > 1e-2


@pytest.mark.parametrize("missing", NAMES)
def test_what_is_absent_is_a_learned_vector_and_is_not_read(missing: str) -> None:
    model = make(layers=2)
    (there,) = set(NAMES) - {missing}
    batch = batch_of(SPEC, 2, absent={("a0", missing)})

    found = model(batch).auxiliary

    torch.testing.assert_close(found[f"fused.{missing}"][0], model.pooled[missing].absent)
    alone = found[f"stream.{there}"][:1]  # LN(x + 0), then the position-wise network, layer by layer
    for layer in model.fusion.layers:
        block = layer[there]
        alone = block.attention_norm(alone)
        alone = block.feed_forward_norm(alone + block.feed_forward(alone))
    torch.testing.assert_close(found[f"fused.{there}"][:1], masked_mean(alone, found[f"stream_mask.{there}"][:1]))


def test_modality_dropout_takes_a_stream_away_in_training_only() -> None:
    model, batch = make(layers=1, modality_dropout=0.9), batch_of(SPEC, 2)
    torch.manual_seed(0)

    model.train()
    taken = [~model(batch).auxiliary[f"stream_mask.{name}"].any(dim=-1) for name in NAMES]
    model.eval()
    kept = [model(batch).auxiliary[f"stream_mask.{name}"].any(dim=-1) for name in NAMES]

    assert (taken[0] | taken[1]).any()
    assert not (taken[0] & taken[1]).any()
    assert all(there.all() for there in kept)


# the auxiliary tasks


def test_the_identity_reproduces_the_clean_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = labelled()
    fixed_partners(monkeypatch, range(len(batch.ids)))

    found = losses(make(layers=2, auxiliary=["same_emotion_swap"], same_emotion_swap_weight=1.0), batch)

    torch.testing.assert_close(found["same_emotion_swap"], found["classification"], rtol=1e-6, atol=1e-6)


def test_a_recombined_pair_is_the_clean_pair_of_those_two_utterances(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make(layers=2, auxiliary=["own_label"], own_label_weight=1.0), labelled()
    order = torch.randperm(len(batch.ids), generator=torch.Generator().manual_seed(3))
    fixed_partners(monkeypatch, order.tolist())
    crossed = dataclasses.replace(  # audio of the partner with its mask, text as it was
        batch,
        inputs={
            "text": batch.inputs["text"],
            "audio": Padded(batch.inputs["audio"].data[order], batch.inputs["audio"].mask[order]),
        },
    )
    assert batch.labels is not None

    vectors = model(crossed).auxiliary
    expected = torch.nn.functional.cross_entropy(model.own_heads["text"](vectors["fused.text"]), batch.labels)
    expected += torch.nn.functional.cross_entropy(model.own_heads["audio"](vectors["fused.audio"]), batch.labels[order])

    torch.testing.assert_close(losses(model, batch)["own_label"], expected)


def test_only_the_layers_run_again_once_for_each_task() -> None:
    model, batch = make(layers=1, auxiliary=READINGS), labelled()
    runs = {"encoders": 0, "fusion": 0}

    def count(name: str) -> Any:
        def hook(*_: object) -> None:
            runs[name] += 1

        return hook

    for encoder in model.encoders.values():
        encoder.register_forward_hook(count("encoders"))
    model.fusion.register_forward_hook(count("fusion"))
    losses(model, batch)

    assert runs == {"encoders": 2, "fusion": 1 + 3}


@pytest.mark.parametrize(
    "switched_off", [{"auxiliary": []}, dict.fromkeys((f"{name}_weight" for name in READINGS), 0.0)]
)
def test_tasks_that_are_off_leave_loss_gradients_and_draws_as_they_were(switched_off: dict[str, Any]) -> None:
    batch, model = labelled(), make(layers=2, **{"auxiliary": READINGS, **switched_off})
    plain = make(layers=2)
    state = torch.random.get_rng_state()

    found = losses(model, batch)
    torch.stack(list(found.values())).sum().backward()
    assert batch.labels is not None
    torch.nn.functional.cross_entropy(plain(batch).logits, batch.labels).backward()

    assert set(found) == {"classification"}
    assert torch.equal(torch.random.get_rng_state(), state)
    expected = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        other = expected[name].grad
        assert (parameter.grad is None) == (other is None), name
        assert other is None or torch.allclose(parameter.grad, other, atol=1e-7), name
    assert not set(dict(model.named_parameters())) & {"match_head.1.weight", "own_heads.text.1.weight"}


@pytest.mark.parametrize("reading", READINGS)
def test_each_task_alone_reaches_encoders_and_every_layer_but_not_the_main_head(reading: str) -> None:
    model = make(layers=3, auxiliary=[reading])

    losses(model.train(), labelled())[reading].backward()

    for name, parameter in model.named_parameters():
        if name.startswith(("encoders.", "fusion.", "projection.", "own_heads.", "match_head.")):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        elif name.startswith("head."):
            assert parameter.grad is None, name


@pytest.mark.parametrize(("reading", "expected"), [("own_label", 2 * math.log(4)), ("emotion_match", math.log(2))])
def test_heads_of_zeros_guess(reading: str, expected: float) -> None:
    model = make(layers=1, auxiliary=[reading], own_label_weight=1.0, emotion_match_weight=1.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("own_heads.", "match_head.")):
                parameter.zero_()

    assert float(losses(model, labelled())[reading].detach()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reading", READINGS)
def test_a_weight_multiplies_its_task(reading: str) -> None:
    def found(weight: float) -> float:
        model = make(layers=1, auxiliary=[reading], **{f"{reading}_weight": weight})
        batch = labelled()
        torch.manual_seed(1)
        return float(losses(model, batch)[reading].detach())

    assert found(0.25) == pytest.approx(found(1.0) / 4)
    assert found(1.0) > 0.0


def test_a_batch_of_singletons_gives_a_swap_loss_of_exactly_zero() -> None:
    model = make(classes=11, layers=1, auxiliary=["same_emotion_swap"])

    loss = losses(model, with_labels(labelled(), range(11)))["same_emotion_swap"]
    loss.backward()

    assert float(loss.detach()) == 0.0
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("reading", READINGS)
def test_a_batch_of_one_gives_zero(reading: str) -> None:
    model = make(layers=1, auxiliary=[reading])

    found = losses(model, batch_of(SPEC, 2, [["c0"]], labels=all_labels()))

    assert float(found[reading].detach()) == 0.0


def test_utterances_without_a_partner_are_divided_out() -> None:
    # two of one class and nine of classes of their own: the mean is over the two, whose partners are each other
    model = make(classes=11, layers=1, auxiliary=["same_emotion_swap"], same_emotion_swap_weight=1.0)
    batch = with_labels(labelled(), [0, *range(10)])
    assert batch.labels is not None
    crossed = dataclasses.replace(
        batch,
        inputs={
            "text": batch.inputs["text"],
            "audio": Padded(
                *(part[[1, 0, *range(2, 11)]] for part in (batch.inputs["audio"].data, batch.inputs["audio"].mask))
            ),
        },
    )

    expected = torch.nn.functional.cross_entropy(model(crossed).logits[:2], batch.labels[:2])

    torch.testing.assert_close(losses(model, batch)["same_emotion_swap"], expected)


@pytest.mark.parametrize("reading", READINGS)
def test_only_utterances_with_both_streams_and_a_label_take_part(reading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = labelled(absent={("a0", "text"), ("b1", "audio")})
    assert batch.labels is not None
    labels = batch.labels.clone()
    labels[batch.ids.index("c0")] = -100
    seen: list[Tensor] = []
    drawn = aux_fusion.draw_partners
    monkeypatch.setattr(aux_fusion, "draw_partners", lambda allowed: (seen.append(allowed), drawn(allowed))[1])

    losses(make(layers=1, auxiliary=[reading]), dataclasses.replace(batch, labels=labels))

    (allowed,) = seen
    out = [batch.ids.index(name) for name in ("a0", "b1", "c0")]
    assert not allowed[out].any()
    assert not allowed[:, out].any()
    assert allowed.any()


def test_partners_for_own_labels_are_any_others_so_that_they_say_nothing_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Tensor] = []
    drawn = aux_fusion.draw_partners
    monkeypatch.setattr(aux_fusion, "draw_partners", lambda allowed: (seen.append(allowed), drawn(allowed))[1])

    losses(make(layers=1, auxiliary=["own_label"]), labelled())

    assert torch.equal(seen[0], ~torch.eye(11, dtype=torch.bool))


def test_half_of_the_pairs_to_match_are_of_one_emotion() -> None:
    model, batch = make(classes=2, layers=1, auxiliary=["emotion_match"], emotion_match_weight=1.0), labelled()
    batch = with_labels(batch, [0] * 5 + [1] * 6)
    assert model.match_head is not None
    with torch.no_grad():
        model.match_head[1].weight.zero_()
        model.match_head[1].bias.fill_(math.log(3))  # says 3/4: a match costs -log 3/4, another pair -log 1/4
    torch.manual_seed(0)

    costs = [float(losses(model, batch)["emotion_match"].detach()) for _ in range(100)]

    matches = (sum(costs) / 100 + math.log(1 / 4)) / math.log(1 / 3)
    assert matches == pytest.approx(0.5, abs=0.06)  # 1,100 draws: a standard error of 1.5 points


# settings


def test_mistaken_settings_are_told() -> None:
    with pytest.raises(ValidationError, match=r"dim \(10\) must be a multiple of heads \(4\)"):
        SPEC.config(dim=10, heads=4)
    with pytest.raises(ValidationError, match="auxiliary names a task twice"):
        SPEC.config(auxiliary=["own_label", "own_label"])
    encoders = {"audio": FakeEncoder("audio"), "video": FakeEncoder("video")}
    with pytest.raises(ConfigError, match="there is no text, only audio and video"):
        SPEC.build(encoders, 4, SPEC.config(text_pooling="first"))


# planted data


def planted(
    text: Tensor, audio: Tensor, labels: Tensor, *, seed: int, noise: dict[str, float], absent: str | None = None
) -> Batch:
    """Return utterances of 3 to 5 frames in which a number ``[items]`` stands along a direction of its modality."""
    generator = torch.Generator().manual_seed(seed)
    inputs, present = {}, {}
    for place, (name, values) in enumerate((("text", text), ("audio", audio))):
        data = noise[name] * torch.randn(len(labels), 5, DIM, generator=generator)
        data[..., place] += values.unsqueeze(1)
        mask = torch.arange(5) < torch.randint(3, 6, (len(labels), 1), generator=generator)
        mask = mask & (absent != name)
        inputs[name], present[name] = Padded(data, mask), mask.any(dim=-1)
    mask = torch.ones(len(labels), dtype=torch.bool)
    return Batch(tuple(map(str, range(len(labels)))), mask, inputs, present, torch.zeros_like(labels), labels)


def rows(batch: Batch, chosen: Tensor) -> Batch:
    assert batch.labels is not None
    return Batch(
        tuple(batch.ids[index] for index in chosen.tolist()),
        batch.mask[chosen],
        {name: Padded(padded.data[chosen], padded.mask[chosen]) for name, padded in batch.inputs.items()},
        {name: there[chosen] for name, there in batch.present.items()},
        batch.speakers[chosen],
        batch.labels[chosen],
    )


def trained(batch: Batch, *, steps: int = 150, seed: int = 0, **settings: Any) -> AuxFusion:
    model = make(classes=2, **{"layers": 1, **settings}).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    torch.manual_seed(seed)
    for _ in range(steps):
        part = rows(batch, torch.randperm(len(batch.ids))[:32])
        optimizer.zero_grad()
        torch.stack(list(losses(model, part).values())).sum().backward()
        optimizer.step()
    return model.eval()


def accuracy(model: AuxFusion, batch: Batch) -> float:
    with torch.no_grad():
        return float((model(batch).logits.argmax(dim=-1) == batch.labels).float().mean())


def signs(items: int, seed: int) -> tuple[Tensor, Tensor]:
    drawn = torch.randint(0, 2, (2, items), generator=torch.Generator().manual_seed(seed))
    return drawn[0], drawn[1]


def exclusive_or(items: int, seed: int, absent: str | None = None) -> Batch:
    text, audio = signs(items, seed)
    noise = {"text": 0.5, "audio": 0.5}
    return planted(2.0 * text - 1, 2.0 * audio - 1, text ^ audio, seed=seed, noise=noise, absent=absent)


@pytest.mark.parametrize("auxiliary", [[], ["own_label"]])
def test_it_learns_an_exclusive_or_of_its_streams(auxiliary: list[str]) -> None:
    # not with same_emotion_swap: a pair of two utterances of one label is of any label here
    model = trained(exclusive_or(600, 1), steps=300, auxiliary=auxiliary)

    assert accuracy(model, exclusive_or(400, 2)) >= 0.95


@pytest.mark.parametrize("case", ["text", "audio", "concatenation"])
def test_one_stream_and_a_sum_of_streams_stay_at_chance_on_an_exclusive_or(case: str) -> None:
    absent = {"text": "audio", "audio": "text"}.get(case)

    model = trained(exclusive_or(600, 1, absent), auxiliary=[], layers=0 if absent is None else 1)

    # 0.5, and at most what 400 test utterances give by chance: four standard errors of 2.5 points
    assert accuracy(model, exclusive_or(400, 2, absent)) == pytest.approx(0.5, abs=0.1)


def test_own_label_does_not_cost_accuracy_where_the_sufficient_stream_turns_to_noise() -> None:
    def easy_audio(items: int, seed: int, *, spoilt: bool) -> Batch:
        label = signs(items, seed)[0]
        sign = 2.0 * label - 1
        heard = 0 * sign if spoilt else 2 * sign
        return planted(sign, heard, label, seed=seed, noise={"text": 1.0, "audio": 0.5})

    train, test = easy_audio(300, 1, spoilt=False), easy_audio(400, 2, spoilt=True)
    found = {}
    for tasks in ((), ("own_label",)):
        models = [trained(train, steps=80, seed=seed, auxiliary=list(tasks), own_label_weight=1.0) for seed in range(2)]
        found[tasks] = [accuracy(model, test) for model in models]

    assert sum(found[("own_label",)]) >= sum(found[()]), found
