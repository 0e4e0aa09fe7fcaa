"""Whisper trained with the model: which weights learn, and by which layer they count."""

from pathlib import Path

import pytest
import torch
from tests.networks import noise, padded, write_whisper

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderHome
from merkit.core.types import Turn, Utterance
from merkit.core.waveform import Waveform
from merkit.encoders.networks.trained import TrainedNetwork
from merkit.encoders.whisper import SPEC, WhisperConfig


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper"))


def build(folder: Path, **settings: object) -> TrainedNetwork:
    encoder = SPEC.build(WhisperConfig(weights=str(folder), frozen=False, **settings), "audio", EncoderHome())
    assert isinstance(encoder, TrainedNetwork)
    return encoder.train()


def batch(encoder: TrainedNetwork) -> Padded:
    waves = [noise(4_000), noise(9_000, 1)]
    turns = [
        Turn(Utterance(f"u{n}", "c", n, "s", audio=Waveform(wave, 16_000)), (), Path()) for n, wave in enumerate(waves)
    ]
    return padded(encoder.extract(turns))


def learned(encoder: TrainedNetwork) -> set[str]:
    """Return the weights that a step moves."""
    output = encoder(batch(encoder))
    output.data[output.mask].square().sum().backward()
    return {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


def trained(encoder: TrainedNetwork) -> set[str]:
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("settings", [{}, {"layer": "mix"}, {"pooled": "mean_std", "layer": "mean"}])
def test_all_weights_of_the_encoder_learn_but_the_fixed_positions(whisper: Path, settings: dict[str, object]) -> None:
    encoder = build(whisper, **settings)

    assert learned(encoder) == trained(encoder)
    assert set(dict(encoder.named_parameters())) - trained(encoder) == {"network.embed_positions.weight"}


def test_the_last_layers_alone_can_learn(whisper: Path) -> None:
    encoder = build(whisper, trainable_layers=1)

    assert learned(encoder) == trained(encoder)
    assert all(name.startswith("network.layers.2.") for name in trained(encoder))


def test_weights_are_ordered_by_layer_with_the_output_s_normalisation_in_the_last(whisper: Path) -> None:
    encoder = build(whisper)
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}

    below, *stack = [{names[id(parameter)] for parameter in group} for group in encoder.layers()]

    assert below == {f"network.conv{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")} | {
        "network.embed_positions.weight"
    }
    for number, layer in enumerate(stack):
        assert {name for name in names.values() if name.startswith(f"network.layers.{number}.")} <= layer
    assert {"network.layer_norm.weight", "network.layer_norm.bias"} <= stack[-1]
    assert sum(map(len, [below, *stack])) == len(names)


def test_adapters_stand_beside_queries_and_values(whisper: Path) -> None:
    pytest.importorskip("peft", reason="the extra 'lora' is not installed")
    encoder = build(whisper, lora={"rank": 2})
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name in trained(encoder):
                parameter.normal_(std=0.3)

    assert learned(encoder) == trained(encoder)
    assert len(trained(encoder)) == 3 * 2 * 2  # layers, targets, the matrices A and B
    assert {name.split(".")[4] for name in trained(encoder)} == {"q_proj", "v_proj"}
    assert encoder.describe()["lora"] == "rank 2, alpha 8 on q_proj, v_proj"


def test_layers_that_are_computed_twice_give_the_same_gradients(whisper: Path) -> None:
    found = []
    for twice in (False, True):
        encoder = build(whisper, gradient_checkpointing=twice)
        calls: list[int] = []
        encoder.network.layers[0].self_attn.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        learned(encoder)
        found.append({name: p.grad for name, p in encoder.named_parameters() if p.grad is not None})
        assert len(calls) == 1 + twice

    plain, again = found
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-5, rtol=1e-4)
