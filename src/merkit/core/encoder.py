"""The interface of encoders: ``extract`` runs once per utterance and is stored, ``forward`` runs inside the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import nn

from merkit.core.arrays import Array as Array
from merkit.core.batch import Padded
from merkit.core.lookup import PlugInSpec
from merkit.core.settings import Settings
from merkit.core.types import Turn


class EncoderConfig(Settings):
    """Settings of an encoder."""

    @property
    def trains_network(self) -> bool:
        """Whether a pretrained network is trained with the model, whose layers can have learning rates of their own."""
        return False


class Encoder(nn.Module, ABC):
    """Turns the utterances of one modality into vectors.

    The work is in two parts. ``extract`` turns utterances into arrays ``[time, *dim]`` and depends on nothing that is
    trained here, so its result is stored under ``fingerprint()``. ``forward`` turns a padded batch of those arrays into
    vectors and is part of the model: trainable weights belong there. A frozen network runs in ``extract`` and is *not*
    registered as a submodule; a fine-tuned one runs in ``forward``.

    Threads of a service share an encoder: no call may change what another one reads.
    """

    modality: str
    """``text``, ``audio`` or ``video``."""
    dim: int
    """Last axis of what ``forward`` returns."""
    published_features: str | None = None
    """Name of the published features that it reads in place of recordings; ``None``: it reads recordings."""
    stored: bool = True
    """Whether extraction is worth storing (a decoded waveform is not)."""
    context: int = 0
    """How many previous turns ``extract`` reads."""
    following: int = 0
    """How many later turns ``extract`` reads."""
    hop_s: float | None = None
    """Seconds from one vector of what ``forward`` returns to the next; ``None``: they are not frames in time."""
    centre_s: float = 0.0
    """Middle of the first vector's window in seconds, where there is a hop."""
    reads_ahead: bool = False
    """Whether a turn's vectors depend on what follows it: no causal model takes it."""
    needs_conversation: bool = False
    """Whether ``forward`` joins the turns of a conversation, ``[items, turns, time, *dim]``: no utterance model takes
    it."""
    may_be_undefined: ClassVar[bool] = False
    """Whether NaN in what ``extract`` returns means undefined (the pitch of a whisper); otherwise it is an error."""
    normalize_by_speaker: bool = False
    """Compare an array with all arrays of its speaker before ``forward``, by ``compared``; uses no label."""

    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that the result of ``extract`` depends on besides its input, as JSON values.

        Includes the encoder's name, a code version to be raised when the computation changes, and hashes or revisions
        of weights.
        """

    @abstractmethod
    def content(self, turn: Turn) -> str | None:
        """Return a hash of what ``extract`` reads of this turn, or ``None`` where the turn lacks this modality."""

    @abstractmethod
    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        """Return one array ``[time, *dim]`` per turn, each with ``time >= 1`` and independent of its batch mates.

        Only called for turns whose ``content`` is not ``None``.

        Raises:
            MerkitError: An input cannot be read or gives non-finite values; the message names the utterance.
        """

    @abstractmethod
    def blank(self) -> Array:
        """Return zeros ``[1, *dim]``, of the type that ``extract`` returns, for batches that lack the modality."""

    @abstractmethod
    def forward(self, padded: Padded) -> Padded:
        """Return vectors ``[*batch, time', dim]`` and their mask; padding in the input never changes a real value."""

    def duration_s(self, turn: Turn) -> float:
        """Return the cost of extracting this turn in seconds of media (text: 1), by which batches are bounded."""
        return 1.0

    def unread(self, turn: Turn) -> tuple[int, int]:
        """Return how many tokens of a turn's own text are beyond what is read, and how many it has in all."""
        return 0, 0

    def stored_bytes(self, turn: Turn) -> int:
        """Return how many bytes storing this turn takes, where that is so much that the user is warned before."""
        return 0

    def compared(self, array: Array, mean: Array, std: Array, utterances: int) -> Array:
        """Return an extracted array ``[time, *dim]`` compared with its speaker's; only where ``normalize_by_speaker``.

        Args:
            array: As extracted.
            mean: Over all frames of the speaker's arrays, ``[*dim]``.
            std: Their standard deviation, 1 where they are constant.
            utterances: How many arrays these are.
        """
        return ((array - mean) / std).astype(array.dtype)

    def fit_average(self, arrays: Iterable[Array]) -> None:
        """Learn what ``compared`` needs from the training split's arrays as extracted, before ``fit``."""
        return

    def fit(self, arrays: Iterable[Array]) -> None:
        """Learn statistics (means, standard deviations) from the training split's arrays, before training starts.

        With ``normalize_by_speaker`` they are compared with their speakers' already.
        """
        return

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Return a trained network's weights by layer, lowest first, for learning rates that fall from layer to layer.

        The first group is what lies below the first layer (embeddings, convolutions). Empty where there are no layers.
        """
        return ()

    def frozen_parameters(self) -> int:
        """Return the number of weights of the networks that ``extract`` runs and that are no part of the model."""
        return 0

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return what a model card must say: weights, revision, licence where known, frozen or trained."""

    def save_assets(self, folder: Path) -> None:
        """Write what ``build`` needs besides the state's weights (tokenizer, network configuration, frozen weights)."""
        return


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(PlugInSpec):
    """What an encoder's file exports as ``SPEC``."""

    kind: ClassVar[str] = "encoders"
    modalities: tuple[str, ...]
    config: type[EncoderConfig]
    build: Callable[["Any", str, "EncoderHome"], Encoder]
    """``build(config, modality, home)``."""
    extra: str | None = None
    """Which optional extra of the package it needs."""
    example: Callable[[Path], Mapping[str, Any]] | None = None
    """For the contract tests: return the settings of a tiny one; may write what it needs below a folder. ``None``: the
    defaults are tested."""


@dataclass(frozen=True)
class EncoderHome:
    """Where an encoder finds its files when it is built.

    ``data`` is the manifest's folder (``precomputed`` features lie there); ``assets`` is the checkpoint's folder
    written by ``save_assets``, or ``None`` when training starts.
    """

    data: Path | None = None
    assets: Path | None = None
    extractor: Path | None = None
    """The checkpoint that the recipe had trained for this encoder, where it did."""
    open_model: Callable[[Path], Any] | None = None
    """Opens a checkpoint as a ``core.model.TrainedModel``, for an encoder that is made of one."""


_SHOWN = 5


def reach(encoders: Iterable[Encoder]) -> tuple[int, int]:
    """Return how many previous and how many later turns a turn must carry for all of these encoders."""
    pairs = [(encoder.context, encoder.following) for encoder in encoders]
    return max((before for before, _ in pairs), default=0), max((after for _, after in pairs), default=0)


def describe_unread(
    encoders: Iterable[Encoder], turns: Sequence[Turn], name: Callable[[Turn], str] = lambda turn: turn.utterance.id
) -> str | None:
    """Describe the texts that are longer than an encoder reads, by ``name``; ``None``: there is none."""
    for encoder in encoders:
        counts = [encoder.unread(turn) for turn in turns]
        longer = [(turn, *count) for turn, count in zip(turns, counts, strict=True) if count[0]]
        if longer:
            unread, tokens = sum(unread for _, unread, _ in longer), sum(tokens for *_, tokens in longer)
            share = max(round(100 * unread / tokens), 1)
            names = ", ".join(name(turn) for turn, *_ in longer[:_SHOWN]) + (", …" if longer[_SHOWN:] else "")
            return (
                f"{len(longer):,} of {len(turns):,} texts are longer than the text encoder reads ({names}): "
                f"{unread:,} of their {tokens:,} tokens ({share} %) are not read. A larger max_tokens, "
                'keep = "end" or shorter utterances change that.'
            )
    return None


def as_float32(array: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return an array as contiguous float32, the type in which real-valued features are stored."""
    return np.ascontiguousarray(array, dtype=np.float32)
