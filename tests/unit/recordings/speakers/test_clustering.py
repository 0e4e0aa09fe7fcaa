"""Speakers of made-up embeddings."""

import numpy as np
import pytest

from merkit.recordings.speakers.clustering import speaker_sequence


def embeddings(labels: list[int], spread: float = 0.15, seed: int = 0) -> np.ndarray:
    """Return vectors of 16 dimensions around one direction for each speaker, all with a large part in common."""
    generator = np.random.default_rng(seed)
    directions = np.eye(16)[: max(labels) + 1]
    return 3 * np.eye(16)[15] + directions[labels] + spread * generator.standard_normal((len(labels), 16))


@pytest.mark.parametrize("count", [2, 3])
def test_speakers_are_found_and_numbered_in_the_order_in_which_they_speak(count: int) -> None:
    labels = [speaker for _ in range(4) for speaker in range(count) for _ in range(10)]

    found = speaker_sequence(embeddings(labels), count)

    assert found.tolist() == labels


def test_a_moment_that_sounds_like_the_other_speaker_is_no_change() -> None:
    labels = [0] * 20 + [1] * 20 + [0] * 20
    vectors = embeddings(labels)
    vectors[30] = 0.6 * vectors[5] + 0.4 * vectors[31]

    assert speaker_sequence(vectors, 2).tolist() == labels


def test_marked_speakers_keep_their_numbers() -> None:
    labels = [1] * 20 + [0] * 20
    vectors = embeddings(labels)

    found = speaker_sequence(vectors, 2, np.stack([vectors[25], vectors[3]]))

    assert found.tolist() == labels


def test_the_same_embeddings_have_the_same_speakers_however_many_there_are() -> None:
    """More than are clustered at once: the others follow the nearest mean."""
    labels = [speaker for _ in range(50) for speaker in (0, 1) for _ in range(15)]
    vectors = embeddings(labels)

    found = speaker_sequence(vectors, 2)

    assert len(labels) == 1500
    assert found.tolist() == labels == speaker_sequence(vectors, 2).tolist()
