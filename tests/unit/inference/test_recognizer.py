"""From a model to predictions."""

from pathlib import Path

import pytest
import torch
from tests.tiny import built, write_corpus

from merkit.core.errors import MerkitError
from merkit.inference.recognizer import Recognizer


def test_a_probability_that_is_not_finite_is_an_error_that_names_the_utterance(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, conversations=1, turns=1)
    encoders = {"audio": {"name": "precomputed", "features": "sound"}}
    model, config = built("single", encoders, ("calm", "cross"), tmp_path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)

    with pytest.raises(MerkitError, match="utterance 'c000_0' a probability that is not finite"):
        list(Recognizer(model, config).predict_turns(list(manifest.turns())))
