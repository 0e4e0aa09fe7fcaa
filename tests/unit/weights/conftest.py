"""A tiny Whisper as if two packages carried it, beside the packaged one."""

import hashlib
import json
from dataclasses import replace

import pytest
from tests import model_bin as written

from merkit.weights import known
from merkit.weights.known import WHISPER_BASE, Source

NAME = "builtin:tiny"
TOKENS = {"<|endoftext|>": 90, "<|startoftranscript|>": 91, "<|en|>": 92, "<|translate|>": 93, "<|transcribe|>": 94}
TOKENS |= {"<|startofprev|>": 95, "<|notimestamps|>": 96}
PACKAGED = {"lang_ids": [92], "alignment_heads": [[1, 1]], "suppress_ids": [1], "suppress_ids_begin": [2, 90]}


@pytest.fixture(scope="session")
def tiny_network():
    """transformers' own network with random float16 weights, unequal in all sizes."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=100,
        num_mel_bins=6,
        d_model=8,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=10,
        max_source_positions=14,
        max_target_positions=9,
        bos_token_id=90,
        eos_token_id=90,
        pad_token_id=90,
        decoder_start_token_id=91,
    )
    network = WhisperForConditionalGeneration(config)
    for weights in network.parameters():
        torch.nn.init.normal_(weights)
    return network.half().eval()


@pytest.fixture(scope="session")
def tiny_variables(tiny_network):
    state = {name: values.numpy() for name, values in tiny_network.state_dict().items()}
    return written.whisper_variables(state, heads=2)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package with these files where packages are found; its code must not run."""
    monkeypatch.syspath_prepend(tmp_path / "site")

    def install(package, files):
        for name, content in files.items():
            path = tmp_path / "site" / package / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (tmp_path / "site" / package / "__init__.py").write_text("raise SystemExit('code of a package was run')")
        return tmp_path / "site" / package / "data"

    return install


@pytest.fixture
def tiny(tiny_variables, install, tmp_path, monkeypatch):
    """Install the tiny Whisper in two packages, know it by name, and return the folders of both."""
    content = written.model(tiny_variables, {"decoder/projection/weight": "decoder/embeddings/weight"})
    added = [{"content": token, "id": number, "special": True} for token, number in TOKENS.items()]
    tokenizer = {"added_tokens": [*added, {"content": "<|0.00|>", "id": 97, "special": False}]}
    small = {"config.json": PACKAGED, "tokenizer.json": tokenizer}
    files = {name: json.dumps(values).encode() for name, values in small.items()}
    first = install("tiny_part1", {"model.bin.part1": content[:777], "vocabulary.txt": b"a\nb\n", **files})
    second = install("tiny_part2", {"model.bin.part2": content[777:]})
    sha256 = hashlib.sha256(content).hexdigest()
    source = Source(
        packages=("tiny-part1==1", "tiny-part2==1"),
        pieces=("tiny_part1/data/model.bin.part1", "tiny_part2/data/model.bin.part2"),
        described_in="tiny_part1/data",
        sha256=sha256,
        extra="speech",
    )
    weights = replace(WHISPER_BASE, name=NAME, sha256=sha256, sources=(source,))
    monkeypatch.setitem(known.KNOWN, NAME, weights)
    monkeypatch.setitem(known.BUILT_IN, NAME, weights)
    monkeypatch.setenv("MERKIT_CACHE", str(tmp_path / "cache"))
    return first, second
