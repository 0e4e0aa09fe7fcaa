"""The interface of view engines: an utterance reworded, or its recording changed, for contrastive training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from merkit.core.lookup import PlugInSpec
from merkit.core.settings import Settings
from merkit.core.types import Turn

RATE_HZ = 16_000
"""Of what audio engines return."""


class ViewConfig(Settings):
    """Settings of a view engine."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A request to reword a text."""

    text: str
    number: int
    """Which of the utterance's views this is, from 0."""
    seed: int
    """The only source of randomness."""


@dataclass(frozen=True, slots=True)
class Speaking:
    """A request to change a recording, or to speak its words anew."""

    turn: Turn
    """The utterance as recorded."""
    text: str | None
    """The view's words."""
    donor: Turn | None
    """A recording of another training speaker with the same emotion, for an engine that needs one."""
    seed: int
    """The only source of randomness."""


class TextEngine(ABC):
    """Rewords texts."""

    batch: ClassVar[int] = 1
    """How many texts to pass at a time."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return what the result depends on besides the request, as JSON values: name, version, settings, weights."""

    @abstractmethod
    def rewrite(self, wordings: Sequence[Wording]) -> list[str]:
        """Return a text for each request, independent of the others.

        Raises:
            MerkitError: A file or library that the engine needs is missing.
        """


class AudioEngine(ABC):
    """Changes recordings, or speaks their words anew."""

    needs_donor: ClassVar[bool] = False
    """Whether it takes the voice of a donor's recording."""
    reads_text: ClassVar[bool] = False
    """Whether it speaks the view's words; otherwise it changes the recording."""

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Return what the result depends on besides the request, as JSON values: name, version, settings, weights."""

    @abstractmethod
    def speak(self, speaking: Speaking) -> npt.NDArray[np.float32]:
        """Return the samples ``[time]`` at 16 kHz, mono, full scale 1.

        Raises:
            MerkitError: A recording cannot be read, or a file or library is missing; names the utterance.
        """


@dataclass(frozen=True, kw_only=True)
class ViewSpec(PlugInSpec):
    """What an engine's file exports as ``SPEC``."""

    kind: ClassVar[str] = "views"
    modality: Literal["text", "audio"]
    config: type[ViewConfig]
    build: Callable[[Any], Any]
    """``build(config)``: a ``TextEngine`` or an ``AudioEngine``, by the modality."""
