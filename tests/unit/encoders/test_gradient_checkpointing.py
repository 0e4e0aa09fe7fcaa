"""Memory of trained networks: layers computed twice in place of kept, and frozen layers that keep nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tests.memory import LiveTensors
from tests.networks import KINDS, noise, padded, write_speech_network
from torch import Tensor

from merkit.core.batch import Padded
from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError
from merkit.core.lookup import load
from merkit.encoders.bert import BertConfig
from merkit.encoders.networks.layers import checkpoint_layers, transformer_layers
from merkit.encoders.networks.trained import TrainedNetwork
from merkit.encoders.wav2vec2 import Wav2Vec2Config


def build(name: str, folder: Path, **settings: object) -> Encoder:
    spec = load("encoders", name)
    encoder: Encoder = spec.build(spec.config(weights=str(folder), **settings), spec.modalities[0], EncoderHome())
    return encoder.train()


def without_dropout(encoder: Encoder) -> Encoder:
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return encoder


def learned(encoder: Encoder, batch: Padded) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a loss and the gradient of every weight that has one."""
    torch.manual_seed(1)
    output = encoder(batch)
    loss = output.data[output.mask].square().mean()
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("layer", ["last", "mix"])
@pytest.mark.parametrize("kind", KINDS)
def test_speech_networks_learn_the_same_when_layers_are_computed_twice(networks, kind, layer, dropout):
    made = [build("wav2vec2", networks[kind], frozen=False, layer=layer, gradient_checkpointing=g) for g in (0, 1)]
    plain, twice = made if dropout else map(without_dropout, made)
    batch = padded([noise(4_000), noise(9_000, 1)])

    (loss, gradients), (again, others) = learned(plain, batch), learned(twice, batch)

    torch.testing.assert_close(again, loss, atol=1e-6, rtol=1e-6)
    assert gradients.keys() == others.keys()
    assert len(gradients) > 40
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-6, rtol=1e-6)


def test_text_networks_learn_the_same_when_layers_are_computed_twice(tiny_bert, say):
    plain, twice = (build("bert", tiny_bert, frozen=False, gradient_checkpointing=g) for g in (False, True))
    batch = padded(plain.extract([say("so very happy . you are"), say("not here", identity="v")]))

    (loss, gradients), (again, others) = learned(plain, batch), learned(twice, batch)

    torch.testing.assert_close(again, loss, atol=1e-6, rtol=1e-6)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-6, rtol=1e-6)


def kept_bytes(encoder: Encoder, batch: Padded) -> int:
    """Return what a forward pass leaves in memory for the backward pass."""
    with LiveTensors() as live:
        output = encoder(batch)
        return live.bytes - output.data.nbytes


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer stable"])
def test_layers_that_are_computed_twice_keep_a_fraction_for_the_backward_pass(tmp_path, kind):
    folder = write_speech_network(tmp_path, kind, num_hidden_layers=8)
    batch = padded([noise(32_000), noise(30_000, 1)])
    plain, twice = (build("wav2vec2", folder, frozen=False, gradient_checkpointing=g) for g in (False, True))

    assert kept_bytes(twice, batch) < 0.35 * kept_bytes(plain, batch)


def test_a_network_in_evaluation_computes_nothing_twice(networks, monkeypatch):
    encoder = build("wav2vec2", networks["wav2vec2 group"], frozen=False, gradient_checkpointing=True).eval()
    assert isinstance(encoder, TrainedNetwork)
    calls: list[int] = []
    for layer in transformer_layers(encoder.network, encoder.architecture.network_config):
        layer.attention.register_forward_hook(lambda *_: calls.append(1))

    encoder(padded([noise(4_000)])).data.sum().backward()

    assert len(calls) == 3


def test_the_layers_of_a_network_in_training_are_computed_twice(networks):
    encoder = build("wav2vec2", networks["wav2vec2 group"], frozen=False, gradient_checkpointing=True)
    assert isinstance(encoder, TrainedNetwork)
    calls: list[int] = []
    for layer in transformer_layers(encoder.network, encoder.architecture.network_config):
        layer.attention.register_forward_hook(lambda *_: calls.append(1))

    encoder(padded([noise(4_000)])).data.sum().backward()

    assert len(calls) == 6


def test_a_network_that_cannot_is_refused():
    with pytest.raises(ConfigError, match=r"gradient_checkpointing: 'w' \(Linear\) does not support it"):
        checkpoint_layers(torch.nn.Linear(1, 1), "w")


@pytest.mark.parametrize("kind", [BertConfig, Wav2Vec2Config])
def test_a_frozen_network_has_nothing_to_compute_twice(kind: Callable[..., object]):
    with pytest.raises(ValidationError, match="gradient_checkpointing needs frozen = false"):
        kind(weights="x", gradient_checkpointing=True)


def _states(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer stable", "wavlm group"])
def test_layers_below_the_trained_ones_have_no_backward_pass(networks, kind, gradient_checkpointing):
    encoder = build(
        "wav2vec2", networks[kind], frozen=False, trainable_layers=1, gradient_checkpointing=gradient_checkpointing
    )
    assert isinstance(encoder, TrainedNetwork)
    wanted: list[bool] = []
    for layer in transformer_layers(encoder.network, encoder.architecture.network_config):
        layer.register_forward_hook(lambda _, __, out: wanted.append(_states(out).requires_grad))

    output = encoder(padded([noise(4_000)]))
    held = list(wanted)
    output.data.sum().backward()

    assert held == [False, False, True]
    assert {name.split(".layers.")[1][0] for name, p in encoder.named_parameters() if p.grad is not None} == {"2"}


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_layers_of_a_text_network_below_the_trained_ones_have_no_backward_pass(tiny_bert, say, gradient_checkpointing):
    encoder = build("bert", tiny_bert, frozen=False, trainable_layers=2, gradient_checkpointing=gradient_checkpointing)
    assert isinstance(encoder, TrainedNetwork)
    wanted: list[bool] = []
    for layer in transformer_layers(encoder.network, encoder.architecture.network_config):
        layer.register_forward_hook(lambda _, __, out: wanted.append(_states(out).requires_grad))

    encoder(padded(encoder.extract([say("so very happy")])))

    assert wanted == [False, True, True]


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer stable"])
def test_layers_below_the_trained_ones_keep_nothing_however_many_they_are(tmp_path, kind):
    batch = padded([noise(16_000), noise(9_000, 1)])
    few, many = (
        build(
            "wav2vec2",
            write_speech_network(tmp_path / str(layers), kind, num_hidden_layers=layers),
            frozen=False,
            trainable_layers=1,
        )
        for layers in (2, 9)
    )
    whole = build("wav2vec2", tmp_path / "9", frozen=False)

    assert kept_bytes(many, batch) == kept_bytes(few, batch)
    assert kept_bytes(many, batch) < 0.25 * kept_bytes(whole, batch)
