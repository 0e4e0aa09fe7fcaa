"""MMER on tiny Hugging Face networks of random weights, both classes of wav2vec 2.0; values by hand or formula."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.contract.fakes import DIM, FakeEncoder, all_labels, batch_of
from tests.networks import write_speech_network
from tests.unit.encoders.conftest import tiny_bert
from torch import Tensor, nn

from merkit.core.batch import Batch, Padded
from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.models.mmer import SPEC, Interaction, Mmer
from merkit.nn.ctc import ENGLISH, SPECIAL
from merkit.nn.losses import build_criterion

__all__ = ["tiny_bert"]

OFF = {"ctc_weight": 0.0, "supervised_weight": 0.0, "augmented_weight": 0.0}
TEXTS = ("i are happy", "you very sad", "we not here", "ben so sad")
LENGTHS = (4_000, 9_000, 16_000, 6_000)


@pytest.fixture(scope="module", params=["wav2vec2 group", "wav2vec2 layer stable"])
def speech(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speech_network(tmp_path_factory.mktemp("speech"), request.param, num_hidden_layers=2)


def fused(text: Encoder, audio: Encoder, **settings: Any) -> Mmer:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = SPEC.build({"text": text, "audio": audio}, 4, SPEC.config(**{"heads": 4, **settings}))
    assert isinstance(model, Mmer)
    model.criterion = build_criterion("cross_entropy", [1] * 4)
    return model.eval()


def small(**settings: Any) -> Mmer:
    return fused(FakeEncoder("text"), FakeEncoder("audio"), **settings)


def whole(tiny_bert: Path, speech: Path, **settings: Any) -> Mmer:
    encoders = []
    for name, modality, folder in (("bert", "text", tiny_bert), ("wav2vec2", "audio", speech)):
        spec = load("encoders", name)
        encoders.append(spec.build(spec.config(weights=str(folder), frozen=False), modality, EncoderHome()))
    return fused(*encoders, **settings)


def recordings(
    rows: Sequence[int] = (0, 1, 2, 3), steps: int = 0, garbage: float = 1e3, labelled: bool = True
) -> Batch:
    """Waveforms and word numbers side by side, with garbage in the padding; the view has another order of words."""

    def beside(arrays: list[np.ndarray], longest: int) -> Padded:
        data = torch.full((len(arrays), longest, *arrays[0].shape[1:]), garbage).to(torch.from_numpy(arrays[0]).dtype)
        mask = torch.zeros(len(arrays), longest, dtype=torch.bool)
        for row, array in enumerate(arrays):
            data[row, : len(array)] = torch.from_numpy(array)
            mask[row, : len(array)] = True
        return Padded(data, mask)

    def guise(order: int) -> Batch:
        waves = [np.random.default_rng(row).normal(0, 0.2, LENGTHS[row]).astype(np.float32) * order for row in rows]
        words = [np.array([2, *[4 + len(w) + row for w in TEXTS[row].split()][::order], 3]) for row in rows]
        tokens = [np.stack([w, 0 * w, 0 * w + 1], axis=1) for w in words]
        there = torch.ones(len(rows), dtype=torch.bool)
        return Batch(
            ids=tuple(f"u{row}" for row in rows),
            mask=there,
            inputs={
                "text": beside(tokens, max(len(t) for t in tokens) + steps),
                "audio": beside(waves, max(len(w) for w in waves) + 500 * steps),
            },
            present={"text": there, "audio": there},
            speakers=torch.zeros(len(rows), dtype=torch.long),
        )

    labels = torch.tensor([0, 1, 0, 1])[list(rows)] if labelled else None
    return dataclasses.replace(
        guise(1), labels=labels, texts=tuple(TEXTS[row] for row in rows), view=guise(-1) if labelled else None
    )


def weighed(data: Tensor) -> Tensor:
    """A sum with random weights: a plain one of normalised vectors is constant."""
    return (data * torch.randn(data.shape, generator=torch.Generator().manual_seed(9))).sum()


def inner(model: Mmer, text: Padded, audio: Padded) -> Interaction:
    return model.interact(text, audio)


def vectors(tokens: int = 4, frames: int = 6, seed: int = 0, items: int = 2) -> tuple[Padded, Padded]:
    generator = torch.Generator().manual_seed(seed)
    text, audio = (torch.randn(items, time, dim, generator=generator) for time, dim in ((tokens, 12), (frames, 10)))
    return Padded(text, torch.ones(items, tokens, dtype=torch.bool)), Padded(
        audio, torch.ones(items, frames, dtype=torch.bool)
    )


@pytest.mark.parametrize(("samples", "frames"), [(32_000, 99), (80_000, 249), (210_000, 656)])
def test_frames_are_those_of_the_published_front_end(tiny_bert: Path, speech: Path, samples: int, frames: int) -> None:
    model = whole(tiny_bert, speech, **OFF)
    batch = recordings((0,), labelled=False)
    wave = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    batch = dataclasses.replace(
        batch, inputs={**batch.inputs, "audio": Padded(wave, torch.ones(1, samples, dtype=torch.bool))}
    )

    with torch.no_grad():
        output = model(batch)

    assert output.auxiliary["frames"].shape == (1, frames, 24)
    assert output.auxiliary["embedding"].shape == (1, 24 + 32)
    assert output.logits.shape == (1, 4)


def test_shapes_of_the_blocks() -> None:
    found = inner(small(), *vectors(tokens=4, frames=6))

    assert found.speech_by_word.shape == found.words.shape == found.gate.shape == (2, 4, 12)
    assert found.words_by_frame.shape == (2, 6, 12)
    assert found.fused.shape == (2, 4, 24)


class Base(Encoder):
    """The library's base network without weights, to be counted."""

    def __init__(self, modality: str, network: nn.Module | None) -> None:
        super().__init__()
        self.modality, self.dim, self.network = modality, 768, network

    def fingerprint(self) -> Mapping[str, Any]:
        raise NotImplementedError

    content = extract = blank = forward = describe = fingerprint  # type: ignore[assignment]


def test_the_published_size_is_129_8_million_without_the_text_network() -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    with torch.device("meta"):
        model = SPEC.build(
            {"text": Base("text", None), "audio": Base("audio", Wav2Vec2Model(Wav2Vec2Config()))}, 4, SPEC.config()
        )
    counted = {name: parameter.numel() for name, parameter in model.named_parameters()}
    network = sum(count for name, count in counted.items() if name.startswith("encoders"))
    absences = sum(count for name, count in counted.items() if name.endswith("absent"))
    d = 768
    block = 4 * (d * d + d) + (d * 4 * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d
    linear = d * d + d
    halved = 2 * d * d + d
    fusion = 4 * block + 2 * linear + 2 * halved + 2 * (halved + linear) + (2 * d * 4 + 4) + (d * 32 + 32)

    assert sum(counted.values()) == network + fusion + absences
    assert round((network + fusion) / 1e6, 1) == 129.8  # measured of the released module
    assert absences == 3 * d


def test_garbage_in_padding_and_batch_mates_move_no_logit(tiny_bert: Path, speech: Path) -> None:
    model = whole(tiny_bert, speech)

    with torch.no_grad():
        together = model(recordings(steps=3, garbage=1e3, labelled=False)).logits
        other = model(recordings(steps=1, garbage=-5.0, labelled=False)).logits
        alone = torch.cat([model(recordings((row,), labelled=False)).logits for row in range(4)])

    assert float((together - other).abs().max()) <= 1e-5
    assert float((together - alone).abs().max()) <= 1e-5
    assert float((together[0] - together[1]).abs().max()) > 1e-3


def test_tokens_and_frames_in_another_order_give_the_same_answer() -> None:
    model = small()
    batch = batch_of(SPEC, 2, [["a0"]])
    lengths = {name: padded.data.shape[1] for name, padded in batch.inputs.items()}
    assert min(lengths.values()) > 1
    turned = {name: Padded(padded.data.flip(1), padded.mask.flip(1)) for name, padded in batch.inputs.items()}

    with torch.no_grad():
        difference = model(batch).logits - model(dataclasses.replace(batch, inputs=turned)).logits

    assert float(difference.abs().max()) <= 5e-7


@pytest.mark.parametrize(("bias", "share"), [(60.0, 1.0), (-120.0, 0.0)])
def test_the_gate_lets_speech_through_or_not(bias: float, share: float) -> None:
    model = small()
    with torch.no_grad():
        model.gate.bias.fill_(bias)
    text, audio = vectors()

    found = inner(model, text, audio)
    weighed(found.fused).backward()

    expected = torch.cat([found.words, share * found.speech_by_word], dim=-1)
    torch.testing.assert_close(found.fused, expected)
    touched = any(bool(p.grad.abs().max() > 1e-12) for p in model.blocks["d"].parameters() if p.grad is not None)
    assert touched == bool(share)


def test_a_frame_moves_the_speech_and_never_the_text_attention() -> None:
    model = small()
    seen: list[Tensor] = []
    model.text_attention.register_forward_hook(lambda module, given, result: seen.append(result))
    text, audio = vectors()
    moved = audio.data.clone()
    moved[0, 2] += 1.0

    with torch.no_grad():
        before, after = inner(model, text, audio), inner(model, text, Padded(moved, audio.mask))

    assert torch.equal(seen[0], seen[1])
    for name in ("speech_by_word", "words_by_frame", "words"):
        difference = (getattr(after, name) - getattr(before, name)).abs()
        assert float(difference[0].max()) > 1e-4, name
        assert float(difference[1].max()) <= 1e-6, name


def test_each_projection_of_the_frames_serves_its_own_block() -> None:
    model = small()
    text, audio = vectors()

    def reached(tensor: str) -> set[str]:
        model.zero_grad()
        weighed(getattr(inner(model, text, audio), tensor)).backward()
        projections = model.audio_projections.items()
        return {name for name, layer in projections if layer.weight.grad is not None and bool(layer.weight.grad.any())}

    assert reached("speech_by_word") == {"source"}  # Q reads A1
    assert reached("words_by_frame") == {"query"}  # P is asked by A2
    assert reached("words") == {"query"}


def test_pooling_never_returns_padding() -> None:
    model = small(**OFF)
    batch = batch_of(SPEC, 2, [["a0"], ["b4"]], garbage=1e3, more_time=3)
    frames = model.encoders["audio"](batch.inputs["audio"])
    largest = [frames.data[row][frames.mask[row]].amax(dim=0).detach() for row in range(2)]
    below = max(float(values.max()) for values in largest) + 1.0
    with torch.no_grad():
        model.encoders["audio"].project.bias -= below
        found = model(batch).auxiliary["embedding"][:, :10]

    assert float(found.max()) < 0.0
    torch.testing.assert_close(found, torch.stack(largest) - below)


@pytest.mark.parametrize("profile", ["clean", "released"])
def test_ctc_reads_the_speech_frames_and_the_transcript(profile: str) -> None:
    model = small(profile=profile, dropout=0.0, supervised_weight=0.0, augmented_weight=0.0)
    batch = batch_of(SPEC, 2, [["a0"], ["a1"], ["b1"], ["b2"], ["b3"]], labels=all_labels())
    audio = torch.randn(5, 9, DIM, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor([9, 6, 7, 0, 8]).unsqueeze(1)
    batch = dataclasses.replace(
        batch,
        inputs={**batch.inputs, "audio": Padded(audio, mask)},
        present={**batch.present, "audio": mask.any(dim=1)},
        texts=("{LG} a", "so", None, "no", "{LG}"),
    )

    output = model(batch)
    found = float(model.loss(output, batch)["ctc"].detach())

    assert model.ctc is not None
    targets = {"clean": ("A", "SO"), "released": ("LG|A", "SO", "LG")}[profile]
    each = []
    for row, target in zip((0, 1, 4), targets, strict=False):
        logits = model.ctc(output.auxiliary["frames"][row : row + 1][:, mask[row]])
        log_p = logits.log_softmax(dim=-1).transpose(0, 1)
        numbers = torch.tensor([[SPECIAL + ENGLISH.index(character) for character in target]])
        lengths = torch.tensor([len(log_p)]), torch.tensor([len(target)])
        alone = torch.nn.functional.ctc_loss(log_p, numbers, *lengths, reduction="sum")
        each.append(float(alone.detach()) / (len(target) if profile == "clean" else 1))
    expected = sum(each) / len(each) if profile == "clean" else sum(each)
    assert found == pytest.approx(0.1 * expected, rel=1e-5)


def test_the_vocabulary_may_be_another_language_s() -> None:
    model = small(characters="|AĄ")

    assert model.ctc is not None
    assert model.ctc.out_features == SPECIAL + 3
    with pytest.raises(ValidationError, match=r"'\|'"):
        SPEC.config(characters="AB")
    with pytest.raises(ValidationError, match="upper-case"):
        SPEC.config(characters="|ab")


def count_calls(model: Model) -> list[Tensor]:
    calls: list[Tensor] = []
    model.encoders["audio"].register_forward_hook(lambda module, given, result: calls.append(result.data))
    return calls


def test_without_auxiliary_weights_no_view_is_computed_and_gradients_are_those_of_the_classes() -> None:
    batch = batch_of(SPEC, 2, labels=all_labels())
    model = small(**OFF).train()
    model.dropout.p = 0.0
    calls = count_calls(model)
    torch.manual_seed(0)
    terms = model.loss(model(batch), batch)
    terms["classification"].backward()
    alone = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    model.zero_grad()
    torch.manual_seed(0)
    torch.stack(list(model.loss(model(batch), batch).values())).sum().backward()

    assert set(terms) == {"classification"}
    assert len(calls) == 2  # one forward each, no view
    assert alone
    assert all(torch.equal(alone[name], p.grad) for name, p in model.named_parameters() if p.grad is not None)
    assert not any(name.startswith(("ctc", "anchor", "key")) for name, _ in model.named_parameters())


def test_the_view_goes_through_the_same_network() -> None:
    model = small()
    batch = batch_of(SPEC, 2, labels=all_labels())
    calls = count_calls(model)

    output = model(batch)
    assert len(calls) == 1  # an answer never costs a view
    terms = model.loss(output, batch)

    assert len(calls) == 2
    assert set(terms) == {"classification", "ctc", "supervised", "augmented"}
    with pytest.raises(ConfigError, match="no augmented view"):
        model.loss(output, dataclasses.replace(batch, view=None))


@pytest.mark.parametrize("profile", ["clean", "released"])
def test_gradients_reach_what_they_should(tiny_bert: Path, speech: Path, profile: str) -> None:
    model = whole(tiny_bert, speech, profile=profile).train()
    batch = recordings()

    terms = model.loss(model(batch), batch)
    terms["ctc"].backward(retain_graph=True)
    touched = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched == {"encoders", "ctc"}
    assert not any(p.grad is not None and p.grad.any() for p in model.encoders["text"].parameters())

    torch.stack(list(terms.values())).sum().backward()

    assert all(p.grad is None for p in model.encoders["audio"].network.feature_extractor.parameters())
    idle = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any()) and not name.endswith("absent")
    ]
    # what the library makes and never uses, or what no gradient can reach: softmax ignores a constant in the keys
    known = ("masked_spec_embed", "k_proj.bias", "key.bias")
    assert not [name for name in idle if not name.endswith(known)]


@pytest.mark.parametrize("absent", ["text", "audio"])
def test_one_modality_alone_answers_whatever_its_batch_mates_have(absent: str) -> None:
    model = small()
    kept = {"text": "audio", "audio": "text"}[absent]

    with torch.no_grad():
        mixed = batch_of(SPEC, 2, absent={("b0", absent)}, garbage=1e3)
        alone = batch_of(SPEC, 2, [["b0"]], absent={("b0", absent)}, garbage=-3.0)
        in_batch = model(mixed).logits[mixed.ids.index("b0")]
        by_itself = model(alone).logits[0]
        moved = {
            **alone.inputs,
            kept: Padded(alone.inputs[kept].data + 1.0, alone.inputs[kept].mask),
        }
        other = model(dataclasses.replace(alone, inputs=moved)).logits[0]

    assert torch.isfinite(in_batch).all()
    assert float((in_batch - by_itself).abs().max()) <= 1e-5
    assert float((other - by_itself).abs().max()) > 1e-4  # the one that is there decides


def test_memory_gives_partners_to_batches_that_have_none_and_is_cleared_with_the_epoch() -> None:
    model = small(memory=8, augmented_weight=0.0, ctc_weight=0.0).train()
    first = batch_of(SPEC, 2, [["a0", "a1"]], labels={"a0": 0, "a1": 1})
    second = batch_of(SPEC, 2, [["b0", "b1"]], labels={"b0": 0, "b1": 1})

    def supervised(batch: Batch) -> float:
        return float(model.loss(model(batch), batch)["supervised"].detach())

    assert supervised(first) == 0.0
    assert supervised(second) > 0.0
    model.start_epoch(2)
    assert supervised(second) == 0.0
    assert not [name for name in model.state_dict() if "memory" in name]


def test_settings_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ValidationError, match="memory needs"):
        SPEC.config(memory=4, profile="released")
    with pytest.raises(ConfigError, match=r"heads = 5.*12"):
        small(heads=5)
    with pytest.raises(ConfigError, match="text and audio, found text, video"):
        SPEC.build({"text": FakeEncoder("text"), "video": FakeEncoder("video")}, 4, SPEC.config())


def test_modalities_are_dropped_in_training_alone() -> None:
    model, batch = small(modality_dropout=0.5, dropout=0.0), batch_of(SPEC, 2)

    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        still = [model(batch).logits for _ in range(2)]
        model.train()
        moving = [model(batch).logits for _ in range(3)]

    assert torch.equal(*still)
    assert any(not torch.equal(one, other) for one, other in itertools.pairwise(moving))
