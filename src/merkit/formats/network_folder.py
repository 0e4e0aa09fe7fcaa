"""What the files of a network in Hugging Face's format may say, checked before its library sees them.

The library imports code, downloads kernels, and opens other folders where such files ask for it. Here each way to ask
is refused, or is left out of what the library gets; nothing heavy is imported, so that a refusal is quick.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.data.strict_json import read_object

_CODE = ("auto_map", "custom_code", "trust_remote_code", "code_revision", "init_inputs", "fast_tokenizer_files")
"""Keys that name code, or what is passed to it."""
_KERNELS = ("use_kernels", "kernel_config", "quantization_config", "compression_config", "gguf_file")
"""Keys that make the library import or download other code, or read weights in other formats."""
_IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation(_internal|_autoset)?")
_IMPLEMENTATIONS = (None, "eager", "sdpa", True, False)
"""What the library itself has; other names are those of kernels on the hub."""
_TYPES = re.compile(r"(torch\.)?(float16|float32|float64|bfloat16|auto)")
_NAMES = {
    "model_type": re.compile(r"[A-Za-z0-9_.-]+"),
    **dict.fromkeys(("tokenizer_class", "processor_class", "feature_extractor_type"), re.compile(r"\w+")),
}
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
_JSON = (
    "config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_LAYERS = re.compile(r"(num_\w*|\w*_|n_)layers?")
_MOST_LAYERS = 1000
_MOST = 10_000_000
"""Largest whole number in a network's configuration, such as the size of a vocabulary."""
_LEFT_OUT = frozenset(
    {
        *("_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype"),
        *("return_dict", "use_return_dict", "torchscript", "output_attentions", "output_hidden_states"),
    }
)
"""Keys that are not passed on: merkit sets what they stand for, or they only say where the files came from."""


def check_network_folder(folder: Path) -> None:
    """Refuse a network whose files ask for code, for other folders, or for sizes that no network has.

    Raises:
        MerkitError: They do, are damaged, or are no regular files; one line that names the file and the key.
    """
    for name in _ADAPTERS:
        if (folder / name).exists():
            raise MerkitError(f"'{folder / name}' belongs to an adapter: merge it into the network, or remove it")
    for name in _JSON:
        if (folder / name).exists() or (folder / name).is_symlink():
            _check_values(folder / name, read_object(folder / name))
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = read_object(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(s, str) and _SHARD.fullmatch(s) for s in shards.values()):
            raise MerkitError(f"'{index}': weight_map names other files than model-*-of-*.safetensors: get it again")


def network_settings(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the type of a network, and the settings that it is built from.

    Raises:
        MerkitError: As `check_network_folder`, or the type is missing.
    """
    path = folder / "config.json"
    values = read_object(path)
    _check_values(path, values)
    kind = values.pop("model_type", None)
    if not isinstance(kind, str):
        raise MerkitError(f"'{path}' has no model_type, such as \"bert\": add it, or get another network")
    return kind, {key: value for key, value in values.items() if key not in _LEFT_OUT}


def _check_values(path: Path, values: Mapping[str, Any]) -> None:
    for key, value in _entries(values):
        if key in _CODE and value:
            raise MerkitError(f"Cannot use '{path}': it needs code of its own, which merkit does not run ({key})")
        if (key in _KERNELS and value) or (_IMPLEMENTATION.fullmatch(key) and not _plain(value)):
            raise MerkitError(f"Cannot use '{path}': {key} asks for code from elsewhere, which merkit does not run")
        if key in ("dtype", "torch_dtype") and not (value is None or _matches(_TYPES, value)):
            raise MerkitError(f"Cannot use '{path}': {key} is {str(value)[:40]!r}, expected float32 or the like")
        if key in _NAMES and not (value is None or _matches(_NAMES[key], value)):
            raise MerkitError(f"Cannot use '{path}': {key} is {str(value)[:40]!r}, expected a name")
        if key == "model_max_length" and not (type(value) in (int, float) and value > 0):
            raise MerkitError(f"Cannot use '{path}': {key} is {str(value)[:40]!r}, expected a number of tokens")
        if path.name == "config.json" and isinstance(value, int):
            layers = _LAYERS.fullmatch(key) is not None
            most = _MOST_LAYERS if layers else _MOST
            if value > most or (layers and value < 0):
                raise MerkitError(f"Cannot use '{path}': {key} is {str(value)[:40]}, expected 0 to {most:,}")


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_plain(each) for each in value.values())
    return value in _IMPLEMENTATIONS


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _entries(values: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, at all depths, and the items of lists under the list's key."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key, value
            if isinstance(value, list):
                yield from ((key, item) for item in value)
            yield from _entries(value)
    elif isinstance(values, list):
        for item in values:
            yield from _entries(item)
