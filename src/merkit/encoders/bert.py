"""Any Hugging Face text encoder, frozen (vectors are stored) or trained with the model.

It reads an utterance alone, an utterance with previous turns, or (trained) whole conversations.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from merkit.core.batch import Padded
from merkit.core.encoder import Encoder, EncoderHome, EncoderSpec
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.once import once
from merkit.core.types import Turn, Utterance
from merkit.encoders.networks.architecture import Architecture
from merkit.encoders.networks.config import NetworkConfig
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.frozen import FrozenNetwork
from merkit.encoders.networks.loading import read_network_config, read_tokenizer, truncating_tokenizer
from merkit.encoders.networks.trained import TrainedNetwork
from merkit.encoders.networks.windows import join_lines, longest_line
from merkit.nn.sequences import absent, mean_position
from merkit.weights.known import MINILM


class BertConfig(NetworkConfig):
    """Which network, what it reads and which of its weights are trained."""

    weights: str = MINILM.name
    """``builtin:minilm``, a local folder or a hub id."""
    context: int | Literal["conversation"] = 0
    """How many previous turns are read as a second segment; or ``conversation``: all turns are read as one sequence,
    each of them once and each with those that follow it. Needs ``frozen = false`` and a model of
    conversations."""
    speaker_names: bool = False
    """Read ``speaker: text`` instead of ``text``."""
    max_tokens: int = Field(default=128, ge=8)
    """Special tokens included. The oldest context is cut first, the target's end only where it alone is too long. Of a
    whole conversation: tokens of a window; a line keeps less than half of them."""
    keep: Literal["end"] | None = None
    """``end``: of a text that alone is too long, the end is read. Unset: the beginning."""

    @field_validator("context", mode="before")
    @classmethod
    def _known_context(cls, value: object) -> object:
        if value != "conversation" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ValueError('expected a number of previous turns, 0 or more, or "conversation"')
        return value

    @model_validator(mode="after")
    def _reads_conversations_in_training(self) -> "BertConfig":
        if self.context == "conversation" and self.frozen:
            raise ValueError('context = "conversation" needs frozen = false: it is for fine-tuning')
        if self.context == "conversation" and self.standardise:
            raise ValueError("standardise reads utterances one by one; with it, context is a number of previous turns")
        if self.context == "conversation" and (self.averages_states or self.pooled == "mean_std"):
            raise ValueError('context = "conversation" offers layer = "last" or "mix", and pooled = true or false')
        return self


class Bert(Architecture):
    """Text networks: their vectors are those of the target's tokens.

    Input is ``[CLS] target [SEP]``, or ``[CLS] target [SEP] previous turns, oldest first [SEP]``. The whole first
    segment counts as the target, its special tokens included (all-MiniLM was trained on the mean of all tokens). The
    context has no vectors of its own: its positions are masked. The first position is the first token's vector. An
    empty text is a text: its special tokens.
    """

    modality = "text"
    input_type = np.int64
    max_positions = 8192
    stores_input = True  # batches of similar length are made by the number of tokens
    config: BertConfig

    def __init__(self, config: BertConfig, files: NetworkFiles) -> None:
        super().__init__(config, files, read_network_config(files))
        self.input_dim = (3,)
        self.context = config.context if isinstance(config.context, int) else 0
        longest = getattr(self.network_config, "max_position_embeddings", config.max_tokens)
        self._segments = getattr(self.network_config, "type_vocab_size", 0) > 1
        if config.max_tokens > longest:
            raise ConfigError(f"max_tokens is {config.max_tokens}, '{config.weights}' reads at most {longest}")

    def settings(self) -> Mapping[str, Any]:
        read = self.config.model_dump(include={"context", "speaker_names", "max_tokens"})
        kept = {} if self.config.keep is None else {"keep": self.config.keep}  # absent before the setting was
        return {"encoder": "bert", "version": 1, **read, **kept}

    def input_fingerprint(self) -> Mapping[str, Any]:
        return {**self.settings(), "tokens": self.files.identity(with_weights=False)}

    def content(self, turn: Turn) -> str | None:
        if turn.utterance.text is None:
            return None
        read = json.dumps([self._line(turn.utterance), self._context(turn)])
        return hashlib.blake2b(read.encode(), digest_size=20).hexdigest()

    def read(self, turn: Turn) -> npt.NDArray[np.int64]:
        """Return ``[time, 3]``: token, segment, 1 for the target (with its special tokens) or 0 for context."""
        target, context = self._line(turn.utterance), "\n".join(self._context(turn))
        alone = self._known(self._target_tokenizer.encode(target).ids)
        if not alone:
            raise MerkitError(
                f"Utterance '{turn.utterance.id}': the tokenizer of '{self.config.weights}' gives no token"
            )
        added = self._pair_tokenizer.num_special_tokens_to_add
        if not context or len(alone) + added(True) - added(False) >= self.config.max_tokens:
            return _columns(alone, np.zeros(len(alone)), np.ones(len(alone)))
        both = self._pair_tokenizer.encode(target, context)
        segment = np.zeros(len(both))
        if self._segments:
            known = "token_type_ids" in self.tokenizer.model_input_names
            segment = np.array(both.type_ids if known else [number == 1 for number in both.sequence_ids])
        return _columns(self._known(both.ids), segment, np.arange(len(both)) < len(alone))

    def unread(self, turn: Turn) -> tuple[int, int]:
        if turn.utterance.text is None:
            return 0, 0
        tokens = len(self._whole_tokenizer.encode(self._line(turn.utterance), add_special_tokens=False).ids)
        return max(tokens - self._room, 0), tokens

    def states(self, network: nn.Module, padded: Padded) -> Padded:
        mask = padded.mask
        pad = self.network_config.pad_token_id or 0
        data = torch.where(mask.unsqueeze(-1), padded.data, torch.tensor([pad, 0, 0], device=padded.data.device))
        inputs = {"input_ids": data[..., 0], "attention_mask": mask.long()}
        if self._segments:
            inputs["token_type_ids"] = data[..., 1]
        states = network(**inputs, output_hidden_states=True).hidden_states
        return Padded(self.chosen(states), mask & (data[..., 2] == 1))

    @once
    def tokenizer(self) -> Any:
        """The network's tokenizer; encode with one of those below, whose truncation no call changes."""
        tokenizer = read_tokenizer(self.files)
        if self.config.max_tokens > tokenizer.model_max_length:
            longest = tokenizer.model_max_length
            raise ConfigError(
                f"max_tokens is {self.config.max_tokens}, '{self.config.weights}' reads at most {longest}"
            )
        return tokenizer

    @once
    def _target_tokenizer(self) -> Any:
        return truncating_tokenizer(self.tokenizer, self.config.max_tokens, "longest_first", self._cut_side)

    @once
    def _whole_tokenizer(self) -> Any:
        whole = truncating_tokenizer(self.tokenizer, self.config.max_tokens, "longest_first", "right")
        whole.no_truncation()
        return whole

    @property
    def _room(self) -> int:
        """How many tokens of a text are read, without those that are added."""
        return self.config.max_tokens - int(self._target_tokenizer.num_special_tokens_to_add(False))

    @property
    def _cut_side(self) -> str:
        return "left" if self.config.keep == "end" else "right"

    @once
    def _pair_tokenizer(self) -> Any:
        return truncating_tokenizer(self.tokenizer, self.config.max_tokens, "only_second", "left")

    def _known(self, tokens: list[int]) -> list[int]:
        """Return tokens that the network knows.

        Raises:
            MerkitError: One is beyond its vocabulary.
        """
        size = int(self.network_config.vocab_size)
        if max(tokens, default=0) >= size:
            raise MerkitError(
                f"the tokenizer of '{self.config.weights}' gives token {max(tokens)}, the network knows {size}: "
                "they do not belong together"
            )
        return tokens

    def _line(self, utterance: Utterance) -> str:
        return f"{utterance.speaker}: {utterance.text}" if self.config.speaker_names else str(utterance.text)

    def _context(self, turn: Turn) -> list[str]:
        """Return the lines of the previous turns that have words, oldest first."""
        previous = turn.previous[max(len(turn.previous) - self.context, 0) :]
        return [self._line(utterance) for utterance in previous if utterance.text is not None]


class BertLines(Bert):
    """Text networks that read whole conversations: the input of a turn is its own line alone."""

    def read(self, turn: Turn) -> npt.NDArray[np.int64]:
        """Return the tokens of the turn's own line and its separator, ``[time, 3]``: token, 0, 1."""
        tokens = self._known(self._line_tokenizer.encode(self._line(turn.utterance), add_special_tokens=False).ids)
        return _columns([*tokens, self.special_tokens[1]], np.zeros(len(tokens) + 1), np.ones(len(tokens) + 1))

    @once
    def special_tokens(self) -> tuple[int, int]:
        """The tokens that begin a window and end a line."""
        begins, ends = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        if begins is None or ends is None:
            raise ConfigError(
                f"'{self.config.weights}' has no tokens that begin a text and end a sentence, which "
                'context = "conversation" needs; choose a number of previous turns'
            )
        return int(begins), int(ends)

    @once
    def _line_tokenizer(self) -> Any:
        return truncating_tokenizer(self.tokenizer, self._room, "longest_first", self._cut_side)

    @property
    def _room(self) -> int:
        return longest_line(self.config.max_tokens) - 1


class ConversationBert(TrainedNetwork):
    """Vectors of each turn's own tokens, read within its conversation: ``[items, turns, time, dim]``.

    The conversation is ``[CLS] line [SEP] line [SEP] …``, in windows of ``max_tokens`` where it is longer
    (``networks.windows``), so that each turn is encoded once, with turns before and after it. A turn's positions are
    its tokens and the separator that ends its line, which is all that an empty text has. Without an axis of turns
    every utterance is a conversation of its own.
    """

    reads_ahead = True
    needs_conversation = True
    architecture: BertLines

    def forward(self, padded: Padded) -> Padded:
        config = self.architecture.config
        batch = padded.mask.shape[:-1]
        turns = batch[-1] if len(batch) > 1 else 1
        mask = padded.mask.reshape(-1, turns, padded.mask.shape[-1])
        lines = Padded(padded.data.reshape(*mask.shape, 3), mask)
        windows, positions = join_lines(lines, config.max_tokens, self.architecture.special_tokens[0])
        if not len(windows.data):
            return absent(batch, self.dim, padded.data.device)
        states = self.architecture.states(self.network, windows).data
        own = positions.put_back(states if self.mix is None else self.mix(states))
        own = mean_position(own) if config.pooled else own
        return Padded(own.data.reshape(*batch, *own.data.shape[2:]), own.mask.reshape(*batch, -1))


def _columns(*columns: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.stack([np.asarray(column, dtype=np.int64) for column in columns], axis=1)


def build(config: BertConfig, modality: str, home: EncoderHome) -> Encoder:
    """Return the encoder; a frozen network's weights are read when the first text is extracted.

    Raises:
        MerkitError: The network is missing or not what the configuration asks for.
    """
    files = NetworkFiles(config.weights, config.revision, home.assets)
    if config.frozen:
        return FrozenNetwork(Bert(config, files))
    if config.context == "conversation":
        return ConversationBert(BertLines(config, files), restored=home.assets is not None)
    return TrainedNetwork(Bert(config, files), restored=home.assets is not None)


SPEC = EncoderSpec(
    name="bert",
    modalities=("text",),
    summary="Any Hugging Face text encoder, frozen or fine-tuned, of utterances or whole conversations",
    config=BertConfig,
    build=build,
)
