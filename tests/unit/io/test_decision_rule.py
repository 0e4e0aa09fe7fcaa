"""The decision rule of a checkpoint, and what a user may choose in its place."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.checkpoints import reseal
from tests.deciding import ENCODERS, LABELS, RULE, add_rule
from tests.tiny import built

from merkit.core.errors import CheckpointError, ConfigError
from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import read_config, save_checkpoint
from merkit.io.decision_rule import DecisionOptions, DecisionRule

FACTS = {"trained_on": {"utterances": ""}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    save_checkpoint(folder, *built("single", ENCODERS, LABELS), FACTS, "")
    return folder


@pytest.fixture
def checkpoint(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "checkpoint")


@pytest.mark.parametrize(
    ("labels", "prior", "expected"),
    [
        (None, None, {"neutral": 0.2, "happy": 0.2, "sad": 0.2, "angry": 0.2, "fear": 0.2}),
        (None, {"neutral": 0.8}, {"neutral": 0.8, "happy": 0.05, "sad": 0.05, "angry": 0.05, "fear": 0.05}),
        (["neutral", "happy", "sad"], {"neutral": 0.8}, {"neutral": 0.8, "happy": 0.1, "sad": 0.1}),
        (["sad", "happy"], {"neutral": 0.8}, {"happy": 0.5, "sad": 0.5}),
        # the rest, .1, is shared by happy and sad; fear is not shown, and .6, .05, .05 are scaled
        (
            ["neutral", "happy", "sad"],
            {"neutral": 0.6, "fear": 0.3},
            {"neutral": 6 / 7, "happy": 0.5 / 7, "sad": 0.5 / 7},
        ),
        (["neutral", "sad"], dict.fromkeys(LABELS, 0.2), {"neutral": 0.5, "sad": 0.5}),
    ],
)
def test_the_prior_is_of_the_shown_labels(labels: Any, prior: Any, expected: dict[str, float]) -> None:
    found = DecisionRule(labels=labels, prior=prior).priors(LABELS)

    assert list(found) == [label for label in LABELS if label in expected]
    assert found == pytest.approx(expected)


def test_the_prior_of_all_labels_may_be_rounded_to_three_digits() -> None:
    third = DecisionRule(prior={"a": 0.333, "b": 0.333, "c": 0.333}).priors(("a", "b", "c"))

    assert third == pytest.approx(dict.fromkeys("abc", 1 / 3))


def test_a_rule_is_kept_in_a_checkpoint_and_absent_where_there_is_none(saved: Path, tmp_path: Path) -> None:
    model, config = built("single", ENCODERS, LABELS)
    object.__setattr__(config, "decision_rule", DecisionRule(**RULE))
    save_checkpoint(tmp_path / "with", model, config, FACTS, "")

    assert read_config(tmp_path / "with").decision_rule == DecisionRule(**RULE)
    assert json.loads((tmp_path / "with" / "config.json").read_text())["decision_rule"] == RULE
    assert read_config(saved).decision_rule is None
    assert "decision_rule" not in json.loads((saved / "config.json").read_text())


BAD = [
    ({"labels": ["neutral", "joy"]}, "No label named 'joy'"),
    ({"labels": ["neutral"]}, "found 1, expected two or more"),
    ({"labels": []}, "found 0, expected two or more"),
    ({"labels": ["sad", "sad"]}, "one is named twice"),
    ({"labels": "neutral"}, "valid tuple"),
    ({"labels": [1, 2]}, "valid string"),
    ({"prior": {"joy": 0.5}}, "No label named 'joy'"),
    ({"prior": {"neutral": -0.1}}, "greater than 0"),
    ({"prior": {"neutral": 0}}, "greater than 0"),
    ({"prior": {"neutral": 1}}, "less than 1"),
    ({"prior": {"neutral": True}}, "valid number"),
    ({"prior": {"neutral": "0.8"}}, "valid number"),
    ({"prior": {"neutral": 0.8, "happy": 0.3}}, "sum to 1.1, expected 1"),
    ({"prior": {"neutral": 0.5, "happy": 0.5}}, "leaves nothing for sad, angry"),
    ({"prior": dict.fromkeys(LABELS, 0.1)}, "sum to 0.5, expected 1"),
    ({"prior": [0.8]}, "valid dictionary"),
    ({"unsure_below": 2}, "less than 1"),
    ({"unsure_below": -0.5}, "greater than or equal to 0"),
    ({"unsure_below": None}, "valid number"),
    ({"least_utterances": -1}, "greater than or equal to 0"),
    ({"least_utterances": 5.5}, "valid integer"),
    ({"least_utterances": True}, "valid integer"),
    ({"least_s": -1}, "greater than or equal to 0"),
    ({"least_s": "10"}, "valid number"),
    ({"arousal": 1}, "valid boolean"),
    ({"threshold": 0.5}, "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("change", "match"), BAD, ids=[json.dumps(change) for change, _ in BAD])
def test_a_rule_that_does_not_fit_is_refused_in_one_line(checkpoint: Path, change: dict[str, Any], match: str) -> None:
    add_rule(checkpoint, change)

    with pytest.raises(CheckpointError, match=match) as caught:
        Recognizer.load(checkpoint, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    ["NaN", "Infinity", "1e999", '"yes"', "[]", '{"prior": {"neutral": NaN}}', '{"unsure_below": 1e999}'],
)
def test_a_rule_that_is_no_object_or_has_no_number_is_refused(checkpoint: Path, rule: str) -> None:
    reseal(checkpoint, {"decision_rule": "HERE"})
    path = checkpoint / "config.json"
    path.write_text(path.read_text().replace('"HERE"', rule))

    with pytest.raises(CheckpointError) as caught:
        Recognizer.load(checkpoint, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_rule_that_compares_speakers_needs_an_encoder_that_does(tmp_path: Path) -> None:
    encoders = {"audio": {**ENCODERS["audio"], "normalize": "corpus"}}
    save_checkpoint(tmp_path / "checkpoint", *built("single", encoders, LABELS), FACTS, "")
    add_rule(tmp_path / "checkpoint")

    with pytest.raises(CheckpointError, match="none of its encoders normalizes by speaker"):
        Recognizer.load(tmp_path / "checkpoint", device="cpu")

    add_rule(tmp_path / "checkpoint", {"least_utterances": 0, "least_s": 0})
    assert Recognizer.load(tmp_path / "checkpoint", device="cpu").decisions.labels == LABELS[:4]


def test_options_replace_what_the_rule_says() -> None:
    rule = DecisionRule(**RULE)

    assert DecisionOptions().applied(rule, LABELS, "m") == rule
    everything = DecisionOptions("all", "even").applied(rule, LABELS, "m")
    assert everything == DecisionRule(**{**RULE, "labels": None, "prior": None})
    some = DecisionOptions(("sad", "fear"), {"sad": 0.9}).applied(rule, LABELS, "m")
    assert some is not None
    assert some.priors(LABELS) == pytest.approx({"sad": 0.9, "fear": 0.1})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"labels": ["angry", "furious"]},
            "labels: No label named 'furious'.* Known: neutral, happy, sad, angry, fear",
        ),
        ({"labels": ["angry"]}, "found 1, expected two or more"),
        ({"labels": "angry"}, "found 'angry', expected 'all' or a list"),
        ({"labels": {"angry", "sad"}}, "expected 'all' or a list"),
        ({"labels": [1, None]}, "valid string"),
        ({"labels": 3}, "found '3', expected 'all' or a list"),
        ({"prior": "flat"}, "found 'flat', expected 'even' or probabilities by label"),
        ({"prior": {"neutral": float("nan")}}, "finite number"),
        ({"prior": {"neutral": 1.2}}, "less than 1"),
        ({"prior": {"calm": 0.5}}, "No label named 'calm'"),
        ({"prior": {1: 0.5}}, "valid string"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        DecisionOptions(**options).applied(DecisionRule(**RULE), LABELS, "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"labels": "all"}, {"prior": "even"}, {"labels": ["sad", "fear"], "prior": {}}])
def test_a_model_without_a_rule_takes_no_options(saved: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"always shows all of its labels .*leave .* out"):
        Recognizer.load(saved, device="cpu", options=DecisionOptions(**options))
