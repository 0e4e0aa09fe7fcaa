"""What is particular to CMATH; what holds for every model is in tests/contract, Gaussians in unit/nn."""

import cmath
import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.contract.fakes import CLASSES, CONVERSATIONS, DIM, FakeEncoder, all_labels, batch_of
from torch import Tensor

from merkit.core.batch import Batch, ModelOutput, Padded
from merkit.core.errors import ConfigError
from merkit.core.types import MODALITIES
from merkit.models._cmath_networks import CentralBranch, Reconstruction, reconstruction_error
from merkit.models.cmath import SPEC, Cmath
from merkit.nn.losses import build_criterion
from merkit.nn.pooling import mean_of_real

SMALL = {"hidden_size": 24, "dim": 16, "heads": 4, "feed_forward": 16}
CALM = {"dropout": 0.0, "modality_dropout": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "pointwise": {"kernel": 1},
    "no skip": {"skip": "none"},
    "outer skip": {"skip": "outer"},
    "without reconstruction": {"reconstruction": False},
    "without positions and speakers": {"positions": False, "speakers": 0},
    "symmetric": {"interaction": "symmetric"},
    "text central": {"centre": "text"},
    "concatenated auxiliaries": {"auxiliaries": "concatenated"},
    "two layers": {"layers": 2},
    "product of experts": {"posterior": "experts"},
    "without variation": {"posterior": "none"},
    "teacher learns": {"detach_teacher": False},
    "without branches' losses": {"branch_weight": 0.0},
    "without predictions": {"prediction_weight": 0.0},
    "without latents": {"latent_weight": 0.0},
}
variants = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())


class PlainEncoder(FakeEncoder):
    """Hands on what it is given, garbage in padded places included."""

    def __init__(self, modality: str) -> None:
        super().__init__(modality)
        self.dim = DIM
        del self.project

    def forward(self, padded: Padded) -> Padded:
        return padded


def make(modalities: Sequence[str] = MODALITIES, seed: int = 0, **settings: Any) -> Cmath:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoders = {modality: PlainEncoder(modality) for modality in modalities}
        model = SPEC.build(encoders, CLASSES, SPEC.config(**{**SMALL, **settings})).eval()
    model.criterion = build_criterion("cross_entropy", [1] * CLASSES)
    assert isinstance(model, Cmath)
    return model


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


def with_data(batch: Batch, data: Mapping[str, Tensor]) -> Batch:
    inputs = {name: Padded(data[name], padded.mask) for name, padded in batch.inputs.items()}
    return dataclasses.replace(batch, inputs=inputs)


def terms_of(model: Cmath, batch: Batch) -> dict[str, Tensor]:
    return model.loss(model(batch), batch)


# 1: batch mates and padding


@variants
def test_a_conversation_alone_and_beside_a_longer_one(settings: dict[str, Any]) -> None:
    model = make(**settings)

    with torch.no_grad():
        alone = model(batch_of(SPEC, 3, [names("x", 5)])).logits[0]
        beside = model(batch_of(SPEC, 3, [names("x", 5), names("y", 9)])).logits[0, :5]

    assert float((alone - beside).abs().max()) < 1e-6


@variants
def test_garbage_in_padded_places_changes_not_a_bit(settings: dict[str, Any]) -> None:
    model = make(**settings)
    conversations = [names("x", 5), names("y", 9)]
    absent = {("x1", "audio"), ("y3", "text")}

    with torch.no_grad():
        first, second = (
            model(batch_of(SPEC, 3, conversations, garbage=garbage, absent=absent)) for garbage in (0.0, 99.0)
        )

    mask = batch_of(SPEC, 3, conversations).mask
    assert torch.equal(first.logits[mask], second.logits[mask])


# 2: reconstruction


def test_the_reconstruction_error_is_the_square_of_a_constant_offset() -> None:
    data, mask = torch.randn(2, 4, 3), torch.tensor([[True] * 4, [True, False, False, False]])
    garbage = torch.where(mask.unsqueeze(-1), data + 0.5, 99.0)

    assert float(mean_of_real(reconstruction_error(data, data), mask)) == 0.0
    assert float(mean_of_real(reconstruction_error(data + 0.5, data), mask)) == pytest.approx(0.25, abs=1e-6)
    assert float(mean_of_real(reconstruction_error(garbage, data), mask)) == pytest.approx(0.25, abs=1e-6)


def test_the_encoder_is_not_asked_to_make_reconstruction_easier() -> None:
    data = torch.randn(1, 2, 3, requires_grad=True)

    assert not reconstruction_error(torch.zeros(1, 2, 3), data).requires_grad


def bottleneck_gain(skip: str) -> tuple[float, float]:
    """Train a U-Net for a while; return its error, and the one with the inner level put to zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Reconstruction(12, 6, 4, kernel=3, skip=skip, causal=False)
        data, mask = torch.randn(8, 10, 4) @ torch.randn(4, 12), torch.ones(8, 10, dtype=torch.bool)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            reconstruction_error(network(data, mask)[1], data).mean().backward()
            optimizer.step()
    with torch.no_grad():
        outer, inner = network.encode(data, mask)
        full = reconstruction_error(network.decode(data, outer, inner, mask), data).mean()
        without = reconstruction_error(network.decode(data, outer, torch.zeros_like(inner), mask), data).mean()
    return float(full), float(without)


def test_only_an_outer_skip_lets_reconstruction_do_without_the_compressed_representation() -> None:
    inner, none, outer = bottleneck_gain("inner"), bottleneck_gain("none"), bottleneck_gain("outer")

    assert inner[1] > 2 * inner[0]
    assert none[1] > 2 * none[0]
    assert outer[1] - outer[0] < 0.1 * (inner[1] - inner[0])


# 3: who is central


def streams(seed: int = 0, turns: int = 4) -> dict[str, Padded]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(1, turns, dtype=torch.bool)
    return {name: Padded(torch.randn(1, turns, 8, generator=generator), mask) for name in MODALITIES}


def branch(centre: str, concatenated: bool = False, layers: int = 1) -> CentralBranch:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CentralBranch(centre, MODALITIES, 8, 2, layers=layers, hidden=8, dropout=0.0, concatenated=concatenated)


@pytest.mark.parametrize("concatenated", [False, True])
def test_a_branch_depends_on_its_auxiliaries_through_cross_attention_only(concatenated: bool) -> None:
    network, here = branch("text", concatenated), streams()
    there = {**streams(1), "text": here["text"]}

    assert not torch.equal(network(here, None)[0], network(there, None)[0])
    with torch.no_grad():
        for layer in network.layers:
            for reader in layer.readers.values():
                reader.output.weight.zero_()
                reader.output.bias.zero_()
    assert torch.equal(network(here, None)[0], network(there, None)[0])


def test_centre_and_auxiliary_are_not_the_same() -> None:
    network, here = branch("text"), streams()
    swapped = {**here, "text": here["audio"], "audio": here["text"]}

    assert not torch.allclose(network(here, None)[0], network(swapped, None)[0], atol=1e-3)


def test_auxiliaries_are_read_and_never_changed() -> None:
    network, here = branch("text", layers=2), streams()
    kept = {name: stream.data.clone() for name, stream in here.items()}

    network(here, None)

    assert all(torch.equal(here[name].data, data) for name, data in kept.items())


@pytest.mark.parametrize(("bias", "opened"), [(-100.0, 0.0), (100.0, 1.0)])
def test_a_gate_opens_and_closes_what_an_auxiliary_gives(bias: float, opened: float) -> None:
    network, here = branch("text"), streams()
    with torch.no_grad():
        for gate in network.layers[0].gates.values():
            gate.weight.zero_()
            gate.bias.fill_(bias)

    data, gates = network(here, None)

    layer, text = network.layers[0], here["text"].data
    own = text + layer.own(layer.own_norm(text), layer.own_norm(text), here["text"].mask)
    query = layer.query_norm(own)
    for name in ("audio", "video"):
        read = layer.readers[name](query, layer.norms[name](here[name].data), here[name].mask)
        own = own + opened * read
    torch.testing.assert_close(data, own + layer.feed_forward(layer.feed_forward_norm(own)))
    assert all(bool((gate == opened).all()) for gate in gates.values())


# 4: order


def permuted(batch: Batch, order: Tensor) -> Batch:
    return dataclasses.replace(
        batch,
        inputs={name: Padded(padded.data[:, order], padded.mask[:, order]) for name, padded in batch.inputs.items()},
        present={name: there[:, order] for name, there in batch.present.items()},
        speakers=batch.speakers[:, order],
    )


@pytest.mark.parametrize("interaction", ["asymmetric", "symmetric"])
def test_only_the_position_code_knows_the_order_of_turns(interaction: str) -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    batch = batch_of(SPEC, 3, [names("x", 6)])

    def difference(positions: bool) -> float:
        model = make(kernel=1, positions=positions, interaction=interaction)
        with torch.no_grad():
            return float((model(batch).logits[:, order] - model(permuted(batch, order)).logits).abs().max())

    assert difference(positions=False) <= 4e-7
    assert difference(positions=True) > 1e-3


def test_a_convolution_over_neighbours_knows_the_order_too() -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    batch, model = batch_of(SPEC, 3, [names("x", 6)]), make(positions=False)

    assert not torch.allclose(model(batch).logits[:, order], model(permuted(batch, order)).logits, atol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
@variants
def test_only_a_causal_model_never_reads_the_future(settings: dict[str, Any], causal: bool) -> None:
    model, batch = make(**settings, causal=causal), batch_of(SPEC, 3, [names("x", 6)])
    later = {name: torch.cat([one.data[:, :4], one.data[:, 4:] + 1.0], dim=1) for name, one in batch.inputs.items()}

    with torch.no_grad():
        first, second = model(batch), model(with_data(batch, later))

    def past_changes(one: Tensor, other: Tensor) -> bool:
        return float((one - other)[:, :4].abs().max()) > 1e-6

    assert past_changes(first.logits, second.logits) != causal
    errors = [output.auxiliary.get("reconstruction.text") for output in (first, second)]
    assert not (causal and errors[0] is not None and past_changes(*errors))


# 7: sampling


def test_answers_are_drawn_in_training_and_certain_otherwise() -> None:
    model, batch = make(**CALM), batch_of(SPEC, 3)

    assert torch.equal(model(batch).logits, model(batch).logits)
    model.train()
    assert not torch.equal(model(batch).logits, model(batch).logits)


def test_without_variation_nothing_is_drawn() -> None:
    model, batch = make(posterior="none", **CALM).train(), batch_of(SPEC, 3)

    assert torch.equal(model(batch).logits, model(batch).logits)


def test_the_answers_loss_reaches_the_coarse_variance() -> None:
    model, batch = make(**CALM).train(), batch_of(SPEC, 3, labels=all_labels())

    terms_of(model, batch)["classification"].backward()

    rows = model.fusion.network[3].weight.grad[SMALL["dim"] :]
    assert bool(rows.any())


def test_variances_are_bounded() -> None:
    model, batch = make(), batch_of(SPEC, 3)
    with torch.no_grad():
        model.fusion.network[3].weight.mul_(1e4)

    log_variance = model(batch).auxiliary["log_variance"]

    assert float(log_variance.detach().abs().max()) == 8.0


# 8: distillation


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("posterior", ["network", "experts"])
def test_a_detached_teacher_learns_nothing_from_its_pupils(detached: bool, posterior: str) -> None:
    settings = {"posterior": posterior, "detach_teacher": detached}
    model, batch = make(**CALM, **settings).train(), batch_of(SPEC, 3, labels=all_labels())

    terms = terms_of(model, batch)
    (terms["predictions"] + terms["latents"]).backward()

    teacher = [*model.head.parameters(), *(() if model.fusion.network is None else model.fusion.network.parameters())]
    assert all((one.grad is None or not one.grad.any()) == detached for one in teacher)
    pupils = [*model.heads.parameters(), *model.fusion.fine.parameters()]
    assert all(bool(one.grad.any()) for one in pupils)


def test_the_terms_are_those_of_the_equations() -> None:
    model = make(["text", "audio"], temperature=2.0)
    batch = batch_of(SPEC, 2, [["a0"]], labels={"a0": 0})
    there, zero = torch.tensor([[True]]), torch.zeros(1, 1, 1)
    own = torch.tensor([[[0.0, 0.0, -1e5, -1e5]]])
    fused = torch.tensor([[[2 * math.log(3.0), 0.0, -1e5, -1e5]]])
    auxiliary = {"embedding": zero + 1.0, "log_variance": zero + math.log(0.25)}
    for name, counts in (("text", there), ("audio", ~there)):
        auxiliary |= {f"branch.{name}": counts, f"present.{name}": counts, f"logits.{name}": own}
        auxiliary |= {f"embedding.{name}": zero - 1.0, f"log_variance.{name}": zero + math.log(2.0)}
        auxiliary[f"reconstruction.{name}"] = torch.tensor([[3.0]])

    terms = {name: float(term) for name, term in model.loss(ModelOutput(fused, auxiliary), batch).items()}

    assert terms == {
        "classification": pytest.approx(math.log(10.0 / 9.0)),
        "branches": pytest.approx(math.log(2.0)),
        "predictions": pytest.approx(4.0 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))),
        "latents": pytest.approx(1e-3 * 1.602221),
        "prior": pytest.approx(1e-3 * (0.5 * (0.25 - math.log(0.25) - 1.0) + 0.5)),
        "reconstruction": pytest.approx(0.1 * 3.0),
    }


def test_a_term_of_weight_0_is_left_out() -> None:
    batch = batch_of(SPEC, 3, labels=all_labels())
    weights = ("branch", "prediction", "latent", "prior", "reconstruction")

    everything = set(terms_of(make(), batch))
    nothing = set(terms_of(make(**{f"{name}_weight": 0.0 for name in weights}), batch))

    assert everything == {"classification", "branches", "predictions", "latents", "prior", "reconstruction"}
    assert nothing == {"classification"}
    assert set(terms_of(make(posterior="none", reconstruction=False), batch)) == {
        "classification",
        "branches",
        "predictions",
    }


def test_the_prior_warms_up() -> None:
    model, batch = make(prior_warmup=10), batch_of(SPEC, 3, labels=all_labels())

    def prior(epoch: int) -> float:
        model.start_epoch(epoch)
        return float(terms_of(model, batch)["prior"].detach())

    full = prior(10)
    assert full > 0.0
    assert prior(1) == pytest.approx(0.1 * full)
    assert prior(5) == pytest.approx(0.5 * full)
    assert prior(25) == full


# 9: it can learn


def fit(model: Cmath, batches: Iterable[Batch], rate: float = 0.005) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        for batch in batches:
            optimizer.zero_grad()
            torch.stack(list(terms_of(model, batch).values())).sum().backward()
            optimizer.step()
    model.eval()


def accuracy(logits: Tensor, batch: Batch) -> float:
    assert batch.labels is not None
    return float((logits.argmax(dim=-1) == batch.labels)[batch.mask].float().mean())


@variants
def test_four_conversations_are_learned_by_heart_with_all_terms_on(settings: dict[str, Any]) -> None:
    model, batch = make(**settings, **CALM), batch_of(SPEC, 3, CONVERSATIONS, labels=all_labels())

    for _ in range(12):
        fit(model, [batch] * 10)
        if accuracy(model(batch).logits, batch) >= 0.99:
            break

    assert accuracy(model(batch).logits, batch) >= 0.99


# 10: a planted stream


def planted(stream: str, seed: int, conversations: int = 12) -> Batch:
    """Return conversations of 8 turns whose labels stand in one stream; the others are noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = (conversations, 8)
    labels = torch.randint(0, CLASSES, shape, generator=generator)
    mask = torch.ones(shape, dtype=torch.bool)
    inputs = {}
    for name in MODALITIES:
        data = torch.randn(*shape, 1, DIM, generator=generator)
        if name == stream:
            data[..., 0, :CLASSES] += 3.0 * torch.nn.functional.one_hot(labels, CLASSES)
        inputs[name] = Padded(data, mask.unsqueeze(-1))
    return Batch(
        ids=tuple(str(number) for number in range(labels.numel())),
        mask=mask,
        inputs=inputs,
        present=dict.fromkeys(MODALITIES, mask),
        speakers=torch.arange(8).remainder(2).expand(shape).clone(),
        labels=labels,
    )


def gates_and_answers(model: Cmath, batch: Batch) -> Mapping[str, Tensor]:
    with torch.no_grad():
        return model(batch).auxiliary


@pytest.mark.parametrize("stream", ["text", "audio"])
def test_the_branch_of_a_planted_stream_leads_and_gates_of_noise_fall(stream: str) -> None:
    model, test = make(dropout=0.1, modality_dropout=0.0), planted(stream, 1_000_000, conversations=60)
    noise = [name for name in MODALITIES if name != stream]

    before = gates_and_answers(model, test)
    fit(
        model, (planted(stream, seed) for seed in range(150)), rate=0.005
    )  # always new: noise cannot be learned by heart
    after = gates_and_answers(model, test)

    scores = {name: accuracy(after[f"logits.{name}"], test) for name in MODALITIES}
    assert scores[stream] > 0.8
    assert scores[stream] > max(scores[name] for name in noise) + 0.1
    for name in noise:
        other = next(one for one in noise if one != name)
        assert float(after[f"gate.{stream}_{name}"].mean()) < float(before[f"gate.{stream}_{name}"].mean())
        assert float(after[f"gate.{name}_{stream}"].mean()) > float(after[f"gate.{name}_{other}"].mean())


# absence, subsets, figures, settings


@pytest.mark.parametrize("modalities", [s for n in (1, 2, 3) for s in itertools.combinations(MODALITIES, n)])
@pytest.mark.parametrize("posterior", ["network", "experts", "none"])
def test_any_modalities_will_do(modalities: tuple[str, ...], posterior: str) -> None:
    model = make(modalities, posterior=posterior).train()
    batch = batch_of(SPEC, 3, labels=all_labels(), absent={("a0", name) for name in MODALITIES} | {("b1", "text")})

    terms = terms_of(model, batch)

    assert all(bool(torch.isfinite(term)) for term in terms.values())
    assert model(batch).logits.shape == (*batch.mask.shape, CLASSES)


@pytest.mark.parametrize("posterior", ["network", "experts"])
def test_the_branch_of_an_absent_modality_has_no_part_in_the_answer(posterior: str) -> None:
    model, batch = make(posterior=posterior), batch_of(SPEC, 3, [["a0"]], absent={("a0", "audio")})
    before = model(batch)

    with torch.no_grad():
        model.fusion.fine["audio"].bias.add_(5.0)
        for parameter in model.branches["audio"].parameters():
            parameter.add_(1.0)

    assert not before.auxiliary["branch.audio"].any()
    assert torch.equal(model(batch).logits, before.logits)


def test_a_single_branch_answers_from_its_auxiliaries_where_its_centre_is_absent() -> None:
    model = make(centre="text")
    absent = {("x1", "text")}
    batch = batch_of(SPEC, 3, [names("x", 3)], absent=absent)
    without_audio = batch_of(SPEC, 3, [names("x", 3)], absent=absent | {("x1", "audio")})

    with torch.no_grad():
        first, second = model(batch).logits[0, 1], model(without_audio).logits[0, 1]

    assert not torch.allclose(first, second, atol=1e-5)


def test_a_centre_without_an_encoder_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"config.centre: 'video' has no encoder; the recipe's are text, audio"):
        make(["text", "audio"], centre="video")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 4}, "kernel must be odd"),
        ({"dim": 100}, r"dim \(100\) must be a multiple of heads \(8\)"),
        ({"interaction": "symmetric", "centre": "text"}, "no centre and no auxiliaries"),
        ({"interaction": "symmetric", "auxiliaries": "concatenated"}, "no centre and no auxiliaries"),
    ],
)
def test_settings_that_cannot_be_meant_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SPEC.config(**settings)


def test_an_epoch_leaves_gates_errors_and_rungs() -> None:
    model, batch = make(**CALM), batch_of(SPEC, 3, labels=all_labels())
    assert model.logged_values() == {}

    output = model.train()(batch)
    model.after_backward(batch, output)
    model.after_backward(batch, output)
    figures = model.logged_values()

    pairs = [f"gate.{centre}_{other}" for centre, other in itertools.permutations(MODALITIES, 2)]
    rungs = [f"{kind}.{name}" for kind in ("reconstruction", "predictions", "latents") for name in MODALITIES]
    assert set(figures) == {*pairs, *rungs}
    error = output.auxiliary["reconstruction.text"][batch.mask].mean()
    assert figures["reconstruction.text"] == pytest.approx(float(error.detach()))
    gate = output.auxiliary["gate.audio_text"][batch.mask].mean()
    assert figures["gate.audio_text"] == pytest.approx(float(gate.detach()))
    model.start_epoch(2)
    assert model.logged_values() == {}


@pytest.mark.parametrize(
    ("settings", "gates"),
    [
        ({"auxiliaries": "concatenated", "centre": "audio"}, {"gate.audio_text_video"}),
        ({"interaction": "symmetric"}, set()),
        ({"centre": "text", "posterior": "none", "reconstruction": False}, {"gate.text_audio", "gate.text_video"}),
    ],
)
def test_figures_follow_the_settings(settings: dict[str, Any], gates: set[str]) -> None:
    model, batch = make(**settings), batch_of(SPEC, 3, labels=all_labels())

    model.after_backward(batch, model.train()(batch))

    assert {name for name in model.logged_values() if name.startswith("gate.")} == gates
    assert all(math.isfinite(value) for value in model.logged_values().values())


def test_the_standard_library_keeps_its_name() -> None:
    assert cmath.phase(-1.0) == pytest.approx(math.pi)
