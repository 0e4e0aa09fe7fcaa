"""Small networks with random weights in Hugging Face's own classes and format, and turns made of words or samples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.networks import KINDS, write_speech_network, write_text_network

from merkit.core.types import Turn, Utterance

WORDS = ["i", "you", "we", "are", "happy", "sad", "so", "very", "not", "here", "there", "anna", "ben", ":", ".", "one"]
WORDS += ["two", "three", "four", "five", "six", "seven", "eight"]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_network(tmp_path_factory.mktemp("tiny_bert"), WORDS)


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder for each kind of speech network."""
    return {kind: write_speech_network(tmp_path_factory.mktemp("network") / kind, kind) for kind in KINDS}


@pytest.fixture
def say(tmp_path: Path) -> Callable[..., Turn]:
    """Return a maker of turns: ``say("text", before=["older", "newer"])``; speakers take turns."""

    def make(text: str | None, before: Sequence[str | None] = (), identity: str = "u") -> Turn:
        lines = [*before, text]
        utterances = [
            Utterance(f"{identity}{number}", "c", number, ["anna", "ben"][number % 2], line)
            for number, line in enumerate(lines)
        ]
        return Turn(utterances[-1], tuple(utterances[:-1]), tmp_path)

    return make


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Turn]:
    """Return a maker of turns that have a recording of these samples at 16 kHz."""

    def make(
        samples: np.ndarray, identity: str = "u", start_s: float | None = None, end_s: float | None = None
    ) -> Turn:
        soundfile.write(tmp_path / f"{identity}.wav", samples, 16_000, subtype="FLOAT")
        utterance = Utterance(identity, identity, 0, "anna", audio=f"{identity}.wav", start_s=start_s, end_s=end_s)
        return Turn(utterance, (), tmp_path)

    return make
