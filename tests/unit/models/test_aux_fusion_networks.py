"""Auxiliary-task fusion on real classes of speech and text networks, small and with random weights, trained with it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks import write_speech_network
from torch import Tensor

from merkit.core.batch import Batch
from merkit.core.encoder import Array, EncoderHome
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.data.collate import Example, collate
from merkit.models.aux_fusion import SPEC, AuxFusion
from merkit.nn.losses import build_criterion

TEXTS = ("you are so happy", "anna", "we are not here . ben is there", "i", "very very sad", "one two three")
SAMPLES = (6_000, 900, 4_000, 2_500, 400, 3_300)
LABELS = (0, 1, 0, 1, 0, 1)
EVERYTHING: Sequence[tuple[str, ...]] = (("text", "audio"),) * 6


@pytest.fixture(scope="module", params=["wav2vec2 group", "wav2vec2 layer stable"])
def speech(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(f"speech-{request.param}")
    return write_speech_network(folder, request.param, num_hidden_layers=2, conv_dim=(8,) * 7)


@pytest.fixture
def model(speech: Path, tiny_bert: Path) -> AuxFusion:
    home = EncoderHome()
    found = {}
    for modality, name, folder in (("text", "bert", tiny_bert), ("audio", "wav2vec2", speech)):
        spec = load("encoders", name)
        found[modality] = spec.build(spec.config(weights=str(folder), frozen=False, **SHORT[name]), modality, home)
    torch.manual_seed(1)
    built = SPEC.build(found, 2, SPEC.config(dim=32, heads=4, feed_forward=32)).eval()
    built.criterion = build_criterion("cross_entropy", [1, 1])
    assert isinstance(built, AuxFusion)
    return built


SHORT: dict[str, dict[str, int]] = {"bert": {"max_tokens": 32}, "wav2vec2": {}}


def batch_of(
    model: AuxFusion, numbers: Sequence[int], present: Sequence[tuple[str, ...]] = EVERYTHING, *, labelled: bool = False
) -> Batch:
    examples = []
    for number in numbers:
        wave = np.random.default_rng(number).standard_normal(SAMPLES[number]).astype(np.float32)
        turn = Turn(Utterance(str(number), "c", 0, "anna", TEXTS[number]), (), Path())
        arrays: dict[str, Array | None] = {"text": model.encoders["text"].extract([turn])[0], "audio": wave}
        kept = {name: array if name in present[number] else None for name, array in arrays.items()}
        examples.append([Example(str(number), "anna", kept, LABELS[number])])
    blanks = {name: encoder.blank() for name, encoder in model.encoders.items()}
    return collate(examples, "utterance", labelled, blanks)


def answers(model: AuxFusion, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(zip(batch.ids, model(batch).logits.softmax(dim=-1), strict=True))


SUBSETS: Sequence[Sequence[tuple[str, ...]]] = (
    EVERYTHING,
    (("text",),) * 6,
    (("audio",),) * 6,
    ((),) * 6,
    (("text", "audio"), ("text",), ("audio",), (), ("text", "audio"), ("audio",)),
)


@pytest.mark.parametrize("present", SUBSETS, ids=["both", "text", "audio", "neither", "mixed"])
def test_any_subset_of_streams_has_a_finite_answer_that_batch_mates_never_change(
    model: AuxFusion, present: Sequence[tuple[str, ...]]
) -> None:
    together = answers(model, batch_of(model, range(6), present))
    backwards = answers(model, batch_of(model, range(5, -1, -1), present))
    alone = {str(number): answers(model, batch_of(model, [number], present))[str(number)] for number in range(6)}

    assert all(torch.isfinite(answer).all() for answer in together.values())
    for name, answer in together.items():
        torch.testing.assert_close(answer, backwards[name], atol=1e-5, rtol=0.0)
        torch.testing.assert_close(answer, alone[name], atol=1e-5, rtol=0.0)


def test_an_answer_depends_on_both_streams(model: AuxFusion) -> None:
    both, text, audio = (answers(model, batch_of(model, range(6), SUBSETS[place])) for place in range(3))

    assert max(float((both[name] - text[name]).abs().max()) for name in both) > 1e-3
    assert max(float((both[name] - audio[name]).abs().max()) for name in both) > 1e-3


@pytest.mark.parametrize("task", ["own_label", "same_emotion_swap"])
def test_each_task_alone_reaches_both_networks(model: AuxFusion, task: str) -> None:
    batch = batch_of(model, range(6), labelled=True)
    torch.manual_seed(0)

    model.loss(model.train()(batch), batch)[task].backward()

    for name, parameter in model.named_parameters():
        network = name.startswith(("encoders.text.network.encoder", "encoders.audio.network.encoder"))
        if network and parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
