"""Folders with the files of built-in weights, as the libraries that read them expect them.

Packages that carry a network in Hugging Face's format are read in place. Whisper comes in CTranslate2's format and in
pieces: on first use it is converted, or joined for faster-whisper, into the user's cache. GE2E comes as a pickle of
tensors, which is read once, by a reader that runs no code.
"""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.data.files import write_safetensors
from merkit.data.strict_json import read_object
from merkit.formats.ctranslate2 import read_ctranslate2
from merkit.weights import whisper
from merkit.weights.cache import Writers, cache_folder, is_made, made_once
from merkit.weights.known import GE2E, WHISPER_BASE, KnownWeights, Source, built_in
from merkit.weights.models import built_in_models
from merkit.weights.packages import checked_source, installed_sources, package_file

_CONVERSION = 1
"""Raised when a conversion writes other files, so that those of earlier versions are made anew."""
_WEIGHTS = "model.safetensors"
_NETWORK, _RECOGNIZER, _EMBEDDING = "network", "recognizer", "speaker_embedding"


def network_folder(name: str) -> Path:
    """Return a folder with a network in Hugging Face's format: configuration, safetensors, tokenizer, preprocessor.

    Raises:
        ConfigError: No built-in weights have this name.
        MerkitError: Their packages are not installed or damaged, or the cache cannot be written to.
    """
    weights = built_in(name)
    if weights.kind == "network":
        return package_file(checked_source(weights).described_in)
    return _made(weights, _NETWORK, _converted)


def recognizer_folder(name: str) -> Path:
    """Return a folder of a Whisper for faster-whisper: model.bin, config.json, tokenizer.json and the vocabulary.

    Raises:
        ConfigError: No built-in recogniser has this name.
        MerkitError: As `network_folder`.
    """
    weights = built_in(name)
    if weights.kind == "network":
        raise MerkitError(f"'{name}' recognises no words: name a Whisper, such as '{WHISPER_BASE.name}'")
    return _made(weights, _RECOGNIZER, _joined)


def ge2e_file() -> Path:
    """Return the safetensors of GE2E, the network of speaker embeddings.

    Raises:
        MerkitError: As `network_folder`.
    """
    return _made(GE2E, _EMBEDDING, _unpickled) / _WEIGHTS


def whereabouts(weights: KnownWeights) -> str | None:
    """Return where weights are, or None where they are not; no content is read.

    ``package``, ``hub cache``, or which folders of the cache there are without the packages, as in ``cache: network``.
    """
    if weights.name in built_in_models() or next(installed_sources(weights), None) is not None:
        return "package"
    if weights.kind == "model":
        return None
    if weights.sources:
        made = [
            kind for kind in (_NETWORK, _RECOGNIZER, _EMBEDDING) if is_made(_place(weights, kind), _origin(weights))
        ]
        return f"cache: {' and '.join(made)}" if made else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(weights.hub_id), _WEIGHTS, revision=weights.revision)
    return "hub cache" if isinstance(found, str) else None


def _made(weights: KnownWeights, kind: str, prepare: Callable[[Source], Writers]) -> Path:
    return made_once(_place(weights, kind), _origin(weights), lambda: prepare(checked_source(weights)))


def _place(weights: KnownWeights, kind: str) -> Path:
    return cache_folder() / f"{weights.name.removeprefix('builtin:')}-{str(weights.sha256)[:12]}" / kind


def _origin(weights: KnownWeights) -> dict[str, Any]:
    return {"sha256": weights.sha256, "conversion": _CONVERSION}


def _joined(source: Source) -> Writers:
    pieces = [package_file(piece) for piece in source.pieces]
    small = {name: _copy(package_file(f"{source.described_in}/{name}")) for name in ("config.json", "tokenizer.json")}
    for name in ("vocabulary.txt", "vocabulary.json"):
        if (package_file(source.described_in) / name).is_file():
            small[name] = _copy(package_file(f"{source.described_in}/{name}"))

    def join(path: Path) -> None:
        with path.open("wb") as target:
            for piece in pieces:
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, target, 1 << 20)

    return {"model.bin": join, **small}


def _unpickled(source: Source) -> Writers:
    import torch

    (piece,) = source.pieces
    try:
        state = torch.load(package_file(piece), map_location="cpu", weights_only=True)["model_state"]
        tensors = {name: state[name].numpy() for name in state if name.startswith(("lstm.", "linear."))}
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise MerkitError(f"'{package_file(piece)}': no GE2E that merkit can convert: {error}") from error

    def save(path: Path) -> None:
        write_safetensors(tensors, path, {"format": "pt"})
        path.chmod(0o644)

    return {_WEIGHTS: save}


def _copy(source: Path) -> Callable[[Path], object]:
    return lambda path: shutil.copyfile(source, path)


def _converted(source: Source) -> Writers:
    described_in = package_file(source.described_in)
    pieces = [package_file(piece) for piece in source.pieces]
    packaged, tokenizer = read_object(described_in / "config.json"), read_object(described_in / "tokenizer.json")
    try:
        variables = whisper.WhisperVariables(read_ctranslate2(pieces))
        tokens = {token["content"]: token["id"] for token in tokenizer["added_tokens"] if token["special"]}
        config = whisper.network_config(variables, tokens)
        described = {
            "config.json": config,
            "generation_config.json": whisper.generation_config(packaged, config, tokens),
            "preprocessor_config.json": whisper.preprocessor_config(variables.mels),
            "tokenizer_config.json": whisper.tokenizer_config(tokens),
        }
        tensors = whisper.whisper_tensors(variables)
    except (ValueError, KeyError, TypeError) as error:
        files = " + ".join(str(piece) for piece in pieces)
        raise MerkitError(
            f"{files}: no Whisper that merkit can convert: {error}. Install the packages again"
        ) from error

    def save(path: Path) -> None:
        write_safetensors(tensors, path, {"format": "pt"})
        path.chmod(0o644)  # as the others: a cache may serve several users

    return {
        _WEIGHTS: save,
        "tokenizer.json": _copy(described_in / "tokenizer.json"),
        **{name: _json(content) for name, content in described.items()},
    }


def _json(content: Any) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
