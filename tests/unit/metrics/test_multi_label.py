"""Scores of several labels per utterance: scikit-learn's on the same numbers, or by hand where a comment says so."""

import doctest

import numpy as np
import pytest
from sklearn import metrics as reference

from merkit.metrics import multi_label as measured
from merkit.metrics.classification import METRICS
from merkit.metrics.multi_label import (
    DEFAULT_THRESHOLD,
    MULTI_LABEL_METRICS,
    best_thresholds,
    grouped_label_counts,
    label_counts,
    label_scores,
    metrics_of,
    multi_hot,
    score_drawn,
)


def some_predictions(seed, labels=7, n=300):
    generator = np.random.default_rng(seed)
    truth = (generator.random((n, labels)) < np.linspace(0.02, 0.5, labels)).astype(np.int64)
    return truth, np.where(generator.random(truth.shape) < 0.7, truth, 1 - truth)


@pytest.mark.parametrize("seed", range(3))
def test_every_score_agrees_with_scikit_learn(seed):
    truth, predicted = some_predictions(seed)
    truth[:, 0] = predicted[:, 0] = 0  # a label in neither: it counts as 0 in the macro means
    predicted[:, 1] = 0  # one that is never predicted
    counts = label_counts(truth, predicted)
    expected = {
        "macro_f1": reference.f1_score(truth, predicted, average="macro", zero_division=0),
        "micro_f1": reference.f1_score(truth, predicted, average="micro"),
        "macro_precision": reference.precision_score(truth, predicted, average="macro", zero_division=0),
        "macro_recall": reference.recall_score(truth, predicted, average="macro", zero_division=0),
    }

    assert {name: float(metric(counts)) for name, metric in MULTI_LABEL_METRICS.items()} == pytest.approx(expected)
    precision, recall, f1, support = reference.precision_recall_fscore_support(truth, predicted, zero_division=np.nan)
    by_label = label_scores(counts)
    np.testing.assert_allclose(by_label["precision"], precision)
    np.testing.assert_allclose(by_label["recall"], recall)
    np.testing.assert_allclose(by_label["f1"][1:], f1[1:])
    assert by_label["f1"][0] == 0.0
    assert counts[:, 2:].sum(axis=1).tolist() == support.tolist()


def test_counts_of_groups_add_up_and_keep_their_order():
    truth, predicted = some_predictions(0, labels=2, n=50)
    groups = np.arange(50) % 3

    counts = grouped_label_counts(truth, predicted, groups, 3)

    assert (counts.sum(axis=0) == label_counts(truth, predicted)).all()
    # by hand: true negative, false positive, false negative, true positive
    assert label_counts(np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])).tolist() == [[1, 1, 1, 1]]
    assert label_counts(np.array([[0], [1]]), np.array([[1], [1]])).tolist() == [[0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "predictions", "groups", "message"),
    [
        ([0, 1], [0, 1], [0, 0], r"labels \(2,\) and predictions \(2,\) found"),
        ([[0, 1]], [[0]], [0], r"labels \(1, 2\) and predictions \(1, 1\) found"),
        (np.zeros((0, 2)), np.zeros((0, 2)), [], "an empty set has no score"),
        ([[0, 2]], [[0, 1]], [0], "label 2 found, 0 or 1 expected"),
        ([[0, 1]], [[0, -1]], [0], "prediction -1 found, 0 or 1 expected"),
        ([[0, 1]], [[0, 1]], [1], "one group from 0 to 0 expected"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(labels, predictions, groups, message):
    with pytest.raises(ValueError, match=message):
        grouped_label_counts(np.asarray(labels), np.asarray(predictions), np.asarray(groups, dtype=np.int64), 1)


def test_numbers_of_labels_become_zeros_and_ones():
    assert multi_hot([(0, 2), (), (1,)], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_has_a_higher_f1_than_the_best_one(seed):
    generator = np.random.default_rng(seed)
    truth = (generator.random((60, 3)) < 0.3).astype(np.int64)
    probabilities = np.round(np.clip(0.4 * truth + 0.6 * generator.random(truth.shape), 0, 1), 2)  # with ties

    thresholds = best_thresholds(truth, probabilities)

    for label in range(3):
        reached = reference.f1_score(truth[:, label], probabilities[:, label] >= thresholds[label])
        tried = [reference.f1_score(truth[:, label], probabilities[:, label] >= t) for t in np.arange(0, 1.01, 0.005)]
        assert reached == pytest.approx(max(tried))


def test_a_threshold_lies_between_two_probabilities_and_without_positives_at_one_half():
    probabilities = np.array([[0.9, 0.9, 0.6], [0.7, 0.2, 0.4], [0.3, 0.1, 0.2]])
    truth = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1]])

    # by hand: 0.7 and 0.3 are told apart at 0.5 and not elsewhere; all of the third label are predicted from 0.1 on
    assert best_thresholds(truth, probabilities).tolist() == pytest.approx([0.5, DEFAULT_THRESHOLD, 0.1])


def test_of_equally_good_thresholds_the_highest_is_taken():
    truth = np.array([[1], [0], [0], [1]])

    # by hand: F1 is 2/3 with the first one alone, 2/4 with two, 2/5 with three, 4/6 with all
    assert best_thresholds(truth, np.array([[0.9], [0.8], [0.7], [0.6]]))[0] == pytest.approx(0.85)


def test_a_protocol_has_the_metrics_of_its_kind():
    assert metrics_of(multi_label=True) is MULTI_LABEL_METRICS
    assert "accuracy" in metrics_of(multi_label=False)


def test_examples_in_the_documentation_are_true():
    assert doctest.testmod(measured).failed == 0


@pytest.mark.parametrize("name", MULTI_LABEL_METRICS)
def test_a_label_that_a_draw_misses_is_left_out_of_its_score_and_one_that_the_data_miss_counts_as_0(name):
    # by hand, columns as in the module: the first label is told perfectly, the second occurs nowhere, and the third,
    # which the draw misses, is missed in the data
    whole = np.array([[2, 0, 0, 2], [4, 0, 0, 0], [2, 1, 1, 0]])
    drawn = np.array([[[2, 0, 0, 2], [4, 0, 0, 0], [4, 0, 0, 0]], [[4, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 0]]])
    metric = MULTI_LABEL_METRICS[name]

    found = score_drawn(metric, drawn, whole)

    # micro F1 has no labels to leave out, but a draw without any of them has none either
    expected = [1.0, np.nan] if name == "micro_f1" else [1 / 2, 0.0]
    np.testing.assert_allclose(found, expected)
    assert float(metric(whole)) == pytest.approx(2 / 3 if name == "micro_f1" else 1 / 3)


def test_a_metric_of_one_class_per_utterance_is_that_of_the_draw():
    drawn = np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]])

    assert score_drawn(METRICS["macro_f1"], drawn, drawn + np.eye(3, dtype=int)) == METRICS["macro_f1"](drawn)
