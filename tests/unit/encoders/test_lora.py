"""Low-rank adapters: what is trained, what a checkpoint holds, and that every adapter has an effect."""

import json
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tests.networks import KINDS, noise, padded
from torch import nn

from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import load
from merkit.encoders.bert import BertConfig
from merkit.encoders.wav2vec2 import Wav2Vec2Config

pytest.importorskip("peft", reason="the extra 'lora' is not installed")


def build(name: str, folder: Path, assets: Path | None = None, **settings: object) -> Encoder:
    spec = load("encoders", name)
    config = spec.config(weights=str(folder), **{"frozen": False, "lora": {"rank": 2}, **settings})
    encoder: Encoder = spec.build(config, spec.modalities[0], EncoderHome(assets=assets))
    return encoder


def shake(encoder: Encoder) -> Encoder:
    """Give the adapters weights of their own, as training would."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
    return encoder


@pytest.mark.parametrize("kind", KINDS)
def test_training_begins_with_the_published_network(networks, kind):
    batch = padded([noise(4_000), noise(9_000, 1)])

    with torch.no_grad():
        adapted = build("wav2vec2", networks[kind]).eval()(batch)
        published = build("wav2vec2", networks[kind], lora=None).eval()(batch)

    # 1e-4: adapters of zero take another kernel, which rounds otherwise on some processors
    torch.testing.assert_close(adapted.data[adapted.mask], published.data[published.mask], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_adapter_of_a_speech_network_is_trained_and_nothing_else(networks, kind):
    encoder = shake(build("wav2vec2", networks[kind])).train()

    output = encoder(padded([noise(4_000), noise(2_000)]))
    output.data[output.mask].square().sum().backward()

    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    moved = {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert moved == trained
    assert len(trained) == 3 * 2 * 2  # layers, targets, the matrices A and B
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)


def test_the_default_adapters_of_a_text_network_stand_beside_queries_and_values(tiny_bert):
    trained = [(name, p.numel()) for name, p in build("bert", tiny_bert).named_parameters() if p.requires_grad]

    # by hand: 3 layers, query and value, A [2, 32] and B [32, 2]
    assert sum(size for _, size in trained) == 3 * 2 * (2 * 32 + 32 * 2)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name, _ in trained} == {"query", "value"}


def test_what_an_adapter_adds_is_the_scaled_product_of_its_matrices(tiny_bert):
    encoder = shake(build("bert", tiny_bert, lora={"rank": 2, "alpha": 3, "targets": ["query"]})).eval()
    layer = next(module for name, module in encoder.named_modules() if name.endswith("layer.0.attention.self.query"))
    weights = dict(layer.named_parameters())
    x = torch.randn(4, 32)

    with torch.no_grad():
        found = layer(x)

    a, b = weights["lora_A.default.weight"], weights["lora_B.default.weight"]
    w, bias = weights["base_layer.weight"], weights["base_layer.bias"]
    expected = x @ (w + 3.0 / 2 * b @ a).T + bias  # equation 3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer stable", "wavlm group"])
def test_a_checkpoint_holds_the_adapters_alone_and_gives_the_same_answers(networks, tmp_path, kind):
    original = shake(build("wav2vec2", networks[kind], layer="mix")).eval()
    (tmp_path / "assets").mkdir()
    original.save_assets(tmp_path / "assets")
    save_file(original.state_dict(), tmp_path / "state.safetensors")

    restored = build("wav2vec2", Path("gone/away"), tmp_path / "assets", layer="mix").eval()
    state = load_file(tmp_path / "state.safetensors")
    restored.load_state_dict(state, strict=True)

    assert len(state) == 3 * 2 * 2 + 1
    assert all("lora_" in name or name == "mix.weights" for name in state)
    batch = padded([noise(4_000), noise(9_000, 1)])
    with torch.no_grad():
        found, expected = restored(batch), original(batch)
    assert torch.equal(found.mask, expected.mask)
    # 1e-5: weights read from another file lie elsewhere in memory, for which some processors have other kernels
    torch.testing.assert_close(found.data[found.mask], expected.data[found.mask], rtol=1e-5, atol=1e-5)


def test_loading_is_strict_in_both_directions(tiny_bert):
    encoder = build("bert", tiny_bert)
    state = encoder.state_dict()
    first = next(iter(state))

    with pytest.raises(RuntimeError, match="Missing key"):
        encoder.load_state_dict({name: weight for name, weight in state.items() if name != first}, strict=True)
    published = "network.embeddings.word_embeddings.weight"
    with pytest.raises(RuntimeError, match=rf'Unexpected key.*"{published}"'):
        encoder.load_state_dict({**state, published: torch.zeros(1)}, strict=True)


def test_loading_leaves_the_published_weights_as_they_are(tiny_bert):
    encoder = build("bert", tiny_bert)
    before = {name: p.clone() for name, p in encoder.named_parameters() if not p.requires_grad}

    encoder.load_state_dict(shake(build("bert", tiny_bert)).state_dict(), strict=True)

    assert before
    assert all(torch.equal(dict(encoder.named_parameters())[name], weight) for name, weight in before.items())


def test_adapters_and_layers_computed_twice_go_together(networks):
    plain, twice = (
        shake(build("wav2vec2", networks["wav2vec2 layer"], gradient_checkpointing=g)).train() for g in (False, True)
    )
    batch = padded([noise(4_000)])
    for encoder in (plain, twice):
        torch.manual_seed(1)
        encoder(batch).data.square().mean().backward()

    for (name, first), (_, second) in zip(plain.named_parameters(), twice.named_parameters(), strict=True):
        assert (first.grad is None) == (second.grad is None), name
        if first.grad is not None:
            torch.testing.assert_close(second.grad, first.grad, atol=1e-6, rtol=1e-6)


def test_layers_for_learning_rates_include_the_adapters(tiny_bert):
    below, *stack = build("bert", tiny_bert).layers()

    assert not any(parameter.requires_grad for parameter in below)
    assert [sum(parameter.requires_grad for parameter in layer) for layer in stack] == [4, 4, 4]


@pytest.mark.parametrize(
    ("name", "kind", "targets", "words"),
    [
        ("bert", None, ["q_proj"], r"no linear layer 'q_proj'\. Choose from dense, key, query, value"),
        ("wav2vec2", "wav2vec2 group", ["q_proj", "valu"], r"no linear layer 'valu'\. Choose from"),
        ("wav2vec2", "wavlm group", ["q_proj"], r"adapters on 'q_proj' do nothing .* 'wavlm'.* Choose from"),
    ],
)
def test_targets_that_are_none_or_would_do_nothing_are_refused(tiny_bert, networks, name, kind, targets, words):
    with pytest.raises(ConfigError, match=words):
        build(name, tiny_bert if kind is None else networks[kind], lora={"targets": targets})


def test_a_network_without_the_usual_layers_asks_for_targets():
    from merkit.encoders.networks.lora import LoraConfig, add_adapters

    with pytest.raises(ConfigError, match=r"lora\.targets: name some of this network's linear layers: 0, 1"):
        add_adapters(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), LoraConfig(), "other")


def test_without_the_extra_the_error_says_what_to_install(tiny_bert, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(MerkitError, match=r"needs the extra 'lora': pip install 'merkit\[lora\]'"):
        build("bert", tiny_bert)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (BertConfig, {"lora": {}}, "lora needs frozen = false and no trainable_layers"),
        (BertConfig, {"lora": {}, "frozen": False, "trainable_layers": 1}, "lora needs"),
        (Wav2Vec2Config, {"lora": {}, "frozen": False, "freeze_front_end": False}, "no lora"),
        (BertConfig, {"lora": {"rnak": 2}, "frozen": False}, "rnak"),
        (BertConfig, {"lora": {"targets": []}, "frozen": False}, "targets"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind, settings, words):
    with pytest.raises(ValidationError, match=words):
        kind(weights="x", **settings)


def test_the_description_names_the_adapters(tiny_bert):
    described = json.loads(json.dumps(build("bert", tiny_bert).describe()))

    assert described["lora"] == "rank 2, alpha 8 on query, value"
    assert "lora" not in build("bert", tiny_bert, lora=None).describe()
