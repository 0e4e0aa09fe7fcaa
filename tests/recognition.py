"""An engine that recognises what a test says, and keeps what reached it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from merkit.recordings.recognition.engine import RATE_HZ, Passage, Word


def passage(
    text: str, start_s: float = 0.1, end_s: float = 1.0, no_speech: float = 0.0, log_probability: float = -0.3
) -> Passage:
    """Return a passage whose words divide its time evenly."""
    words = text.split()
    edges = np.linspace(start_s, end_s, len(words) + 1).tolist()
    spoken = tuple(
        Word(first, last, f" {word}", 0.9) for word, first, last in zip(words, edges[:-1], edges[1:], strict=True)
    )
    return Passage(start_s, end_s, f" {text}", spoken, no_speech, log_probability)


class FakeEngine:
    """Recognises each call as ``say`` tells from its number; knows three languages and finds English."""

    def __init__(self, say: Callable[[int], Sequence[Passage]] | None = None, name: str = "fake") -> None:
        self.say = say or (lambda number: [passage(f"word{number}")])
        self.name = name
        self.languages: Sequence[str] = ["de", "en", "pl"]
        self.heard: list[float] = []
        """Seconds of each call."""
        self.spoken: list[str] = []
        """The language of each call."""
        self.asked = 0
        """How often the language was looked for."""

    def identity(self) -> Mapping[str, Any]:
        return {"engine": self.name}

    def find_language(self, samples: np.ndarray) -> tuple[str, float]:
        self.asked += 1
        return "en", 0.75

    def recognise(self, samples: np.ndarray, language: str) -> Sequence[Passage]:
        self.heard.append(len(samples) / RATE_HZ)
        self.spoken.append(language)
        return self.say(len(self.heard) - 1)
