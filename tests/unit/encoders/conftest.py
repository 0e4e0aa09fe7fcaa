"""Small networks with random weights in Hugging Face's own classes and format, and turns made of words or samples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.networks import KINDS, write_speech_network

from merkit.core.types import Turn, Utterance

WORDS = ["i", "you", "we", "are", "happy", "sad", "so", "very", "not", "here", "there", "anna", "ben", ":", ".", "one"]
WORDS += ["two", "three", "four", "five", "six", "seven", "eight"]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.normalizer = normalizers.Lowercase()
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=plain,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=128,
            initializer_range=0.3,  # large, so that what should not matter would show
            pad_token_id=0,
        )
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder for each kind of speech network."""
    return {kind: write_speech_network(tmp_path_factory.mktemp("network") / kind, kind) for kind in KINDS}


@pytest.fixture
def say(tmp_path: Path) -> Callable[..., Turn]:
    """Return a maker of turns: ``say("text", before=["older", "newer"])``; speakers take turns."""

    def make(text: str | None, before: Sequence[str | None] = (), identity: str = "u") -> Turn:
        lines = [*before, text]
        utterances = [
            Utterance(f"{identity}{number}", "c", number, ["anna", "ben"][number % 2], line)
            for number, line in enumerate(lines)
        ]
        return Turn(utterances[-1], tuple(utterances[:-1]), tmp_path)

    return make


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Turn]:
    """Return a maker of turns that have a recording of these samples at 16 kHz."""

    def make(
        samples: np.ndarray, identity: str = "u", start_s: float | None = None, end_s: float | None = None
    ) -> Turn:
        soundfile.write(tmp_path / f"{identity}.wav", samples, 16_000, subtype="FLOAT")
        utterance = Utterance(identity, identity, 0, "anna", audio=f"{identity}.wav", start_s=start_s, end_s=end_s)
        return Turn(utterance, (), tmp_path)

    return make
