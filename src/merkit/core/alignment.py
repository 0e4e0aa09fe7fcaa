"""The interface of aligners: when each word, syllable and phone of a recording was spoken."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from merkit.core.lookup import PlugInSpec
from merkit.core.settings import Settings
from merkit.core.types import Turn

TierName = Literal["phone", "syllable", "word"]
TIERS: tuple[TierName, ...] = get_args(TierName)
"""The units of an alignment, the shortest first."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A phone, syllable or word, and its time in seconds from the beginning of its utterance; silence has none."""

    label: str
    start_s: float
    end_s: float


Alignment = Mapping[TierName, tuple[Interval, ...]]
"""The tiers that are known, each in order of time and without overlap."""


@dataclass(frozen=True)
class SegmentRequest:
    """The tiers of the alignment ``<data>/segments/<alignment>`` that a model reads."""

    alignment: str
    tiers: tuple[TierName, ...]


class AlignerConfig(Settings):
    """Settings of an aligner."""


class Aligner(ABC):
    """Finds the times of spoken words and phones, one utterance at a time."""

    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the result depends on besides recording and words, as JSON values; see ``Encoder``."""

    def content(self, turn: Turn) -> str:
        """Return a hash of what ``align`` reads of this turn besides its recording and words; by default nothing."""
        return ""

    @abstractmethod
    def align(self, turn: Turn) -> Alignment:
        """Return the tiers of an utterance that has sound and words.

        Raises:
            UnalignableError: The words cannot be found in the recording; says why, without the utterance's name.
            MerkitError: The recording or a file cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class AlignerSpec(PlugInSpec):
    """What an aligner's file exports as ``SPEC``."""

    kind: ClassVar[str] = "aligners"
    config: type[AlignerConfig]
    build: Callable[[Any], Aligner]
    """``build(config)``"""
