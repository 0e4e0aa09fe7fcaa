"""A writer of CTranslate2's ``model.bin``, from the description of the format and apart from merkit's reader."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def string(text: str) -> bytes:
    """A text with its length, ended by a zero."""
    return struct.pack("<H", len(text.encode()) + 1) + text.encode() + b"\0"


def variable(name: str, values: Any) -> bytes:
    """A named array."""
    values = np.asarray(values)
    axes = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return string(name) + axes + struct.pack("<BI", TYPES[str(values.dtype)], values.nbytes) + values.tobytes()


def model(
    variables: Mapping[str, Any], aliases: Mapping[str, str] | None = None, specification: str = "WhisperSpec"
) -> bytes:
    """A whole file of version 6."""
    aliases = aliases or {}
    content = struct.pack("<I", 6) + string(specification) + struct.pack("<II", 3, len(variables))
    content += b"".join(variable(name, values) for name, values in variables.items())
    return content + struct.pack("<I", len(aliases)) + b"".join(string(a) + string(b) for a, b in aliases.items())


def whisper_variables(state: Mapping[str, Any], heads: int) -> dict[str, Any]:
    """The variables of a Whisper from the arrays of transformers' ``WhisperForConditionalGeneration``."""
    state = {name.removeprefix("model."): np.asarray(values) for name, values in state.items()}
    dim = len(state["encoder.conv1.bias"])
    flags = {"pre_norm": 1, "activation": 3, "alibi": 0, "scale_embeddings": 0, "start_from_zero_embedding": 0}
    variables: dict[str, Any] = {f"decoder/{name}": np.int8(value) for name, value in flags.items()}
    variables["decoder/alignment_layer"] = np.int16(-1)
    variables["decoder/alignment_heads"] = np.int16(1)
    variables["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]

    def stack(to: str, layers: list[str]) -> None:
        variables[f"{to}/weight"] = np.concatenate([state[f"{name}.weight"] for name in layers])
        no_bias = np.zeros(dim, variables[f"{to}/weight"].dtype)
        variables[f"{to}/bias"] = np.concatenate([state.get(f"{name}.bias", no_bias) for name in layers])

    def norm(to: str, layer: str) -> None:
        variables[f"{to}/gamma"], variables[f"{to}/beta"] = state[f"{layer}.weight"], state[f"{layer}.bias"]

    for conv in ("conv1", "conv2"):
        stack(f"encoder/{conv}", [f"encoder.{conv}"])
    for side in ("encoder", "decoder"):
        variables[f"{side}/num_heads"] = np.int16(heads)
        variables[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for number in range(sum(name.endswith("fc1.bias") and name.startswith(side) for name in state)):
            old, new = f"{side}.layers.{number}", f"{side}/layer_{number}"
            norm(f"{new}/self_attention/layer_norm", f"{old}.self_attn_layer_norm")
            stack(f"{new}/self_attention/linear_0", [f"{old}.self_attn.{part}_proj" for part in "qkv"])
            stack(f"{new}/self_attention/linear_1", [f"{old}.self_attn.out_proj"])
            norm(f"{new}/ffn/layer_norm", f"{old}.final_layer_norm")
            stack(f"{new}/ffn/linear_0", [f"{old}.fc1"])
            stack(f"{new}/ffn/linear_1", [f"{old}.fc2"])
            if side == "decoder":
                norm(f"{new}/attention/layer_norm", f"{old}.encoder_attn_layer_norm")
                stack(f"{new}/attention/linear_0", [f"{old}.encoder_attn.q_proj"])
                stack(f"{new}/attention/linear_1", [f"{old}.encoder_attn.{part}_proj" for part in "kv"])
                stack(f"{new}/attention/linear_2", [f"{old}.encoder_attn.out_proj"])
    return variables
