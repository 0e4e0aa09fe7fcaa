"""What is particular to multilevel: granularities, early and late fusion, absence."""

from typing import Any

import pytest
import torch
from tests.contract.fakes import CLASSES, CONVERSATIONS, HOP_S, FakeEncoder, all_labels, batch_of
from torch import Tensor

from merkit.core.batch import Batch
from merkit.core.errors import ConfigError
from merkit.core.model import ModelOutput
from merkit.models.multilevel import SPEC, Multilevel, MultilevelConfig
from merkit.nn.pooling import masked_mean

SMALL = {"dim": 16, "heads": 2, "feed_forward": 16}


def build(**settings: Any) -> Multilevel:
    torch.manual_seed(0)
    encoders = {name: FakeEncoder(name) for name in ("text", "audio")}
    model: Multilevel = SPEC.build(encoders, CLASSES, MultilevelConfig(**{**SMALL, **settings})).eval()
    return model


def answer(model: Multilevel, batch: Batch) -> ModelOutput:
    with torch.no_grad():
        output: ModelOutput = model(batch)
    return output


def with_segments(batch: Batch, times: Tensor, mask: Tensor) -> Batch:
    return Batch(**{**_fields(batch), "extras": {"segments.word": times, "segments.word.mask": mask}})


def _fields(batch: Batch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in Batch.__dataclass_fields__}


def same_weights(word: Multilevel, frame: Multilevel) -> None:
    """Give the word model's branches to the frame model."""
    frame.load_state_dict({name.replace("_word", "_frame"): value for name, value in word.state_dict().items()})


@pytest.mark.parametrize("pooling", ["mean", "statistics", "attention"])
def test_one_segment_per_frame_reproduces_the_answers_of_frames(pooling: str) -> None:
    word = build(granularities=["word"], pooling=pooling)
    frame = build(granularities=["frame"], pooling=pooling)
    same_weights(word, frame)
    batch = batch_of(SPEC, 2)
    places = torch.arange(batch.inputs["audio"].mask.shape[1], dtype=torch.float64)
    times = torch.stack([places, places + 1], dim=-1).mul(HOP_S).expand(len(batch.mask), -1, -1)

    by_word = answer(word, with_segments(batch, times, batch.inputs["audio"].mask)).logits
    by_frame = answer(frame, batch).logits

    # the inputs are equal numbers, which lie elsewhere in memory
    torch.testing.assert_close(by_word, by_frame, rtol=0, atol=1e-6)


def test_one_segment_over_everything_is_the_mean_of_the_audio() -> None:
    model = build(granularities=["word"], branches=["audio"], positions=False)
    batch = batch_of(SPEC, 2)
    times = torch.tensor([0.0, 9.0], dtype=torch.float64).expand(len(batch.mask), 1, 2)

    found = answer(model, with_segments(batch, times, torch.ones(len(batch.mask), 1, dtype=torch.bool))).logits

    frames = model.encoders["audio"](batch.inputs["audio"])
    mean = model.project["audio_word_audio"](masked_mean(frames.data, frames.mask))
    torch.testing.assert_close(found, model.heads["audio_word"](mean).log_softmax(-1), rtol=0, atol=1e-5)


def test_without_segments_an_utterance_is_read_frame_by_frame_whatever_its_batch_mates_have() -> None:
    word = build(granularities=["word"])
    frame = build(granularities=["frame"])
    same_weights(word, frame)
    batch = batch_of(SPEC, 2)
    mask = batch.extras["segments.word.mask"].clone()
    mask[0] = False

    found = answer(word, with_segments(batch, batch.extras["segments.word"], mask)).logits

    torch.testing.assert_close(found[0], answer(frame, batch).logits[0], rtol=0, atol=1e-6)
    assert (found[1] - answer(frame, batch).logits[1]).abs().max() > 1e-4


@pytest.mark.parametrize("join", ["score", "concat", "gate"])
@pytest.mark.parametrize("branches", [["audio"], ["text"], ["early"], ["audio", "text"], ["audio", "text", "early"]])
def test_every_join_of_every_choice_of_branches_answers_and_learns(join: str, branches: list[str]) -> None:
    model = build(join=join, branches=branches, granularities=["frame", "word"], pooling="attention")
    batch = batch_of(SPEC, 2, labels=all_labels(), absent={("b0", "text"), ("b1", "audio")})

    output = model(batch)
    torch.stack(list(model.loss(output, batch).values())).sum().backward()

    assert torch.allclose(output.logits.exp().sum(-1), torch.ones(11))
    idle = [
        name for name, p in model.named_parameters() if "encoders" not in name and (p.grad is None or not p.grad.any())
    ]
    assert not idle
    assert set(model.loss(output, batch)) == set(model.members)


def test_granularities_joined_in_one_network_give_one_answer_per_branch() -> None:
    both = ("frame", "word")

    assert list(MultilevelConfig(granularities=both).members()) == [
        "audio_frame", "audio_word", "text", "early_frame", "early_word",
    ]  # fmt: skip
    assert list(MultilevelConfig(granularities=both, join="gate").members()) == ["audio", "text", "early"]


def test_the_answer_is_the_weighted_mean_of_the_answers() -> None:
    weights = {"audio_word": 0.2, "text": 0.5, "early_word": 0.3}
    model = build(granularities=["word"], weights=weights)

    output = answer(model, batch_of(SPEC, 2))

    mixed = torch.stack([w * output.auxiliary[f"logits.{n}"].softmax(-1) for n, w in weights.items()]).sum(0)
    torch.testing.assert_close(output.logits.exp(), mixed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("gone", "left"), [("text", "audio_word"), ("audio", "text")])
def test_with_one_modality_the_answer_is_that_of_the_branch_that_reads_it_alone(gone: str, left: str) -> None:
    model = build(granularities=["word"])
    ids = [name for row in CONVERSATIONS for name in row]

    output = answer(model, batch_of(SPEC, 2, absent={(name, gone) for name in ids}))

    torch.testing.assert_close(output.logits, output.auxiliary[f"logits.{left}"].log_softmax(-1))


def test_early_fusion_alone_answers_from_one_modality() -> None:
    model = build(granularities=["word"], branches=["early"])

    found = answer(model, batch_of(SPEC, 2, absent={("a0", "text"), ("a1", "audio"), ("a2", "text"), ("a2", "audio")}))

    assert torch.isfinite(found.logits).all()
    torch.testing.assert_close(found.logits[2].exp(), torch.full((CLASSES,), 1 / CLASSES))
    assert found.logits[0].std() > 0
    assert found.logits[1].std() > 0


def test_weights_are_fitted_on_what_is_whole_and_are_no_worse_than_the_best_answer_alone() -> None:
    model = build(granularities=["frame", "word"])
    labels = torch.tensor(list(all_labels().values()))
    labels[3] = -100
    output = answer(model, batch_of(SPEC, 2, absent={("b0", "text")}))  # the fourth utterance

    model.fit_on_validation([(output, labels)])

    def likelihood(logits: Tensor) -> float:
        kept = labels >= 0
        return float(logits.log_softmax(-1)[kept].gather(1, labels[kept].unsqueeze(1)).mean())

    fitted = likelihood(answer(model, batch_of(SPEC, 2, absent={("b0", "text")})).logits)
    assert float(model.weights.sum()) == pytest.approx(1.0)
    assert float(model.weights.min()) >= 0.0
    assert all(fitted >= likelihood(output.auxiliary[f"logits.{name}"]) - 1e-6 for name in model.members)
    assert sum(model.logged_values().values()) == pytest.approx(1.0)
    assert build(weights="equal").fits_on_validation is False
    assert model.fits_on_validation is True


def test_the_alignment_is_asked_for_by_the_tiers_that_are_read() -> None:
    assert MultilevelConfig(granularities=["frame"]).segments() is None
    assert MultilevelConfig(branches=["text"]).segments() is None
    request = MultilevelConfig(granularities=["word", "frame", "phone"], alignment="files").segments()
    assert request is not None
    assert (request.alignment, request.tiers) == ("files", ("word", "phone"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"granularities": []}, "at least one and none twice"),
        ({"branches": ["text", "text"]}, "at least one and none twice"),
        ({"dim": 10, "heads": 4}, "must be a multiple of heads"),
        ({"weights": {"text": 1.0}}, "expected one for each of audio_frame"),
        ({"weights": {"text": 0.6, "early": 0.6}, "join": "concat", "branches": ["text", "early"]}, "sum to 1"),
    ],
)
def test_settings_that_do_not_fit_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultilevelConfig(**settings)


def test_an_encoder_without_time_serves_frames_alone() -> None:
    timeless = FakeEncoder("audio")
    timeless.hop_s = None
    encoders = {"audio": timeless, "text": FakeEncoder("text")}

    SPEC.build(encoders, CLASSES, MultilevelConfig(**SMALL, granularities=["frame"]))
    with pytest.raises(ConfigError, match="its positions have no times, which granularities word need"):
        SPEC.build(encoders, CLASSES, MultilevelConfig(**SMALL, granularities=["frame", "word"]))
