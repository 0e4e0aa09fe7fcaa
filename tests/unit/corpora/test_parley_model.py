"""The generative model against enumeration: every path of emotions, weighed by hand."""

from itertools import product
from typing import get_args

import numpy as np
import pytest

from merkit.corpora._parley_model import (
    CLASSES,
    VIEWS,
    Mode,
    Script,
    Strengths,
    accuracies,
    draw,
    expected_accuracies,
    flipped,
    make_model,
    posteriors,
)

UNEVEN = Strengths(words_valence=0.9, words_arousal=0.6, prosody_valence=0.7, prosody_arousal=0.8)


def enumerated(model, script, view):
    """P(emotion of each turn | what the view knows) of one conversation, by summing over all paths."""
    who, words, prosody = (row[0] for row in (script.speakers, script.words, script.prosody))
    cue, _, scope = view.partition("_")
    turns = len(who)
    result = np.zeros((turns, CLASSES))
    for target in range(turns):
        known = {"": [target], "causal": range(target + 1), "conversation": range(turns)}[scope]
        for path in product(range(CLASSES), repeat=turns):
            probability = path_probability(model, who, path)
            for turn in known:
                table = model.cues[path[turn]]
                probability *= {
                    "text": table[words[turn]].sum(),
                    "audio": table[:, prosody[turn]].sum(),
                    "fused": table[words[turn], prosody[turn]],
                }[cue]
            result[target, path[target]] += probability
    return result / result.sum(axis=1, keepdims=True)


def path_probability(model, who, path):
    last, probability = {}, 1.0
    for speaker, emotion in zip(who, path, strict=True):
        forces = [(model.persistence, last.get(speaker)), (model.contagion, last.get(1 - speaker))]
        even = 1 - model.persistence - model.contagion
        share = 0.0
        for weight, old in forces:
            if old is None:
                even += weight
            else:
                share += weight * (old == emotion)
        probability *= share + even / CLASSES
        last[speaker] = emotion
    return probability


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("view", VIEWS)
def test_posteriors_agree_with_the_sum_over_all_paths(mode, view):
    model = make_model(mode, UNEVEN, persistence=0.6, contagion=0.25)
    script = draw(model, 1, 4, np.random.default_rng(3))
    for speakers in ([0, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0]):
        script = Script(np.array([speakers]), script.emotions, script.words, script.prosody)

        found = posteriors(model, script, view)[0]

        np.testing.assert_allclose(found, enumerated(model, script, view), atol=1e-12)


def test_conversations_do_not_touch_each_other():
    model = make_model("complementary", UNEVEN, 0.6, 0.2)
    many = draw(model, 5, 6, np.random.default_rng(0))
    one = Script(many.speakers[2:3], many.emotions[2:3], many.words[2:3], many.prosody[2:3])

    together, alone = (posteriors(model, script, "fused_conversation") for script in (many, one))

    np.testing.assert_allclose(together[2], alone[0], atol=1e-12)


@pytest.mark.parametrize("mode", get_args(Mode))
def test_cues_are_a_distribution_for_every_emotion(mode):
    model = make_model(mode, UNEVEN, 0.5, 0.1)

    np.testing.assert_allclose(model.cues.sum(axis=(1, 2)), 1)
    assert model.cues.shape == (CLASSES, *((2520, 8) if mode == "word_prosody" else (CLASSES, CLASSES)))
    assert (model.cues >= 0).all()


@pytest.mark.parametrize("mode", ["xor", "word_prosody"])
def test_in_joint_modes_one_cue_alone_says_nothing(mode):
    model = make_model(mode, Strengths(1, 1, 1, 1), 0.7, 0.2)

    for axis in (1, 2):
        alone = model.cues.sum(axis=axis)
        np.testing.assert_allclose(alone, alone[:1].repeat(CLASSES, axis=0))
    assert expected_accuracies(model, 4, 10, 0)["fused"] == pytest.approx(1)


def test_best_accuracies_of_one_utterance_are_those_by_hand():
    # Text alone keeps valence with 0.88 and arousal with 0.65; both together take each bit from its better cue.
    strengths = Strengths(words_valence=0.88, words_arousal=0.65, prosody_valence=0.65, prosody_arousal=0.88)

    found = expected_accuracies(make_model("complementary", strengths, 0.7, 0.2), 12, 10, 0)

    assert found["text"] == pytest.approx(0.88 * 0.65)
    assert found["audio"] == pytest.approx(0.88 * 0.65)
    assert found["fused"] == pytest.approx(0.88 * 0.88)


def test_expected_accuracies_are_reached_on_a_large_sample():
    model = make_model("complementary", UNEVEN, 0.7, 0.2)
    expected = expected_accuracies(model, 8, 3000, 1)

    reached = accuracies(model, [draw(model, 3000, 8, np.random.default_rng(2))])

    for view in VIEWS:
        # 24,000 turns, about 3,000 independent conversations: a standard error below one point
        assert reached[view] == pytest.approx(expected[view], abs=0.02)
    assert expected["fused"] < expected["fused_causal"] < expected["fused_conversation"]


def test_without_forces_the_conversation_adds_nothing():
    model = make_model("complementary", UNEVEN, persistence=0, contagion=0)
    script = draw(model, 3, 5, np.random.default_rng(0))

    alone, conversation = (posteriors(model, script, view) for view in ("fused", "fused_conversation"))

    np.testing.assert_allclose(conversation, alone, atol=1e-12)


def test_full_persistence_keeps_each_speakers_emotion_and_full_contagion_spreads_one():
    rng = np.random.default_rng(0)
    persistent = draw(make_model("complementary", UNEVEN, 1, 0), 50, 8, rng)
    contagious = draw(make_model("complementary", UNEVEN, 0, 1), 50, 8, rng)

    for speakers, emotions in zip(persistent.speakers, persistent.emotions, strict=True):
        assert all(len(set(emotions[speakers == speaker])) <= 1 for speaker in (0, 1))
    for speakers, emotions in zip(contagious.speakers, contagious.emotions, strict=True):
        changed = np.flatnonzero(np.diff(speakers)) + 1
        assert all(emotions[turn] == emotions[turn - 1] for turn in changed)


def test_flipping_renames_emotions_without_changing_their_probability():
    model = make_model("complementary", UNEVEN, 0.6, 0.3)
    path = np.array([0, 1, 1, 3, 2])
    who = [0, 1, 0, 0, 1]

    probabilities = [path_probability(model, who, flipped(path, flip)) for flip in range(CLASSES)]

    np.testing.assert_allclose(probabilities, probabilities[0])
    assert sorted(flipped(np.array([2]), flip)[0] for flip in range(CLASSES)) == [0, 1, 2, 3]
    assert flipped(path, 0).tolist() == path.tolist()
