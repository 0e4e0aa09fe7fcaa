"""The seam between speech recognition and its engines: samples in, passages with words and their probabilities out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from merkit.data.media.audio import Wave

RATE_HZ = 16_000
"""Of the samples that engines read."""
WINDOW_S = 30.0
"""Seconds that Whisper reads at once (Radford et al. 2022, section 2.2); what is longer is cut before."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its punctuation; times in seconds."""

    start_s: float
    end_s: float
    text: str
    probability: float | None
    """``None``: the engine does not say."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What an engine recognised from one time stamp to the next, before any check.

    Times are seconds from the beginning of the samples. ``words`` is empty where the engine has no times of words.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...]
    no_speech: float
    """The probability that there is no speech, according to the engine."""
    log_probability: float
    """Mean over the tokens of the passage, natural logarithm."""


class Engine(Protocol):
    """A recogniser. Nothing is loaded before the first call."""

    @property
    def name(self) -> str:
        """What results and notes call it."""

    @property
    def languages(self) -> Sequence[str]:
        """The codes of the languages that it knows, such as ``en``."""

    def identity(self) -> Mapping[str, Any]:
        """Return all that decides its output, as JSON values."""

    def find_language(self, samples: Wave) -> tuple[str, float]:
        """Return the language of up to ``WINDOW_S`` of speech, and its probability."""

    def recognise(self, samples: Wave, language: str) -> Sequence[Passage]:
        """Return the passages of at most ``WINDOW_S`` of speech, in order of time."""
