"""Augmented views of utterances: where made ones lie on disk, and which one a batch gets.

A view is a file named by the hash of all that it was made of, below ``views/`` in the manifest's folder: ``text/`` and
``audio/`` (FLAC, 16 kHz). What is there is never made again, whichever fold, seed or recipe asks.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from merkit.core.types import Turn
from merkit.core.view import RATE_HZ
from merkit.data.collate import Example
from merkit.data.features.sources import FeatureSource
from merkit.data.files import atomic_path

FOLDER = "views"
"""Below the manifest's folder."""


class ViewCache:
    """The made views below a folder, by the hash of what they were made of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self, made_of: Mapping[str, Any]) -> Path:
        """Return where a wording lies, whether or not it has been made."""
        return self._place("text", made_of, ".txt")

    def audio(self, made_of: Mapping[str, Any]) -> Path:
        """Return where a recording lies, whether or not it has been made."""
        return self._place("audio", made_of, ".flac")

    def _place(self, kind: str, made_of: Mapping[str, Any], suffix: str) -> Path:
        canonical = json.dumps(made_of, sort_keys=True, ensure_ascii=False)
        name = hashlib.blake2b(canonical.encode(), digest_size=20).hexdigest()
        return (self.folder / kind / name[:2] / name).with_suffix(suffix)


def write_text(path: Path, text: str) -> None:
    """Write a wording."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_audio(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Write samples ``[time]`` at 16 kHz, full scale 1, as FLAC of 16 bits."""
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, RATE_HZ, subtype="PCM_16", format="FLAC")


def seed_of(*words: str | int) -> int:
    """Return a number below 2**63 that depends on all words and on nothing else."""
    text = "/".join(map(str, words))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Views:
    """The views of the training utterances, ready to be drawn; each has as many."""

    turns: Mapping[str, Sequence[Turn]]
    """By utterance id."""
    sources: Mapping[str, FeatureSource]

    def example(self, turn: Turn, draw: int) -> Example:
        """Return the view that a draw gives an utterance, under the utterance's own id, without a label."""
        name = turn.utterance.id
        there = self.turns[name]
        view = there[seed_of(draw, name) % len(there)]
        arrays = {modality: source.get(view) for modality, source in self.sources.items()}
        return Example(name, turn.utterance.speaker, arrays, None)
