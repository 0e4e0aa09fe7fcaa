"""The texts of a corpus with their labels and vectors: as written, plain as a recogniser writes, and misheard."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import Encoder
from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.core.words import plain_words
from merkit.data.features.extraction import extract_features
from merkit.data.features.sources import open_store

Vectors = npt.NDArray[np.float32]
"""``[texts, dim]``"""
_TOGETHER = 2048
"""Texts whose vectors are looked up at a time."""
_SUBSTITUTED, _DELETED = 0.6, 0.85
"""Shares of word errors, cumulated: substitutions, deletions; the rest are insertions."""


@dataclass(frozen=True)
class Texts:
    """Texts of one split of a corpus, conversation by conversation in order of turn."""

    corpus: str
    utterances: tuple[Utterance, ...]
    labels: tuple[frozenset[int], ...]
    """Class numbers of each text; at least one."""

    @cached_property
    def conversations(self) -> list[npt.NDArray[np.int64]]:
        """The rows of each conversation."""
        rows = groupby(range(len(self.utterances)), key=lambda row: self.utterances[row].conversation)
        return [np.array(list(own)) for _, own in rows]

    def shares(self, classes: int) -> npt.NDArray[np.float64]:
        """Return each text's labels as shares that sum to 1, ``[texts, classes]``."""
        shares = np.zeros((len(self.labels), classes))
        for row, own in enumerate(self.labels):
            shares[row, sorted(own)] = 1 / len(own)
        return shares

    @property
    def single(self) -> npt.NDArray[np.bool_]:
        """Which texts have one label alone."""
        return np.array([len(own) == 1 for own in self.labels])


def read_texts(
    corpus: str, raw: Path, labels: Sequence[str], emotions: Mapping[str, Sequence[str]]
) -> dict[str, Texts]:
    """Read a release by its adapter; return the texts with a label by split.

    Args:
        corpus: The adapter's name.
        raw: The release.
        labels: The class names.
        emotions: A corpus' words for each label.

    Raises:
        MerkitError: It cannot be read, or an emotion of it has no place among the labels.
    """
    spec = load("corpora", corpus)
    number = {word: labels.index(label) for label, words in emotions.items() for word in words}
    by_split: dict[str, list[tuple[Utterance, frozenset[int]]]] = {}
    for utterance in spec.read(raw, spec.options()).utterances:
        shipped = utterance.attributes.get("emotions", utterance.attributes.get("emotion"))
        words = str(shipped).split(";")
        if lacking := [word for word in words if word not in number]:
            raise MerkitError(f"{raw}: '{utterance.id}' has the emotion '{lacking[0]}', known: {', '.join(number)}")
        own = frozenset(number[word] for word in words)
        by_split.setdefault(str(utterance.attributes["split"]), []).append((utterance, own))
    return {
        split: Texts(corpus, tuple(u for u, _ in rows), tuple(own for _, own in rows))
        for split, rows in by_split.items()
    }


def misheard(text: str, rate: float, vocabulary: Sequence[str], generator: np.random.Generator) -> str:
    """Return a plain text with word errors: substitutions, deletions and insertions of words from ``vocabulary``.

    Each word is wrong with the probability ``rate``. A text that would lose all words stays as it is.
    """
    heard: list[str] = []
    words = plain_words(text)
    for word in words:
        kind = generator.random() if generator.random() < rate else None
        other = vocabulary[int(generator.integers(len(vocabulary)))]
        if kind is None:
            heard.append(word)
        elif kind < _SUBSTITUTED:
            heard.append(other)
        elif kind >= _DELETED:
            heard += [word, other]
    return " ".join(heard or words)


def heard(
    texts: Texts, kind: str, vocabulary: Sequence[str], rates: tuple[float, float], plain: float
) -> Iterator[str]:
    """Yield each text as a recogniser might write it; its errors follow from its id and ``kind``.

    Args:
        texts: The texts.
        kind: The name of this version.
        vocabulary: Words as often as they occur.
        rates: Least and largest word error rate, between which each text has one.
        plain: The share of texts without an error.
    """
    for utterance in texts.utterances:
        generator = np.random.default_rng(zlib.crc32(f"{utterance.id} {kind}".encode()))
        rate = 0.0 if generator.random() < plain else float(generator.uniform(*rates))
        yield misheard(utterance.text or "", rate, vocabulary, generator)


def vocabulary_of(texts: Sequence[Texts]) -> list[str]:
    """Return the words of texts, each as often as it occurs."""
    counts = Counter(
        word for own in texts for utterance in own.utterances for word in plain_words(utterance.text or "")
    )
    return sorted(counts.elements())


def vectors_of(encoder: Encoder, texts: Texts, kind: str, versions: Sequence[str], features: Path) -> Vectors:
    """Return the encoder's vector of each text in one version, kept in the feature store below ``features``.

    Raises:
        MerkitError: The encoder gives more than one vector for a text.
    """
    store = open_store(encoder, features)
    rows = []
    turns = [
        Turn(replace(utterance, id=f"{utterance.id} {kind}", text=text, attributes={}), (), Path())
        for utterance, text in zip(texts.utterances, versions, strict=True)
    ]
    for start in range(0, len(turns), _TOGETHER):
        some = turns[start : start + _TOGETHER]
        extract_features(encoder, some, store)
        for turn in some:
            array = store.get(turn.utterance.id, str(encoder.content(turn)))
            if len(array) != 1:
                raise MerkitError(f"'{turn.utterance.id}' has {len(array)} vectors, expected 1: set encoder.pooled")
            rows.append(array[0])
    return np.stack(rows)
