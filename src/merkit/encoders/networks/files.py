"""The files of a network in Hugging Face's format: where they are, what identifies them, what a checkpoint copies.

A network is named by a hub id with a pinned revision, a local folder, or the name of built-in weights
(``merkit.weights``). Weights are read from safetensors files alone, and no code that comes with them is run.
"""

import re
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from merkit.core.errors import CheckpointError, ConfigError, MerkitError, first_line
from merkit.data.files import atomic_path, file_hash
from merkit.formats.network_folder import check_network_folder
from merkit.weights.folders import network_folder
from merkit.weights.known import BUILT_IN, KnownWeights, built_in

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
_DESCRIPTION_OF_SOUND = ("config.json", "preprocessor_config.json")
"""What an encoder of sound reads of it: a tokenizer has megabytes."""
_VOCABULARY = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_ALL = ("*.json", "*.spm", "*.model", "*.txt", "*.safetensors")
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")


class NetworkFiles:
    """The files of one network, found when they are needed.

    ``assets`` is the folder in a checkpoint that ``copy`` filled; it then takes the original's place.

    Raises:
        ConfigError: The name is unknown, its folder is missing, or a hub id has no pinned revision.
    """

    def __init__(self, weights: str, revision: str | None, assets: Path | None) -> None:
        self.weights = weights
        self.revision = revision
        self._assets = assets
        self.kind = _kind(weights, revision, restored=assets is not None)
        self._known: KnownWeights | None = built_in(weights) if self.kind == "builtin" else None

    @cached_property
    def folder(self) -> Path:
        """The folder with the network's configuration and its tokenizer or preprocessor."""
        folder = self._assets or self._origin(_DESCRIPTION)
        if not (folder / "config.json").is_file():
            raise MerkitError(f"'{folder}' holds no config.json: it is not a Hugging Face network")
        check_network_folder(folder)
        return folder

    @cached_property
    def weights_folder(self) -> Path:
        """The folder with the weights; those of packages are checked by their hash.

        Raises:
            MerkitError: There are no safetensors weights, or they have another hash.
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
        check_network_folder(folder)
        return folder

    @property
    def whole_folder(self) -> Path:
        """The folder with all files that do not run code, for networks with several vocabularies."""
        folder = self._origin(_ALL)
        check_network_folder(folder)
        return folder

    @property
    def has_vocabulary(self) -> bool:
        """Whether the folder has a tokenizer's files."""
        return bool(_matching(self.folder, _VOCABULARY))

    def identity(self, *, with_weights: bool) -> Mapping[str, Any]:
        """Return what identifies this network, as JSON values.

        A local folder is identified by its files' content, so that it can be moved.
        """
        if self._known is not None:
            return {"weights": self._known.name, "sha256": self._known.sha256}
        if self.kind == "hub":
            return {"weights": self.weights, "revision": self.revision}
        files = _matching(self.folder, _DESCRIPTION)
        if with_weights:
            files += _matching(self.weights_folder, _WEIGHTS)
        return {"weights": "local", "files": {file.name: file_hash(file) for file in files}}

    def copy(self, folder: Path, *, with_weights: bool, with_tokenizer: bool) -> None:
        """Copy the description, and a local folder's weights if asked for, into a checkpoint.

        Weights of a hub revision or a package are not copied: they can be loaded from there again. A local folder is
        identified by all of its description, so its tokenizer is always copied.
        """
        read = _DESCRIPTION if with_tokenizer or self.kind == "local" else _DESCRIPTION_OF_SOUND
        files = _matching(self.folder, read)
        if with_weights and self.kind == "local":
            files += _matching(self.weights_folder, _WEIGHTS)
        for file in files:
            with atomic_path(folder / file.name) as path:
                shutil.copyfile(file, path)

    def describe(self) -> Mapping[str, Any]:
        """Return what a model card says about the network's origin."""
        revision = {} if self.revision is None else {"revision": self.revision}
        known = {} if self._known is None else {"licence": self._known.licence, "sha256": self._known.sha256}
        return {"weights": self.weights, **revision, **known}

    def _origin(self, patterns: tuple[str, ...]) -> Path:
        if self.kind == "local":
            return Path(self.weights)
        if self._known is not None:
            return network_folder(self._known.name)
        return download_snapshot(self.weights, str(self.revision), patterns)


def _kind(weights: str, revision: str | None, *, restored: bool) -> str:
    if weights.startswith("builtin:"):
        built_in(weights)
        kind = "builtin"
    elif _HUB_ID.fullmatch(weights) and (revision is not None or not (restored or Path(weights).is_dir())):
        kind = "hub"
    elif restored or Path(weights).is_dir():
        kind = "local"
    else:
        raise ConfigError(
            f"No folder '{weights}'. Name a folder, a hub id such as 'org/name' with a revision, or "
            f"{', '.join(BUILT_IN)}"
        )
    if kind == "hub" and (revision is None or not _COMMIT.fullmatch(revision)):
        found = "no revision" if revision is None else f"revision '{revision}'"
        raise ConfigError(
            f"weights '{weights}' with {found}: a hub id needs the 40 hexadecimal digits of a commit, "
            "so that the network never changes unnoticed"
        )
    if kind != "hub" and revision is not None:
        raise ConfigError(f"weights '{weights}' take no revision: only a hub id does")
    return kind


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def download_snapshot(weights: str, revision: str, patterns: tuple[str, ...]) -> Path:
    """Return the folder of a hub repository's files at a commit, downloaded unless they were before.

    Raises:
        MerkitError: The hub cannot be reached, or has no such repository or commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(weights, revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MerkitError(f"Cannot get '{weights}' at {revision} from the hub: {first_line(error)}") from error
