"""The seam of a view engine: the same utterance in other words, or spoken in another way, for contrastive training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from merkit.core.lookup import PlugInSpec
from merkit.core.types import Turn

RATE_HZ = 16_000
"""Of what audio engines return."""


class ViewConfig(BaseModel):
    """Settings of a view engine; misspelt keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Wording:
    """A text that another wording is asked of."""

    text: str
    number: int
    """Which of the utterance's views this is, from 0."""
    seed: int
    """What is drawn comes from it and from nothing else."""


@dataclass(frozen=True, slots=True)
class Speaking:
    """A recording that another one is asked of."""

    turn: Turn
    """The utterance as recorded."""
    text: str | None
    """The view's words."""
    donor: Turn | None
    """A recording of another training speaker with the same emotion, for an engine that needs one."""
    seed: int
    """What is drawn comes from it and from nothing else."""


class TextEngine(ABC):
    """Makes other wordings."""

    batch: ClassVar[int] = 1
    """Texts that are best given at a time."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return all that a result depends on besides the request, as JSON values: name, version, settings, weights."""

    @abstractmethod
    def rewrite(self, wordings: Sequence[Wording]) -> list[str]:
        """Return a text for each; none depends on the others.

        Raises:
            MerkitError: What the engine needs is not there.
        """


class AudioEngine(ABC):
    """Makes other recordings."""

    needs_donor: ClassVar[bool] = False
    """Whether the voice is taken from a donor's recording."""
    reads_text: ClassVar[bool] = False
    """Whether the view's words are spoken; otherwise it is the recording that is changed."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return all that a result depends on besides the request, as JSON values: name, version, settings, weights."""

    @abstractmethod
    def speak(self, speaking: Speaking) -> npt.NDArray[np.float32]:
        """Return the samples ``[time]`` at 16 kHz, mono, full scale 1.

        Raises:
            MerkitError: A recording cannot be read, or what the engine needs is not there; names the utterance.
        """


@dataclass(frozen=True, kw_only=True)
class ViewSpec(PlugInSpec):
    """What an engine's file exports as ``SPEC``."""

    kind: ClassVar[str] = "views"
    modality: Literal["text", "audio"]
    config: type[ViewConfig]
    build: Callable[[Any], Any]
    """``build(config)``: a ``TextEngine`` or an ``AudioEngine``, by the modality."""
