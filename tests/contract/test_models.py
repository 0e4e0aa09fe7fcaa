"""What every model must do. A file dropped into ``merkit/models`` is tested here without any edit."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tests.contract.fakes import CLASSES, CONVERSATIONS, all_labels, batch_of, build, cases, untrained
from torch import Tensor

from merkit.core import lookup
from merkit.core.batch import Batch, Padded
from merkit.core.model import FittedModel, Model, ModelSpec
from merkit.core.types import MODALITIES
from merkit.nn.losses import MultiLabelLoss, build_criterion

NAMES = lookup.names("models")
CASES = cases()
GRADIENT = [case for case in CASES if not isinstance(untrained(lookup.load("models", case[0]), case[1]), FittedModel)]

TOLERANCE = 1e-5
"""Float32 sums in another order differ by about 1e-7; ten steps of a recurrence multiply that."""

models = pytest.mark.parametrize(("name", "count"), CASES, ids=lambda value: str(value))
gradient_models = pytest.mark.parametrize(("name", "count"), GRADIENT, ids=lambda value: str(value))


def make(name: str, count: int) -> tuple[ModelSpec, Model]:
    spec = lookup.load("models", name)
    model = build(spec, count)
    model.criterion = build_criterion("cross_entropy", [1] * CLASSES)
    return spec, model


def several_labels(batch: Batch) -> Batch:
    """Return a batch in which an utterance has its class and perhaps the next one."""
    assert batch.labels is not None
    rows = torch.full((*batch.mask.shape, CLASSES), -100.0)
    known = batch.labels >= 0
    numbers = batch.labels[known]
    own = torch.nn.functional.one_hot(numbers, CLASSES) | torch.nn.functional.one_hot((numbers + 1) % CLASSES, CLASSES)
    rows[known] = torch.where((numbers % 2 == 0).unsqueeze(-1), own, own * (own.cumsum(-1) == 1)).float()
    return dataclasses.replace(batch, labels=rows)


def probabilities(model: Model, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        logits = model(batch).logits
    assert logits.shape == (*batch.mask.shape, CLASSES)
    return dict(zip(batch.ids, logits[batch.mask].double().softmax(dim=-1), strict=True))


def largest_difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    return max(float((first[utterance] - second[utterance]).abs().max()) for utterance in first)


def total_loss(model: Model, batch: Batch) -> Tensor:
    terms = model.loss(model(batch), batch)
    assert terms
    assert "teacher" not in terms, "the training loop's name for what a teacher adds"
    assert all(torch.isfinite(term).all() and term.ndim == 0 for term in terms.values()), terms
    return torch.stack(list(terms.values())).sum()


def incomplete(count: int) -> set[tuple[str, str]]:
    """One utterance lacks the first modality, the next one the second, …"""
    return {(f"b{number}", modality) for number, modality in enumerate(MODALITIES[:count])}


def test_there_are_models() -> None:
    assert {"majority", "text_lookup", "bag_of_words", "single", "concat", "late_average", "bc_lstm"} <= set(NAMES)
    assert {name for name, _ in CASES} == set(NAMES)
    assert {name for name, _ in GRADIENT} >= {"single", "concat", "late_average", "bc_lstm"}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_what_it_is(name: str) -> None:
    spec = lookup.load("models", name)
    module = sys.modules[spec.origin.module]

    assert spec.name == name
    assert (module.__doc__ or "").strip()
    assert spec.summary.strip()
    assert 0 <= spec.modalities[0] <= spec.modalities[1] <= len(MODALITIES)
    assert (type(build(spec, spec.modalities[1])).__doc__ or "").strip()
    assert all(sentence.strip().endswith(".") for sentence in spec.deviations)
    if spec.citation is not None:
        assert all(spec.citation.field(name) for name in ("author", "title", "year")), "the BibTeX entry is complete"
        assert spec.citation.url.startswith("https://")
        assert spec.deviations, "a paper's model says where it differs from the paper"


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_setting_is_an_error(name: str) -> None:
    spec = lookup.load("models", name)

    with pytest.raises(ValidationError, match="hiden_widht"):
        spec.config(hiden_widht=1)


@models
def test_a_forward_needs_no_labels_and_is_finite(name: str, count: int) -> None:
    spec, model = make(name, count)

    found = probabilities(model, batch_of(spec, count))

    assert len(found) == 11
    assert all(torch.isfinite(row).all() for row in found.values())


@models
def test_a_model_offers_the_representations_that_it_names(name: str, count: int) -> None:
    spec, model = make(name, count)
    batch = batch_of(spec, count)

    with torch.no_grad():
        found = model(batch).auxiliary

    for kind, words in spec.representations.items():
        assert words
        for modality in batch.present:
            vectors = found[f"{kind}.{modality}"]
            assert vectors.ndim == batch.mask.ndim + 1
            assert vectors.shape[:-1] == batch.mask.shape
            assert vectors[batch.mask].std() > 0


@models
def test_labels_do_not_change_an_answer(name: str, count: int) -> None:
    spec, model = make(name, count)

    without = probabilities(model, batch_of(spec, count))
    with_labels = probabilities(model, batch_of(spec, count, labels=all_labels()))

    assert largest_difference(without, with_labels) == 0.0


@models
def test_batch_mates_never_change_an_answer(name: str, count: int) -> None:
    spec, model = make(name, count)

    together = probabilities(model, batch_of(spec, count))
    backwards = probabilities(model, batch_of(spec, count, CONVERSATIONS[::-1]))
    alone: dict[str, Tensor] = {}
    for conversation in CONVERSATIONS:
        items = [conversation] if spec.level == "conversation" else [[utterance] for utterance in conversation]
        for item in items:
            alone |= probabilities(model, batch_of(spec, count, [item]))

    assert largest_difference(together, backwards) <= TOLERANCE
    assert largest_difference(together, alone) <= TOLERANCE


@models
def test_padding_and_what_stands_in_it_change_nothing(name: str, count: int) -> None:
    spec, model = make(name, count)

    plain = probabilities(model, batch_of(spec, count, garbage=0.0))
    padded = probabilities(model, batch_of(spec, count, garbage=1e3, more_time=3, more_turns=2))

    assert largest_difference(plain, padded) <= TOLERANCE


@pytest.mark.parametrize(("name", "count"), [case for case in CASES if case[1] > 0])
def test_the_padding_test_would_see_a_broken_mask(name: str, count: int) -> None:
    spec, model = make(name, count)

    def unmasked(batch: Batch) -> Batch:
        inputs = {key: Padded(value.data, torch.ones_like(value.mask)) for key, value in batch.inputs.items()}
        return dataclasses.replace(batch, inputs=inputs)

    plain = probabilities(model, unmasked(batch_of(spec, count, garbage=0.0)))
    padded = probabilities(model, unmasked(batch_of(spec, count, garbage=1e3, more_time=3)))

    assert largest_difference(plain, padded) > 100 * TOLERANCE


@pytest.mark.parametrize(("name", "count"), [case for case in CASES if case[1] > 0])
def test_an_absent_modality_is_finite_whatever_stands_in_its_place(name: str, count: int) -> None:
    spec, model = make(name, count)
    everything = {("c0", modality) for modality in MODALITIES[:count]}

    complete = probabilities(model, batch_of(spec, count))
    first = probabilities(model, batch_of(spec, count, garbage=1e3, absent=incomplete(count) | everything))
    second = probabilities(model, batch_of(spec, count, garbage=-7.0, absent=incomplete(count) | everything))

    assert all(torch.isfinite(row).all() for row in first.values())
    assert largest_difference(first, second) <= TOLERANCE
    assert float((first["b0"] - complete["b0"]).abs().max()) > TOLERANCE, (
        "what was taken away had no part in the answer"
    )


@models
def test_a_model_survives_a_checkpoint(name: str, count: int, tmp_path: Path) -> None:
    spec, model = make(name, count)
    batch = batch_of(spec, count)
    before = probabilities(model, batch)

    save_file(model.state_dict(), tmp_path / "model.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(99)
        fresh = spec.build(dict(make(name, count)[1].encoders.items()), CLASSES, spec.config()).eval()
    fresh.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)

    assert largest_difference(before, probabilities(fresh, batch)) <= TOLERANCE


@models
def test_the_loss_leaves_no_trace_in_the_state(name: str, count: int) -> None:
    _, model = make(name, count)
    before = set(model.state_dict())

    model.criterion = build_criterion("logit_adjusted", [3, 1, 1, 1], "inverse")

    assert set(model.state_dict()) == before


@models
def test_an_answer_in_evaluation_is_the_same_twice(name: str, count: int) -> None:
    spec, model = make(name, count)
    batch = batch_of(spec, count, labels=all_labels())
    kept = {modality: (padded.data.clone(), padded.mask.clone()) for modality, padded in batch.inputs.items()}

    first, second = probabilities(model, batch), probabilities(model, batch)

    assert largest_difference(first, second) == 0.0
    for modality, (data, mask) in kept.items():
        assert torch.equal(batch.inputs[modality].data, data), "the input was changed in place"
        assert torch.equal(batch.inputs[modality].mask, mask)


@gradient_models
def test_a_loss_is_finite_with_some_labels_missing(name: str, count: int) -> None:
    spec, model = make(name, count)
    labels = all_labels() | {"a0": -100, "b1": -100}

    loss = total_loss(model.train(), batch_of(spec, count, labels=labels, absent=incomplete(count)))
    loss.backward()

    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@gradient_models
def test_without_any_label_the_criterion_gives_zero_and_gradients_stay_finite(name: str, count: int) -> None:
    spec, model = make(name, count)
    seen: list[Tensor] = []
    criterion = build_criterion("focal", [5, 1, 1, 3], "effective", 0.1)
    criterion.register_forward_hook(lambda module, arguments, value: seen.append(value.detach()))
    model.criterion = criterion
    nothing = dict.fromkeys(all_labels(), -100)
    total_loss(model.train(), batch_of(spec, count, labels=nothing)).backward()

    assert seen
    assert all(float(value) == 0.0 for value in seen)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@gradient_models
def test_every_trainable_parameter_learns(name: str, count: int) -> None:
    spec, model = make(name, count)
    batch = batch_of(spec, count, labels=all_labels(), absent=incomplete(count))
    model.train()

    for _ in range(3):  # dropout may hide a small layer once
        total_loss(model, batch).backward()

    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not bool(parameter.grad.abs().sum() > 0))
    ]
    assert not idle


@gradient_models
def test_parameter_groups_hold_each_trainable_parameter_once(name: str, count: int) -> None:
    _, model = make(name, count)

    grouped = [id(parameter) for group in model.parameter_groups().values() for parameter in group]
    trainable = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]

    assert sorted(grouped) == sorted(trainable)
    assert all(model.parameter_groups().values()), "an empty group would ask a recipe for a useless learning rate"


@gradient_models
def test_half_precision_keeps_the_loss_finite(name: str, count: int) -> None:
    spec, model = make(name, count)
    batch = batch_of(spec, count, labels=all_labels(), absent=incomplete(count))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = total_loss(model.train(), batch)

    assert bool(torch.isfinite(loss))


@gradient_models
def test_a_model_can_learn_eight_utterances_by_heart(name: str, count: int) -> None:
    spec, model = make(name, count)
    batch = batch_of(spec, count, CONVERSATIONS[:2], labels=all_labels())
    assert batch.labels is not None
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        accuracy = 0.0
        for _ in range(40):
            model.train()
            for _ in range(10):
                optimizer.zero_grad()
                output = model(batch)
                torch.stack(list(model.loss(output, batch).values())).sum().backward()
                model.after_backward(batch, output)
                optimizer.step()
            model.eval()
            guesses = model(batch).logits.argmax(dim=-1)
            accuracy = float((guesses == batch.labels)[batch.mask].float().mean())
            if accuracy >= 0.99:
                break

    assert accuracy >= 0.99


SEVERAL = [(name, count) for name, count in CASES if lookup.load("models", name).multi_label]


@pytest.mark.parametrize(("name", "count"), SEVERAL)
def test_a_model_of_several_labels_learns_which_ones_eight_utterances_have(name: str, count: int) -> None:
    spec, model = make(name, count)
    model.multi_label, model.criterion = True, MultiLabelLoss()
    batch = several_labels(batch_of(spec, count, CONVERSATIONS[:2], labels=all_labels()))
    unlabelled = several_labels(batch_of(spec, count, labels=dict.fromkeys(all_labels(), -100)))
    assert batch.labels is not None
    if isinstance(model, FittedModel):
        model.fit([batch], seed=0)
        shares = batch.labels[batch.mask].mean(dim=0)
        log_odds = model(batch).logits[batch.mask].sigmoid()
        assert log_odds.mean(dim=0).tolist() == pytest.approx(shares.tolist(), abs=0.1)
        return
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    assert float(total_loss(model, unlabelled).detach()) == 0.0
    assert not model.fits_on_validation, "it is fitted to class numbers"

    with torch.random.fork_rng():
        torch.manual_seed(0)
        learned = False
        for _ in range(60):
            model.train()
            for _ in range(10):
                optimizer.zero_grad()
                total_loss(model, batch).backward()
                optimizer.step()
            model.eval()
            learned = torch.equal((model(batch).logits > 0)[batch.mask], batch.labels[batch.mask] > 0.5)
            if learned:
                break

    assert learned


def test_most_simple_models_learn_several_labels_and_no_other_claims_to() -> None:
    assert {name for name, _ in SEVERAL} >= {"majority", "bag_of_words", "single", "concat", "bc_lstm"}
    for name in NAMES:
        spec = lookup.load("models", name)
        if spec.multi_label and not spec.is_fitted:
            assert spec.build.loss is Model.loss, f"{name} has a loss of its own, which may read class numbers"


@pytest.mark.parametrize("name", NAMES)
def test_settings_go_through_json_and_back(name: str) -> None:
    spec = lookup.load("models", name)

    assert spec.config.model_validate_json(spec.config().model_dump_json()) == spec.config()
