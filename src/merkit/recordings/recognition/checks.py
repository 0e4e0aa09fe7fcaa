"""What of a recogniser's output is no speech: the rules, and why a passage breaks one.

A recogniser of Whisper's kind writes words for any sound, and sometimes falls into a loop. Three measures tell (Radford
et al. 2022, "Robust speech recognition via large-scale weak supervision", section 4.5 and released code; faster-whisper
has the same thresholds). There a passage that fails is decoded again with random samples; here it is left out and
counted, so that a result can be repeated.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from merkit.core.words import plain_words
from merkit.recordings.recognition.engine import Passage

NO_SPEECH = 0.6
"""``no_speech_threshold`` of the released code."""
LOG_PROBABILITY = -1.0
"""``logprob_threshold`` of the released code."""
COMPRESSION = 2.4
"""``compression_ratio_threshold`` of the released code."""
REPEATS = 2
"""A passage is a loop from its second repetition in a row on: people say a thing twice, and rarely three times."""


@dataclass(frozen=True)
class Rule:
    """Why a passage is left out, in the words of a note."""

    reason: str
    source: str
    breaks: Callable[[Passage], bool]


RULES = (
    Rule(
        "no speech, by the recogniser's own probability",
        "Radford et al. 2022, section 4.5; their code: no_speech_prob > 0.6 and avg_logprob < -1.0",
        lambda passage: passage.no_speech > NO_SPEECH and passage.log_probability < LOG_PROBABILITY,
    ),
    Rule(
        "improbable words",
        "Radford et al. 2022, section 4.5; their code: avg_logprob < -1.0",
        lambda passage: passage.log_probability < LOG_PROBABILITY,
    ),
    Rule(
        "the same words again and again within it",
        "Radford et al. 2022, section 4.5; their code: compression ratio > 2.4",
        lambda passage: compression_ratio(passage.text) > COMPRESSION,
    ),
)
"""The first rule that a passage breaks names it."""
REPEATED = "the same text as the two passages before it"


def compression_ratio(text: str) -> float:
    """Return how many times smaller zlib makes a text; loops compress well.

    >>> compression_ratio("yes " * 100) > 10
    True
    """
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def reason_to_drop(passage: Passage, before: Sequence[Passage]) -> str | None:
    """Return why a passage is left out; ``None``: it is kept.

    Args:
        passage: The passage.
        before: All passages of the same speaker before it, those that were left out included.
    """
    broken = next((rule.reason for rule in RULES if rule.breaks(passage)), None)
    if broken is None and len(before) >= REPEATS:
        said = plain_words(passage.text)
        if all(plain_words(other.text) == said for other in before[-REPEATS:]):
            return REPEATED
    return broken
