"""Another wording by translation into another language and back, by two checkpoints of Hugging Face's format."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field

from merkit.core.errors import MerkitError
from merkit.core.view import TextEngine, ViewConfig, ViewSpec, Wording
from merkit.data.files import file_hash
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.loading import quiet


class TranslateConfig(ViewConfig):
    """Which two networks; MarianMT's are pairs by design (``opus-mt-en-de`` and ``opus-mt-de-en``)."""

    there: str
    """A local folder, or a hub id, of a network from the corpus' language into another."""
    there_revision: str | None = None
    """Commit of a hub id, 40 hexadecimal digits."""
    back: str
    """The same for the way back."""
    back_revision: str | None = None
    beams: int = Field(default=4, ge=1)
    """Width of the beam search on both ways; the views of an utterance are the best so many wordings of the way back,
    so that ``count`` may not be more."""
    longest: int = Field(default=128, ge=2)
    """Tokens of a translation at most."""


class Translate(TextEngine):
    """Back-translation: the best translation, and of it the n-th best one back, for the utterance's n-th view."""

    batch: ClassVar[int] = 16

    def __init__(self, config: TranslateConfig) -> None:
        self.config = config
        self._files = (
            NetworkFiles(config.there, config.there_revision, None),
            NetworkFiles(config.back, config.back_revision, None),
        )
        self._loaded: list[tuple[Any, Any]] = []

    def identity(self) -> Mapping[str, Any]:
        """Return what a wording depends on; local folders count by the content of all their files."""
        networks = [_identity(files) for files in self._files]
        return {
            "engine": "translate",
            "version": 1,
            "networks": networks,
            "beams": self.config.beams,
            "longest": self.config.longest,
        }

    def rewrite(self, wordings: Sequence[Wording]) -> list[str]:
        if not self._loaded:
            self._loaded = [_load(files) for files in self._files]
        for wording in wordings:
            if wording.number >= self.config.beams:
                raise MerkitError(
                    f"views.text: {self.config.beams} beams give {self.config.beams} wordings, view "
                    f"{wording.number + 1} was asked for: raise views.text.beams or lower views.count"
                )
        (there, there_words), (back, back_words) = self._loaded
        abroad = self._translate(there, there_words, [wording.text for wording in wordings], 1)
        home = self._translate(back, back_words, [found[0] for found in abroad], self.config.beams)
        return [found[wording.number] for found, wording in zip(home, wordings, strict=True)]

    def _translate(self, network: Any, tokenizer: Any, texts: Sequence[str], best: int) -> list[list[str]]:
        """Return the best so many translations of each text."""
        inputs = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            found = network.generate(
                **inputs,
                num_beams=max(self.config.beams, best),
                num_return_sequences=best,
                do_sample=False,
                max_length=self.config.longest,
            )
        told = [text.strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)]
        return [told[first : first + best] for first in range(0, len(told), best)]


def _identity(files: NetworkFiles) -> Mapping[str, Any]:
    if files.kind != "local":
        return files.identity(with_weights=False)
    every = sorted(path for path in files.folder.iterdir() if path.is_file())
    return {"weights": "local", "files": {path.name: file_hash(path) for path in every}}


def _load(files: NetworkFiles) -> tuple[Any, Any]:
    """Return a translation network and its tokenizer.

    Raises:
        MerkitError: It cannot be had or read.
    """
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = files.folder if files.kind == "local" else _whole(files)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            network = AutoModelForSeq2SeqLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MerkitError(
            f"Cannot load the translation network '{files.weights}': {told}. It needs model.safetensors and a "
            "tokenizer; MarianMT's tokenizers need: pip install 'merkit[translate]'"
        ) from error
    return network.eval(), tokenizer


def _whole(files: NetworkFiles) -> Any:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.spm", "*.model", "*.txt", "*.safetensors"]
    try:
        return snapshot_download(files.weights, revision=files.revision, allow_patterns=patterns)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MerkitError(f"Cannot get '{files.weights}' at {files.revision} from the hub: {told}") from error


SPEC = ViewSpec(
    name="translate",
    modality="text",
    summary="translated into another language and back by two Hugging Face networks",
    config=TranslateConfig,
    build=Translate,
)
