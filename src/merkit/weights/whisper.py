"""Whisper from CTranslate2's format to Hugging Face's: names, shapes, settings.

The arrays stay as they are, float16 in Whisper base: half the space, nothing is lost, and readers ask for the type that
they work in. CTranslate2 joins query, key and value of an attention in one array; the key has no bias, which there is
zero. Names on the other side are those of ``WhisperForConditionalGeneration`` (transformers 5); its output layer is
tied to the embedding and is no array of its own.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from merkit.core.arrays import Array
from merkit.formats.ctranslate2 import CTranslate2Model

_GELU = 3
_RATE_HZ, _WINDOW, _HOP, _CHUNK_S = 16_000, 400, 160, 30
"""Whisper's log-mel frames: 25 ms every 10 ms, in pieces of 30 s. Section 2.2."""
_TIMESTAMP_S = 0.02
_SWITCHES = {
    "decoder/activation": _GELU,
    "decoder/alibi": 0,
    "decoder/alibi_use_positive_positions": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_alibi": 0,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
"""How the network computes, of which Hugging Face's has no choice; some versions leave out what is the default."""
_IGNORED = ("decoder/alignment_heads", "decoder/alignment_layer")
_LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/")


class WhisperVariables:
    """The variables of a Whisper; each is taken once, with the shape that it must have.

    Raises:
        ValueError: It is no Whisper; the message names the variable.
    """

    def __init__(self, model: CTranslate2Model) -> None:
        if model.specification != "WhisperSpec":
            raise ValueError(f"it holds a '{model.specification[:40]}', expected a WhisperSpec")
        self._left = dict(model.variables)
        for name, expected in _SWITCHES.items():
            if (value := self._number(name, expected)) != expected:
                raise ValueError(f"'{name}' is {value}, expected {expected}")
        for name in _IGNORED:
            self._left.pop(name, None)
        self.vocabulary, self.dim = self._shape("decoder/embeddings/weight", 2)
        self.ffn_dim = {side: self._shape(f"{side}/layer_0/ffn/linear_0/weight", 2)[0] for side in _SIDES}
        self.positions = {side: self._shape(f"{side}/position_encodings/encodings", 2)[0] for side in _SIDES}
        self.mels = self._shape("encoder/conv1/weight", 3)[1]
        self.heads = {side: self._number(f"{side}/num_heads", 0) for side in _SIDES}
        self.layers = {side: self._layers(side) for side in _SIDES}
        for side in _SIDES:
            if self.heads[side] < 1 or self.dim % self.heads[side]:
                raise ValueError(f"'{side}/num_heads' is {self.heads[side]}, which does not divide {self.dim}")

    def take(self, name: str, *shape: int) -> Array:
        """Return a variable and count it as used."""
        found = self._shape(name, len(shape))
        if found != shape:
            raise ValueError(f"'{name}' has shape {found}, expected {shape}")
        values = self._left.pop(name)
        if values.dtype.kind != "f":
            raise ValueError(f"'{name}' is {values.dtype}, expected float16 or float32: it was quantized")
        return values

    def check_all_used(self) -> None:
        """Refuse variables that no name of Hugging Face's stands for."""
        if self._left:
            raise ValueError(f"{len(self._left)} variables are none of Whisper's, first '{min(self._left)[:80]}'")

    def _shape(self, name: str, axes: int) -> tuple[int, ...]:
        if name not in self._left or self._left[name].ndim != axes:
            raise ValueError(f"no variable '{name}' with {axes} axes")
        return self._left[name].shape

    def _number(self, name: str, otherwise: int) -> int:
        values = self._left.pop(name, np.array(otherwise))
        if values.ndim or values.dtype.kind != "i":
            raise ValueError(f"'{name}' is no whole number")
        return int(values)

    def _layers(self, side: str) -> int:
        matches = [match for name in self._left if (match := _LAYER.match(name)) and match[1] == side]
        return 1 + max((int(match[2]) for match in matches), default=-1)


_SIDES = ("encoder", "decoder")


def whisper_tensors(variables: WhisperVariables) -> dict[str, Array]:
    """Return all variables under the names of ``WhisperForConditionalGeneration``.

    Raises:
        ValueError: One is missing, has another shape, or is none of Whisper's.
    """
    dim, tensors = variables.dim, {}
    for number, inputs in ((1, variables.mels), (2, dim)):
        name = f"encoder/conv{number}"
        tensors[f"model.encoder.conv{number}.weight"] = variables.take(f"{name}/weight", dim, inputs, 3)
        tensors[f"model.encoder.conv{number}.bias"] = variables.take(f"{name}/bias", dim)
    tensors["model.decoder.embed_tokens.weight"] = variables.take(
        "decoder/embeddings/weight", variables.vocabulary, dim
    )
    for side in _SIDES:
        positions = variables.take(f"{side}/position_encodings/encodings", variables.positions[side], dim)
        tensors[f"model.{side}.embed_positions.weight"] = positions
        tensors |= _norm(variables, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for number in range(variables.layers[side]):
            tensors |= _layer(variables, side, f"{side}/layer_{number}", f"model.{side}.layers.{number}")
    variables.check_all_used()
    return tensors


def _layer(variables: WhisperVariables, side: str, old: str, new: str) -> dict[str, Array]:
    dim, ffn_dim = variables.dim, variables.ffn_dim[side]
    tensors = _norm(variables, f"{old}/self_attention/layer_norm", f"{new}.self_attn_layer_norm")
    tensors |= _linear(variables, f"{old}/self_attention/linear_0", dim, [f"{new}.self_attn.{x}_proj" for x in "qkv"])
    tensors |= _linear(variables, f"{old}/self_attention/linear_1", dim, [f"{new}.self_attn.out_proj"])
    if side == "decoder":
        tensors |= _norm(variables, f"{old}/attention/layer_norm", f"{new}.encoder_attn_layer_norm")
        tensors |= _linear(variables, f"{old}/attention/linear_0", dim, [f"{new}.encoder_attn.q_proj"])
        tensors |= _linear(variables, f"{old}/attention/linear_1", dim, [f"{new}.encoder_attn.{x}_proj" for x in "kv"])
        tensors |= _linear(variables, f"{old}/attention/linear_2", dim, [f"{new}.encoder_attn.out_proj"])
    tensors |= _norm(variables, f"{old}/ffn/layer_norm", f"{new}.final_layer_norm")
    tensors |= _linear(variables, f"{old}/ffn/linear_0", dim, [f"{new}.fc1"], ffn_dim)
    return tensors | _linear(variables, f"{old}/ffn/linear_1", ffn_dim, [f"{new}.fc2"], dim)


def _linear(
    variables: WhisperVariables, old: str, inputs: int, parts: list[str], outputs: int | None = None
) -> dict[str, Array]:
    """Return weight and bias of each layer that is stacked in one, in this order; ``outputs`` is that of each."""
    rows = len(parts) * (outputs or inputs)
    weights = np.split(variables.take(f"{old}/weight", rows, inputs), len(parts))
    biases = np.split(variables.take(f"{old}/bias", rows), len(parts))
    tensors = {}
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        tensors[f"{part}.weight"] = weight
        if not part.endswith("k_proj"):
            tensors[f"{part}.bias"] = bias
        elif bias.any():
            raise ValueError(f"'{old}/bias' has a bias of the key, which Whisper has not")
    return tensors


def _norm(variables: WhisperVariables, old: str, new: str) -> dict[str, Array]:
    return {
        f"{new}.weight": variables.take(f"{old}/gamma", variables.dim),
        f"{new}.bias": variables.take(f"{old}/beta", variables.dim),
    }


def network_config(variables: WhisperVariables, tokens: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of ``config.json``, a ``WhisperConfig``."""
    end, start = tokens["<|endoftext|>"], tokens["<|startoftranscript|>"]
    config: dict[str, Any] = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "activation_function": "gelu",
        "scale_embedding": False,
        "dtype": "float16",
        "d_model": variables.dim,
        "num_hidden_layers": variables.layers["encoder"],
        "vocab_size": variables.vocabulary,
        "num_mel_bins": variables.mels,
        "max_source_positions": variables.positions["encoder"],
        "max_target_positions": variables.positions["decoder"],
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
        "decoder_start_token_id": start,
        "begin_suppress_tokens": None,
    }
    for side in _SIDES:
        config[f"{side}_layers"] = variables.layers[side]
        config[f"{side}_attention_heads"] = variables.heads[side]
        config[f"{side}_ffn_dim"] = variables.ffn_dim[side]
    return config


def generation_config(
    packaged: Mapping[str, Any], config: Mapping[str, Any], tokens: Mapping[str, int]
) -> dict[str, Any]:
    """Return the content of ``generation_config.json``: what the recogniser may say, from CTranslate2's settings."""
    languages = set(packaged["lang_ids"])
    return {
        **{key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")},
        "alignment_heads": packaged["alignment_heads"],
        "begin_suppress_tokens": packaged["suppress_ids_begin"],
        "suppress_tokens": packaged["suppress_ids"],
        "is_multilingual": True,
        "lang_to_id": {token: number for token, number in tokens.items() if number in languages},
        "task_to_id": {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "prev_sot_token_id": tokens["<|startofprev|>"],
        "max_initial_timestamp_index": round(1 / _TIMESTAMP_S),
        "max_length": config["max_target_positions"],
        "return_timestamps": False,
        "task": "transcribe",
    }


def tokenizer_config(tokens: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of ``tokenizer_config.json``: which tokens are no words, the last before those of times."""
    return {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        "additional_special_tokens": sorted(tokens, key=tokens.__getitem__),
    }


def preprocessor_config(mels: int) -> dict[str, Any]:
    """Return the content of ``preprocessor_config.json``, a ``WhisperFeatureExtractor``."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": mels,
        "sampling_rate": _RATE_HZ,
        "n_fft": _WINDOW,
        "hop_length": _HOP,
        "chunk_length": _CHUNK_S,
        "n_samples": _CHUNK_S * _RATE_HZ,
        "nb_max_frames": _CHUNK_S * _RATE_HZ // _HOP,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
