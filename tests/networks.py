"""Small networks of the library's own classes with random weights, and waveforms to run them on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from merkit.core.batch import Padded

KINDS = ["wav2vec2 group", "wav2vec2 layer", "wav2vec2 layer stable", "hubert group", "hubert layer", "wavlm group"]
"""Class, how the front end normalises, and whether the transformer normalises before its layers."""


def write_speech_network(folder: Path, kind: str, **settings: object) -> Path:
    """Write a network with the published front end's strides and kernels; weights are the kind's own."""
    import transformers

    name, norm, *stable = kind.split()
    types = {
        "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
        "hubert": (transformers.HubertConfig, transformers.HubertModel),
        "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
    }
    config, model = types[name]
    small = {
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (16,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "initializer_range": 0.3,  # large, so that what should not matter would show
    }
    chosen = config(feat_extract_norm=norm, do_stable_layer_norm=bool(stable), **{**small, **settings})
    with torch.random.fork_rng():
        torch.manual_seed(KINDS.index(kind))
        model(chosen).save_pretrained(folder)
    page = {"do_normalize": norm == "layer", "sampling_rate": 16_000}
    (folder / "preprocessor_config.json").write_text(json.dumps(page))
    return folder


def write_whisper(folder: Path, *, whole: bool = False, **settings: object) -> Path:
    """Write a Whisper network, with ``whole`` also the head that spells, as most published folders have it."""
    import transformers

    small = {
        "vocab_size": 12,
        "d_model": 24,
        "encoder_layers": 3,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "init_std": 0.3,  # large, so that what should not matter would show
    }
    config = transformers.WhisperConfig(**{**small, **settings})
    kind = transformers.WhisperForConditionalGeneration if whole else transformers.WhisperModel
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    return folder


def write_text_network(folder: Path, words: Sequence[str], **settings: int) -> Path:
    """Write a BERT network whose tokens are these words, in lower case."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
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
    small = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=128,
        initializer_range=0.3,  # large, so that what should not matter would show
        pad_token_id=0,
        **{**small, **settings},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def noise(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.05, 0.5) * rng.standard_normal(samples) + 0.1).astype(np.float32)


def padded(arrays: list[np.ndarray], steps: int = 0) -> Padded:
    """Side by side, with garbage in the padding."""
    longest = max(steps, *(len(array) for array in arrays))
    data = np.full((len(arrays), longest, *arrays[0].shape[1:]), 1000, dtype=arrays[0].dtype)
    mask = np.zeros(data.shape[:2], dtype=bool)
    for row, array in enumerate(arrays):
        data[row, : len(array)] = array
        mask[row, : len(array)] = True
    return Padded(torch.from_numpy(data), torch.from_numpy(mask))
