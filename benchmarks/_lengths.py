"""How long utterances are: drawn as those of IEMOCAP are distributed."""

import numpy as np

SHORTEST_S, LONGEST_S, MEAN_S = 0.6, 34.0, 4.5
_SPREAD = 0.7
"""Standard deviation of the logarithm."""


def speech_lengths_s(count: int) -> list[float]:
    """Return lengths as of IEMOCAP's utterances, in seconds: log-normal, the same for the same count."""
    drawn = np.random.default_rng(0).lognormal(np.log(MEAN_S) - _SPREAD**2 / 2, _SPREAD, count)
    return [float(length_s) for length_s in drawn.clip(SHORTEST_S, LONGEST_S)]
