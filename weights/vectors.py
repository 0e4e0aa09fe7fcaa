"""The clips of a corpus with their speakers, labels and vectors, as they are and damaged."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from merkit.core.encoder import Encoder
from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.core.waveform import Waveform
from merkit.data.features.extraction import extract_features
from merkit.data.features.sources import open_store
from merkit.encoders.sound.samples import RATE_HZ, waveform
from merkit.views.perturb import with_noise

Samples = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float64]
"""``[clips, dim]``"""

UNLABELLED = -1
NOISE_DB = 10.0
_TELEPHONE_HZ = 8_000
_MU = 255.0
_TOGETHER = 256
"""Clips whose samples are in memory at a time."""


def telephone(samples: Samples, _: np.random.Generator) -> Samples:
    """Return the samples after a telephone line: at 8 kHz, in 8 bits by the mu-law."""
    narrow = soxr.resample(samples, RATE_HZ, _TELEPHONE_HZ)
    return np.asarray(soxr.resample(mu_law(narrow), _TELEPHONE_HZ, RATE_HZ), dtype=np.float32)


def mu_law(samples: npt.ArrayLike) -> Samples:
    """Return samples as 256 levels represent them that lie densely near 0: companding by the mu-law, mu = 255."""
    clipped = np.clip(samples, -1.0, 1.0)
    compressed = np.sign(clipped) * np.log1p(_MU * np.abs(clipped)) / np.log1p(_MU)
    coded = np.round((compressed + 1) / 2 * 255) / 255 * 2 - 1
    return np.asarray(np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(_MU)) / _MU, dtype=np.float32)


def noisy(samples: Samples, generator: np.random.Generator) -> Samples:
    """Return the samples with white noise, 10 dB softer."""
    return with_noise(samples, NOISE_DB, generator)


def loudest_second(samples: Samples, _: np.random.Generator) -> Samples:
    """Return the second with the most energy; a shorter clip as it is."""
    if len(samples) <= RATE_HZ:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    start = int(np.argmax(energy[RATE_HZ:] - energy[:-RATE_HZ]))
    return samples[start : start + RATE_HZ]


def soft(samples: Samples, _: np.random.Generator) -> Samples:
    """Return the samples at a tenth of their loudness."""
    return samples * np.float32(0.1)


def loud(samples: Samples, _: np.random.Generator) -> Samples:
    """Return the samples three times as loud, clipped at full scale."""
    return np.clip(samples * np.float32(3.0), -1.0, 1.0)


DAMAGE: Mapping[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "telephone": telephone,
    "noise": noisy,
    "one_second": loudest_second,
}
"""Kinds of damage that the model is trained with and measured on."""
LOUDNESS = {"soft": soft, "loud": loud}
"""Changes that it is measured on alone."""


@dataclass(frozen=True)
class Clips:
    """Clips of one corpus; the arrays have one entry for each."""

    corpus: str
    utterances: tuple[Utterance, ...]
    root: Path
    labels: npt.NDArray[np.int64]
    """Class numbers; -1 where a clip has no label."""

    @cached_property
    def speakers(self) -> npt.NDArray[np.str_]:
        """Names of speakers, each with its corpus."""
        return np.array([f"{self.corpus}/{utterance.speaker}" for utterance in self.utterances])

    @cached_property
    def labels_present(self) -> list[int]:
        """Class numbers of the labels that the corpus has."""
        return sorted(set(self.labels.tolist()) - {UNLABELLED})


def read_clips(corpus: str, raw: Path, labels: Sequence[str], emotions: Mapping[str, Sequence[str]]) -> Clips:
    """Read a release by its adapter; ``emotions`` are a corpus' words for each label.

    Raises:
        MerkitError: It cannot be read, or none of its emotions has a place among the labels.
    """
    spec = load("corpora", corpus)
    utterances = tuple(spec.read(raw, spec.options()).utterances)
    number = {word: labels.index(label) for label, words in emotions.items() for word in words}
    classes = [number.get(str(utterance.attributes["emotion"]), UNLABELLED) for utterance in utterances]
    if set(classes) <= {UNLABELLED}:
        raise MerkitError(f"{raw}: none of its emotions is among {', '.join(number)}")
    return Clips(corpus, utterances, raw, np.array(classes, dtype=np.int64))


def vectors_of(encoder: Encoder, clips: Clips, features: Path, damage: str | None = None) -> Vectors:
    """Return the encoder's vector of each clip, kept in the feature store below ``features``.

    Raises:
        MerkitError: A clip cannot be read, or the encoder gives more than one vector for it.
    """
    store = open_store(encoder, features)
    rows = []
    for start in range(0, len(clips.utterances), _TOGETHER):
        turns = [_turn(utterance, clips, damage) for utterance in clips.utterances[start : start + _TOGETHER]]
        extract_features(encoder, turns, store)
        for turn in turns:
            array = store.get(turn.utterance.id, str(encoder.content(turn)))
            if len(array) != 1:
                raise MerkitError(f"'{turn.utterance.id}' has {len(array)} vectors, expected 1: set encoder.pooled")
            rows.append(array[0])
    return np.stack(rows).astype(np.float64)


def _turn(utterance: Utterance, clips: Clips, damage: str | None) -> Turn:
    """Return what the encoder reads of a clip; the noise of a clip follows from its id."""
    turn = Turn(replace(utterance, attributes={}), (), clips.root)
    if damage is None:
        return turn
    generator = np.random.default_rng(zlib.crc32(utterance.id.encode()))
    samples = {**DAMAGE, **LOUDNESS}[damage](waveform(turn), generator)
    changed = replace(
        turn.utterance, id=f"{utterance.id} {damage}", audio=Waveform(samples, RATE_HZ), start_s=None, end_s=None
    )
    return replace(turn, utterance=changed)
