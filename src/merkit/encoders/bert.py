"""Any Hugging Face text encoder, frozen (vectors are stored) or trained with the model, with previous turns or not."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, EncoderConfig, EncoderHome, EncoderSpec, as_float32
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.types import Turn, Utterance
from merkit.encoders._huggingface import (
    MINILM,
    NetworkFiles,
    Unregistered,
    load_network,
    new_network,
    read_config,
    read_tokenizer,
    train_last_layers,
)
from merkit.encoders._rows import LayerMix, masked_mean, parts_by_length, present_rows, put_back, stack

_MOST_TOKENS = 8192
"""Tokens, padding included, that a frozen network reads at a time."""


class BertConfig(EncoderConfig):
    """Which network, what it reads and which of its weights are trained."""

    weights: str = MINILM
    """``builtin:minilm``, a local folder or a hub id."""
    revision: str | None = None
    """Commit of a hub id, 40 hexadecimal digits."""
    frozen: bool = True
    """Frozen: vectors are extracted once and stored. Otherwise the network is trained with the model."""
    trainable_layers: int | None = Field(default=None, ge=0)
    """Train only the last so many layers; unset: all of the network. Not with ``frozen``."""
    layer: Literal["last", "mix"] | int = "last"
    """``last``, a learned ``mix`` of all states, or (``frozen``) one state's number: 0 is what enters layer 1."""
    pooled: bool = False
    """One vector per utterance, the mean over its tokens, in place of one per token."""
    context: int = Field(default=0, ge=0)
    """How many previous turns are read before the target, as second segment."""
    speaker_names: bool = False
    """Read ``speaker: text`` in place of ``text``."""
    max_tokens: int = Field(default=128, ge=8)
    """With special tokens. The oldest context is cut first, the target's end only where it alone is too long."""

    @model_validator(mode="after")
    def _fits_together(self) -> "BertConfig":
        if self.frozen and self.trainable_layers is not None:
            raise ValueError("trainable_layers needs frozen = false")
        if not self.frozen and isinstance(self.layer, int):
            raise ValueError(f"layer = {self.layer} needs frozen = true; a trained network gives 'last' or 'mix'")
        return self


class Bert(Encoder):
    """Vectors of the target's tokens, ``[*batch, time, width]``, or their mean, ``[*batch, 1, width]``, if pooled.

    Input is ``[CLS] target [SEP]``, or ``[CLS] target [SEP] previous turns, oldest first [SEP]``. The whole first
    segment counts as the target, its special tokens included (all-MiniLM was trained on the mean of all tokens);
    the context has no vectors of its own: its steps are masked. The first step is the first token's vector. An empty
    text is a text: its special tokens.

    A trained network's ``extract`` gives ``[time, 3]``: token, segment, and 1 for the target or 0 for context.
    """

    def __init__(self, config: BertConfig, files: NetworkFiles) -> None:
        super().__init__()
        self.modality = "text"
        self.config = config
        self.context = config.context
        self.stored = config.frozen
        self._files = files
        self._network_config = read_config(files)
        self.width = int(self._network_config.hidden_size)
        self._states = int(self._network_config.num_hidden_layers) + 1
        _check(config, self._network_config, self._states)
        self.mix = LayerMix(self._states) if config.layer == "mix" else None
        self._frozen = Unregistered(files, self._network_config) if config.frozen else None
        self._place: Tensor
        self.register_buffer("_place", torch.empty(0), persistent=False)  # where extraction runs: it follows .to()

    def load(self, *, restored: bool) -> None:
        """Make the network that is trained, with its published weights or (``restored``) for those of a checkpoint."""
        network = new_network(self._network_config) if restored else load_network(self._files, self._network_config)
        train_last_layers(network, self._network_config, self.config.trainable_layers)
        self.network = network.train()

    def fingerprint(self) -> Mapping[str, Any]:
        reads = self.config.model_dump(include={"context", "speaker_names", "max_tokens"})
        if not self.config.frozen:
            return {"encoder": "bert", "version": 1, "tokens": self._files.identity(with_weights=False), **reads}
        gives = self.config.model_dump(include={"layer", "pooled"})
        return {"encoder": "bert", "version": 1, "network": self._files.identity(with_weights=True), **reads, **gives}

    def content(self, turn: Turn) -> str | None:
        if turn.utterance.text is None:
            return None
        read = json.dumps([self._line(turn.utterance), self._context(turn)])
        return hashlib.blake2b(read.encode(), digest_size=20).hexdigest()

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        tokens = [self._tokens(turn) for turn in turns]
        if self._frozen is None:
            return list(tokens)
        arrays: dict[int, Array] = {}
        for part in parts_by_length([len(rows) for rows in tokens], _MOST_TOKENS):
            padded = stack([torch.from_numpy(tokens[index]) for index in part]).to(self._place.device)
            with torch.inference_mode():
                found = self._run(self._frozen.on(self._place.device), padded)
            for index, data, mask in zip(part, found.data.cpu(), found.mask.cpu(), strict=True):
                arrays[index] = as_float32(data[mask].numpy())
                if not np.isfinite(arrays[index]).all():
                    raise MerkitError(
                        f"Utterance '{turns[index].utterance.id}': '{self.config.weights}' gives no number"
                    )
        return [arrays[index] for index in range(len(turns))]

    def blank(self) -> Array:
        if self._frozen is None:
            return np.zeros((1, 3), dtype=np.int64)
        shape = (1, self.width) if self.mix is None else (1, self._states, self.width)
        return np.zeros(shape, dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        if self._frozen is not None:
            dim = padded.data.dim() - padded.mask.dim()
            data = torch.where(padded.mask.reshape(*padded.mask.shape, *[1] * dim), padded.data, 0.0)
            return Padded(data if self.mix is None else self.mix(data), padded.mask)
        present, rows = present_rows(padded)
        batch = padded.mask.shape[:-1]
        if not rows.any():
            steps = 1 if self.config.pooled else padded.mask.shape[-1]
            nothing = torch.zeros(*batch, steps, self.width, device=padded.data.device)
            return Padded(nothing, torch.zeros_like(nothing[..., 0], dtype=torch.bool))
        found = self._run(self.network, present)
        return put_back(found if self.mix is None else Padded(self.mix(found.data), found.mask), rows, batch)

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": "bert", **self._files.describe(), "trained": not self.config.frozen, "width": self.width}

    def save_assets(self, folder: Path) -> None:
        self._files.copy(folder, with_weights=self.config.frozen)

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = read_tokenizer(self._files)
        if self.config.max_tokens > tokenizer.model_max_length:
            longest = tokenizer.model_max_length
            raise ConfigError(
                f"max_tokens is {self.config.max_tokens}, '{self.config.weights}' reads at most {longest}"
            )
        return tokenizer

    def _run(self, network: torch.nn.Module, padded: Padded) -> Padded:
        """Return states ``[rows, time, width]`` (``mix``: ``[rows, time, states, width]``), masked to the target."""
        mask = padded.mask
        pad = self._network_config.pad_token_id or 0
        data = torch.where(mask.unsqueeze(-1), padded.data, torch.tensor([pad, 0, 0], device=padded.data.device))
        inputs = {"input_ids": data[..., 0], "attention_mask": mask.long()}
        if _segments(self._network_config):
            inputs["token_type_ids"] = data[..., 1]
        output = network(**inputs, output_hidden_states=self.config.layer != "last")
        found = Padded(self._choose(output), mask & (data[..., 2] == 1))
        return masked_mean(found) if self.config.pooled else found

    def _choose(self, output: Any) -> Float[Tensor, "rows time *states width"]:
        if self.config.layer == "last":
            return torch.as_tensor(output.last_hidden_state)
        if self.config.layer == "mix":
            return torch.stack(output.hidden_states, dim=2)
        return torch.as_tensor(output.hidden_states[self.config.layer])

    def _line(self, utterance: Utterance) -> str:
        return f"{utterance.speaker}: {utterance.text}" if self.config.speaker_names else str(utterance.text)

    def _context(self, turn: Turn) -> list[str]:
        """Return the lines of the previous turns that have words, oldest first."""
        previous = turn.previous[max(len(turn.previous) - self.config.context, 0) :]
        return [self._line(utterance) for utterance in previous if utterance.text is not None]

    def _tokens(self, turn: Turn) -> npt.NDArray[np.int64]:
        """Return ``[time, 3]``: token, segment, 1 for the target (with its special tokens) or 0 for context."""
        most = self.config.max_tokens
        target, context = self._line(turn.utterance), "\n".join(self._context(turn))
        self._tokenizer.truncation_side = "right"
        alone = self._tokenizer(target, truncation=True, max_length=most)["input_ids"]
        extra = self._tokenizer.num_special_tokens_to_add(pair=True) - self._tokenizer.num_special_tokens_to_add()
        if not alone:
            raise MerkitError(
                f"Utterance '{turn.utterance.id}': the tokenizer of '{self.config.weights}' gives no token"
            )
        if not context or len(alone) + extra >= most:
            ones = np.ones(len(alone), dtype=np.int64)
            return np.stack([np.array(alone, dtype=np.int64), 0 * ones, ones], axis=1)
        self._tokenizer.truncation_side = "left"
        both = self._tokenizer(target, context, truncation="only_second", max_length=most)
        token = np.array(both["input_ids"], dtype=np.int64)
        second = np.array([number == 1 for number in both.sequence_ids()])
        is_target = np.arange(len(token)) < len(alone)
        segment = both.get("token_type_ids", second) if _segments(self._network_config) else 0 * token
        return np.stack([token, np.array(segment, dtype=np.int64), is_target.astype(np.int64)], axis=1)


def _segments(network_config: Any) -> bool:
    return getattr(network_config, "type_vocab_size", 0) > 1


def _check(config: BertConfig, network_config: Any, states: int) -> None:
    longest = getattr(network_config, "max_position_embeddings", None)
    if longest is not None and config.max_tokens > longest:
        raise ConfigError(f"max_tokens is {config.max_tokens}, '{config.weights}' reads at most {longest}")
    if isinstance(config.layer, int) and not 0 <= config.layer < states:
        raise ConfigError(f"layer is {config.layer}, '{config.weights}' has 0 to {states - 1}")


def build(config: BertConfig, modality: str, home: EncoderHome) -> Bert:
    """Return the encoder; a frozen network's weights are read when the first text is extracted.

    Raises:
        MerkitError: The network is not there or not what the configuration asks for.
    """
    encoder = Bert(config, NetworkFiles(config.weights, config.revision, home.assets))
    if not config.frozen:
        encoder.load(restored=home.assets is not None)
    return encoder


SPEC = EncoderSpec(
    name="bert",
    modalities=("text",),
    summary="Any Hugging Face text encoder, frozen or fine-tuned, with previous turns or without",
    config=BertConfig,
    build=build,
)
