"""Speakers of embeddings: spectral clustering into a known number, then the likeliest sequence of speakers.

Park et al. 2020, "Auto-tuning spectral clustering for speaker diarization using normalized maximum eigengap": how many
neighbours each embedding keeps is chosen by the eigenvalues. The sequence is Viterbi's, in which a change costs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

Vectors = Float[npt.NDArray[Any], "n dim"]
Labels = Int[npt.NDArray[np.int64], " n"]

_SHARES = (0.03, 0.05, 0.08, 0.12, 0.18, 0.25)
"""Of all embeddings that are kept as neighbours of each; one of them is chosen."""
_EIGENVALUES = 10
"""Among which the largest gap is looked for: more than there are speakers."""
_MOST = 1200
"""Embeddings that are clustered, evenly drawn: time grows with the cube. All of them take part in the sequence."""
_STARTS = 5
_SHARPNESS, _SWITCH, _ROUNDS = 15.0, 4.0, 4
"""What a cosine counts, what a change costs, and how often means and sequence are made again."""


def speaker_sequence(vectors: Vectors, count: int, starts: Vectors | None = None) -> Labels:
    """Return the speaker of each embedding, from 0 to ``count`` - 1.

    Args:
        vectors: Embeddings in order of time; each is brought to unit length after the mean of all is subtracted.
        count: The number of speakers.
        starts: Embeddings of known speakers, one for each in order; ``None``: speakers are found by clustering, and
            numbered in the order in which they first speak.
    """
    mean = vectors.mean(axis=0)
    centred = _unit(vectors - mean)
    labels = _clusters(centred, count) if starts is None else _likeliest(centred @ _unit(starts - mean).T)
    for _ in range(_ROUNDS):
        if len(np.unique(labels)) < count:
            break  # a speaker was lost, and has no mean
        means = np.stack([centred[labels == n].mean(axis=0) for n in range(count)])
        labels = _likeliest(centred @ _unit(means).T)
    return labels if starts is not None else _in_order(labels)


def _clusters(vectors: Vectors, count: int) -> Labels:
    """Return clusters of unit vectors; those that are not drawn get the cluster of the nearest mean."""
    from sklearn.cluster import KMeans

    drawn = vectors[np.unique(np.linspace(0, len(vectors) - 1, _MOST).round().astype(int))]
    cosines = drawn @ drawn.T
    chosen = min((_laplacian_vectors(cosines, share, count) for share in _SHARES), key=lambda found: found[0])
    clusters = KMeans(count, n_init=_STARTS, random_state=0).fit_predict(chosen[1])
    means = _unit(np.stack([drawn[clusters == n].mean(axis=0) for n in range(count)]))
    return np.asarray(np.argmax(vectors @ means.T, axis=1))


def _laplacian_vectors(cosines: Vectors, share: float, count: int) -> tuple[float, Vectors]:
    """Return how badly a share of neighbours divides the embeddings, and the first eigenvectors of their Laplacian."""
    from scipy.linalg import eigh

    n = len(cosines)
    kept = max(2, round(share * n))
    nearest = np.argpartition(-cosines, kept - 1, axis=1)[:, :kept]
    links = np.zeros((n, n))
    np.put_along_axis(links, nearest, 1.0, axis=1)
    links = (links + links.T) / 2
    degrees = links.sum(axis=1)
    values, vectors = eigh(np.diag(degrees) - links, subset_by_index=(0, min(max(_EIGENVALUES, count), n - 1)))
    gap = float(np.diff(values).max()) / float(degrees.max())
    return share / max(gap, 1e-12), vectors[:, :count]


def _likeliest(cosines: Vectors) -> Labels:
    """Return the sequence of speakers with the largest sum of cosines less the cost of its changes."""
    scores = _SHARPNESS * cosines
    best = scores[0]
    came_from = np.zeros(scores.shape, np.int64)
    for n in range(1, len(scores)):
        stay_or_switch = best[None, :] - _SWITCH * (1 - np.eye(len(best)))
        came_from[n] = stay_or_switch.argmax(axis=1)
        best = stay_or_switch.max(axis=1) + scores[n]
    labels = np.zeros(len(scores), np.int64)
    labels[-1] = best.argmax()
    for n in range(len(scores) - 1, 0, -1):
        labels[n - 1] = came_from[n, labels[n]]
    return labels


def _in_order(labels: Labels) -> Labels:
    """Return the labels numbered in the order in which they first occur."""
    _, firsts = np.unique(labels, return_index=True)
    order = {int(labels[first]): number for number, first in enumerate(sorted(firsts))}
    return np.array([order[label] for label in labels.tolist()])


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
