"""Any Hugging Face text encoder, frozen (vectors are stored) or trained with the model.

It reads an utterance alone, an utterance with previous turns, or (trained) whole conversations.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderHome, EncoderSpec
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.types import Turn, Utterance
from merkit.encoders.networks.encoder import NetworkConfig, NetworkEncoder
from merkit.encoders.networks.files import (
    MINILM,
    NetworkFiles,
    read_config,
    read_tokenizer,
)
from merkit.encoders.networks.windows import join, longest_line
from merkit.nn.sequences import choose_states, mean_step


class BertConfig(NetworkConfig):
    """Which network, what it reads and which of its weights are trained."""

    weights: str = MINILM
    """``builtin:minilm``, a local folder or a hub id."""
    context: int | Literal["conversation"] = 0
    """How many previous turns are read before the target, as second segment; or ``conversation``: all turns are read
    as one sequence, each of them once and each with what follows it. Needs ``frozen = false`` and a model of
    conversations."""
    speaker_names: bool = False
    """Read ``speaker: text`` in place of ``text``."""
    max_tokens: int = Field(default=128, ge=8)
    """With special tokens. The oldest context is cut first, the target's end only where it alone is too long. Of a
    whole conversation: at a time; a line keeps less than half of them."""

    @field_validator("context", mode="before")
    @classmethod
    def _known_context(cls, value: object) -> object:
        if value != "conversation" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ValueError('expected a number of previous turns, 0 or more, or "conversation"')
        return value

    @model_validator(mode="after")
    def _reads_conversations_in_training(self) -> "BertConfig":
        if self.context == "conversation" and self.frozen:
            raise ValueError('context = "conversation" needs frozen = false: it is for a network that is fine-tuned')
        if self.context == "conversation" and self.standardise:
            raise ValueError("standardise reads utterances one by one; with it, context is a number of previous turns")
        return self


class Bert(NetworkEncoder):
    """Vectors of the target's tokens, ``[*batch, time, dim]``, or their mean, ``[*batch, 1, dim]``, if pooled.

    Input is ``[CLS] target [SEP]``, or ``[CLS] target [SEP] previous turns, oldest first [SEP]``. The whole first
    segment counts as the target, its special tokens included (all-MiniLM was trained on the mean of all tokens);
    the context has no vectors of its own: its steps are masked. The first step is the first token's vector. An empty
    text is a text: its special tokens.

    A trained network's ``extract`` gives ``[time, 3]``: token, segment, and 1 for the target or 0 for context.
    """

    input_dim = (3,)
    input_type = np.int64
    most_steps = 8192

    def __init__(self, config: BertConfig, files: NetworkFiles) -> None:
        super().__init__("text", config, files, read_config(files))
        self.stored = True  # tokens too: their number is what batches of similar length are made by
        self.config = config
        self.context = config.context if isinstance(config.context, int) else 0
        longest = getattr(self._network_config, "max_position_embeddings", config.max_tokens)
        if config.max_tokens > longest:
            raise ConfigError(f"max_tokens is {config.max_tokens}, '{config.weights}' reads at most {longest}")

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

    def read(self, turn: Turn) -> npt.NDArray[np.int64]:
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

    def states(self, network: nn.Module, padded: Padded) -> Padded:
        mask = padded.mask
        pad = self._network_config.pad_token_id or 0
        data = torch.where(mask.unsqueeze(-1), padded.data, torch.tensor([pad, 0, 0], device=padded.data.device))
        inputs = {"input_ids": data[..., 0], "attention_mask": mask.long()}
        if _segments(self._network_config):
            inputs["token_type_ids"] = data[..., 1]
        states = network(**inputs, output_hidden_states=True).hidden_states
        return Padded(choose_states(states, self.config.layer), mask & (data[..., 2] == 1))

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": "bert", **self._described()}

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = read_tokenizer(self._files)
        if self.config.max_tokens > tokenizer.model_max_length:
            longest = tokenizer.model_max_length
            raise ConfigError(
                f"max_tokens is {self.config.max_tokens}, '{self.config.weights}' reads at most {longest}"
            )
        return tokenizer

    def _line(self, utterance: Utterance) -> str:
        return f"{utterance.speaker}: {utterance.text}" if self.config.speaker_names else str(utterance.text)

    def _context(self, turn: Turn) -> list[str]:
        """Return the lines of the previous turns that have words, oldest first."""
        previous = turn.previous[max(len(turn.previous) - self.context, 0) :]
        return [self._line(utterance) for utterance in previous if utterance.text is not None]


class ConversationBert(Bert):
    """Vectors of each turn's own tokens, read within its conversation: ``[items, turns, time, dim]``.

    The conversation is ``[CLS] line [SEP] line [SEP] …``, in windows of ``max_tokens`` where it is longer
    (``windows``), so that each turn is encoded once, with turns before and after it. A turn's steps are its tokens and
    the separator that ends its line, which is all that an empty text has. Without an axis of turns every utterance is a
    conversation of its own.

    ``extract`` gives a line alone, ``[time, 3]`` as ever; it needs no other turn.
    """

    reads_ahead = True
    needs_conversation = True

    def read(self, turn: Turn) -> npt.NDArray[np.int64]:
        """Return the tokens of the turn's own line and its separator, ``[time, 3]``: token, 0, 1."""
        self._tokenizer.truncation_side = "right"
        most = longest_line(self.config.max_tokens) - 1
        line = self._tokenizer(self._line(turn.utterance), add_special_tokens=False, truncation=True, max_length=most)
        token = np.array([*line["input_ids"], self._marks[1]], dtype=np.int64)
        return np.stack([token, np.zeros_like(token), np.ones_like(token)], axis=1)

    def forward(self, padded: Padded) -> Padded:
        batch = padded.mask.shape[:-1]
        turns = batch[-1] if len(batch) > 1 else 1
        mask = padded.mask.reshape(-1, turns, padded.mask.shape[-1])
        lines = Padded(padded.data.reshape(*mask.shape, 3), mask)
        windows, places = join(lines, self.config.max_tokens, self._marks[0])
        if not len(windows.data):
            return self.nothing(padded)
        states = self.states(self.network, windows).data
        found = places.put_back(states if self.mix is None else self.mix(states))
        found = mean_step(found) if self.config.pooled else found
        return Padded(found.data.reshape(*batch, *found.data.shape[2:]), found.mask.reshape(*batch, -1))

    @cached_property
    def _marks(self) -> tuple[int, int]:
        """The tokens that begin a window and end a line."""
        begins, ends = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        if begins is None or ends is None:
            raise ConfigError(
                f"'{self.config.weights}' has no tokens that begin a text and end a sentence, which "
                'context = "conversation" needs; choose a number of previous turns'
            )
        return int(begins), int(ends)


def _segments(network_config: Any) -> bool:
    return getattr(network_config, "type_vocab_size", 0) > 1


def build(config: BertConfig, modality: str, home: EncoderHome) -> Bert:
    """Return the encoder; a frozen network's weights are read when the first text is extracted.

    Raises:
        MerkitError: The network is not there or not what the configuration asks for.
    """
    kind = ConversationBert if config.context == "conversation" else Bert
    encoder = kind(config, NetworkFiles(config.weights, config.revision, home.assets))
    if not config.frozen:
        encoder.load(restored=home.assets is not None)
    return encoder


SPEC = EncoderSpec(
    name="bert",
    modalities=("text",),
    summary="Any Hugging Face text encoder, frozen or fine-tuned, of utterances or whole conversations",
    config=BertConfig,
    build=build,
)
