"""From a network's files to its configuration, its tokenizer and the network itself."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import nn

from merkit.core.errors import MerkitError, first_line
from merkit.encoders.networks.files import NetworkFiles
from merkit.formats.network_folder import network_settings
from merkit.nn.allocation import bounded_memory

FROM_FOLDER: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""For every call into the library that reads a network's files: it downloads nothing, and runs no code beside them."""
_LOADING = Lock()


def read_network_config(files: NetworkFiles) -> Any:
    """Return the network's configuration (a ``PretrainedConfig``).

    Raises:
        MerkitError: The installed transformers does not know it.
    """
    kind, settings = network_settings(files.folder)
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        raise MerkitError(
            f"Cannot use the network in '{files.folder}': the installed transformers knows no model_type '{kind}'"
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(settings)
    except Exception as error:  # the library's checks of a file's settings raise errors of many kinds
        raise MerkitError(f"Cannot use the network in '{files.folder}': {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return in one line why the library could not load a network."""
    line = first_line(error)
    return "it needs code of its own, which merkit does not run" if "custom code" in line else line


def read_tokenizer(files: NetworkFiles) -> Any:
    """Return the network's fast tokenizer (a ``PreTrainedTokenizerFast``).

    Calling it changes its truncation; use ``truncating_tokenizer``, which threads can share.

    Raises:
        MerkitError: There is none, or it is not a fast one.
    """
    from transformers import AutoTokenizer

    if not files.has_vocabulary:  # the library would make up an empty one
        raise MerkitError(f"'{files.folder}' holds no tokenizer: put its tokenizer.json there")
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, **FROM_FOLDER)
    except Exception as error:  # the library's checks of a file's settings raise errors of many kinds
        raise MerkitError(f"Cannot use the tokenizer in '{files.folder}': {reason(error)}") from error
    if not tokenizer.is_fast:
        raise MerkitError(f"The tokenizer in '{files.folder}' has no tokenizer.json: convert it with transformers")
    return tokenizer


def truncating_tokenizer(tokenizer: Any, max_tokens: int, strategy: str, side: str) -> Any:
    """Return a copy of a fast tokenizer's backend (a ``tokenizers.Tokenizer``) with a truncation that never changes.

    Args:
        tokenizer: A fast tokenizer.
        max_tokens: Length of the result at most, special tokens included.
        strategy: ``longest_first``, or ``only_second`` of a pair.
        side: Which end is cut off, ``left`` or ``right``.
    """
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.enable_truncation(max_tokens, strategy=strategy, direction=side)
    return backend


def load_network(files: NetworkFiles, config: Any) -> nn.Module:
    """Return the network with its weights in float32, in evaluation mode, without a pooler; of Whisper the encoder.

    Raises:
        MerkitError: The weights cannot be read or do not fill the network.
    """
    kind, renamed = _class_of(config)
    folder = files.weights_folder
    try:
        with quiet(), bounded_memory(folder):
            network, report = kind.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **renamed,
                **FROM_FOLDER,
            )
    except Exception as error:  # settings and weights that do not fit raise errors of many kinds
        raise MerkitError(f"Cannot load the weights in '{folder}': {reason(error)}") from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise MerkitError(f"The weights in '{folder}' lack {len(missing)} of the network's, first '{missing[0]}'")
    return _without_pooler(network).eval()


def _class_of(config: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the library's class for the part of a network that is read, and how its names in a file become its own."""
    from transformers import AutoModel

    if config.model_type != "whisper":
        return AutoModel, {}
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder, {"key_mapping": {r"^(model\.)?encoder\.": ""}}


def new_network(config: Any) -> nn.Module:
    """Return the network with random weights, to be filled from a checkpoint's state."""
    kind, _ = _class_of(config)
    try:
        if config.model_type == "whisper":
            network = kind(config).float()
        else:
            network = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except Exception as error:  # settings that do not fit each other raise errors of many kinds
        raise MerkitError(f"Cannot build the network of type '{config.model_type}': {reason(error)}") from error
    return _without_pooler(network)


def ignore_mask_warnings() -> None:
    """Ignore from now on what torch warns of in WavLM: a boolean mask beside a position bias, which are both right.

    Called once, where a network is made: ``warnings.catch_warnings`` around each call is not safe in threads.
    """
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's progress bar and its report of unused heads off the terminal; one thread at a time."""
    from transformers.utils import logging as library

    logging: Any = library  # its functions carry no types
    with _LOADING:
        bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bar:
                logging.enable_progress_bar()


def _without_pooler(network: nn.Module) -> nn.Module:
    """Remove the head over the first token: it is not used, and unused weights would be saved and counted."""
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # type: ignore[assignment]
    return network
