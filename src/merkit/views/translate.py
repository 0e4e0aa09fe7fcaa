"""Rewords a text by translation into another language and back, with two networks in Hugging Face's format."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field

from merkit.core.errors import MerkitError
from merkit.core.once import once
from merkit.core.view import TextEngine, ViewConfig, ViewSpec, Wording
from merkit.data.files import file_hash
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.loading import FROM_FOLDER, quiet, reason


class TranslateConfig(ViewConfig):
    """Which two networks, such as MarianMT's pair ``opus-mt-en-de`` and ``opus-mt-de-en``."""

    forward: str
    """A local folder, or a hub id, of a network from the corpus' language into another."""
    forward_revision: str | None = None
    """Commit of a hub id, 40 hexadecimal digits."""
    backward: str
    """The same from that language back."""
    backward_revision: str | None = None
    beams: int = Field(default=4, ge=1)
    """Beams of both searches; the views of an utterance are the best wordings of the search back, so that ``count``
    must not exceed it."""
    longest: int = Field(default=128, ge=2)
    """Tokens of a translation at most."""


class Translate(TextEngine):
    """Back-translation: an utterance's n-th view is the n-th best translation back of its best translation."""

    batch: ClassVar[int] = 16

    def __init__(self, config: TranslateConfig) -> None:
        self.config = config
        self._files = (
            NetworkFiles(config.forward, config.forward_revision, None),
            NetworkFiles(config.backward, config.backward_revision, None),
        )

    def identity(self) -> Mapping[str, Any]:
        """Return what a wording depends on; local folders are identified by the content of all their files."""
        networks = [_identity(files) for files in self._files]
        return {
            "engine": "translate",
            "version": 1,
            "networks": networks,
            "beams": self.config.beams,
            "longest": self.config.longest,
        }

    def rewrite(self, wordings: Sequence[Wording]) -> list[str]:
        for wording in wordings:
            if wording.number >= self.config.beams:
                raise MerkitError(
                    f"views.text: {self.config.beams} beams give {self.config.beams} wordings, view "
                    f"{wording.number + 1} was asked for: raise views.text.beams or lower views.count"
                )
        forward, backward = self._networks
        translated = self._translate(*forward, [wording.text for wording in wordings], 1)
        back = self._translate(*backward, [texts[0] for texts in translated], self.config.beams)
        return [texts[wording.number] for texts, wording in zip(back, wordings, strict=True)]

    @once
    def _networks(self) -> list[tuple[Any, Any]]:
        return [_load(files) for files in self._files]

    def _translate(self, network: Any, tokenizer: Any, texts: Sequence[str], best: int) -> list[list[str]]:
        """Return the ``best`` best translations of each text."""
        inputs = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            output = network.generate(
                **inputs,
                num_beams=max(self.config.beams, best),
                num_return_sequences=best,
                do_sample=False,
                max_length=self.config.longest,
            )
        decoded = [text.strip() for text in tokenizer.batch_decode(output, skip_special_tokens=True)]
        return [decoded[first : first + best] for first in range(0, len(decoded), best)]


def _identity(files: NetworkFiles) -> Mapping[str, Any]:
    if files.kind != "local":
        return files.identity(with_weights=False)
    every = sorted(path for path in files.folder.iterdir() if path.is_file())
    return {"weights": "local", "files": {path.name: file_hash(path) for path in every}}


def _load(files: NetworkFiles) -> tuple[Any, Any]:
    """Return a translation network and its tokenizer.

    Raises:
        MerkitError: It cannot be downloaded or read.
    """
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = files.whole_folder
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
            network = AutoModelForSeq2SeqLM.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **FROM_FOLDER
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MerkitError(
            f"Cannot load the translation network '{files.weights}': {reason(error)}. It needs model.safetensors "
            "and a tokenizer; MarianMT's tokenizers need: pip install 'merkit[translate]'"
        ) from error
    return network.eval(), tokenizer


SPEC = ViewSpec(
    name="translate",
    modality="text",
    summary="translated into another language and back by two Hugging Face networks",
    config=TranslateConfig,
    build=Translate,
)
