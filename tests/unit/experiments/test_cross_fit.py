from pathlib import Path
from typing import cast

import numpy as np
import pytest

from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError
from merkit.core.types import Turn, Utterance
from merkit.data.features.sources import FeatureSource
from merkit.encoders.checkpoint import describe_extractors
from merkit.experiments.cross_fit import cut_by_conversation
from merkit.experiments.transforms.cross_fitted_features import CrossFittedSource

CONVERSATIONS = [f"c{number}" for number in range(11)]


@pytest.mark.parametrize("parts", [2, 3, 11])
def test_every_conversation_is_in_one_part_and_parts_are_of_a_size(parts: int) -> None:
    found = cut_by_conversation(CONVERSATIONS, parts, seed=0, key="cross_fit")

    assert sorted(name for part in found for name in part) == sorted(CONVERSATIONS)
    assert len(found) == parts
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_the_cut_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    cuts = [cut_by_conversation(CONVERSATIONS, 3, seed, "cross_fit") for seed in (0, 0, 1)]

    assert cuts[0] == cuts[1] != cuts[2]


def test_more_parts_than_conversations_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^teacher.cross_fit = 12: .* only 11 conversations"):
        cut_by_conversation(CONVERSATIONS, 12, seed=0, key="teacher.cross_fit")


@pytest.mark.parametrize(
    ("encoders", "told"),
    [
        ({"text": {"name": "bert"}}, None),
        ({"text": {"name": "checkpoint", "checkpoint": "c"}, "audio": {"name": "praat"}}, "not cross-fitted"),
        ({"text": {"name": "checkpoint", "recipe": "r", "cross_fit": 5}}, "cross-fitted (5)"),
        (
            {"text": {"name": "checkpoint", "recipe": "r", "ensemble": 3}},
            "3 seeds side by side for all, not cross-fitted",
        ),
        (
            {"text": {"name": "checkpoint", "recipe": "r", "ensemble": 1, "cross_fit": 2}},
            "one seed for all, cross-fitted (2)",
        ),
        (
            {
                "text": {"name": "checkpoint", "recipe": "r", "cross_fit": 5},
                "audio": {"name": "checkpoint", "recipe": "r"},
            },
            "text cross-fitted (5), audio not cross-fitted",
        ),
    ],
)
def test_how_vectors_were_made_is_told_in_words(encoders: dict[str, dict[str, object]], told: str | None) -> None:
    assert describe_extractors(encoders) == told


def test_arrays_come_from_the_held_out_extractor_compared_or_not() -> None:
    held_out, array = FeatureSource(cast(Encoder, None), None), np.ones((1, 2), np.float32)
    held_out._kept["u"] = array

    source = CrossFittedSource(cast(Encoder, None), {"c": held_out})  # its encoder has learned from the conversation

    turn = Turn(Utterance("u", "c", 0, "A"), (), Path())
    assert source.get(turn) is array
    assert source.extracted(turn) is array
