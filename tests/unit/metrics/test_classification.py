"""Golden values: by hand where a comment says so, otherwise scikit-learn's on the same numbers."""

import doctest

import numpy as np
import pytest
from sklearn import metrics as reference

from merkit.metrics import classification as measured
from merkit.metrics.classification import METRICS, confusion

LABELS = np.array([0, 0, 0, 1])
ALL_ZERO = np.array([0, 0, 0, 0])


def some_predictions(seed, classes=7, n=400):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    predictions = np.where(generator.random(n) < 0.5, labels, generator.integers(0, classes, n))
    return labels, predictions


def test_a_majority_answer_has_high_accuracy_and_chance_recall():
    assert measured.accuracy(confusion(LABELS, ALL_ZERO, 2)) == 0.75
    assert measured.mean_recall(confusion(LABELS, ALL_ZERO, 2)) == 0.50


def test_f1_of_a_majority_answer_is_as_by_hand():
    # class 0: 2 * 3 / (3 + 4) = 6/7; class 1: 0
    assert measured.weighted_f1(confusion(LABELS, ALL_ZERO, 2)) == pytest.approx(0.75 * 6 / 7)
    assert measured.macro_f1(confusion(LABELS, ALL_ZERO, 2)) == pytest.approx(3 / 7)


def test_always_neutral_on_meld_gives_the_published_floor():
    # Test counts of MELD (Poria et al. 2019); accuracy 48.12 and weighted F1 31.27 are the figures of the literature.
    labels = np.repeat(np.arange(7), (1256, 281, 50, 208, 402, 68, 345))
    neutral = np.zeros_like(labels)

    assert round(100 * measured.accuracy(confusion(labels, neutral, 7)), 2) == 48.12
    assert round(100 * measured.weighted_f1(confusion(labels, neutral, 7)), 2) == 31.27


def test_rows_of_the_confusion_matrix_are_true_classes():
    assert confusion(np.array([0, 0, 1]), np.array([1, 1, 0]), 3).tolist() == [[0, 2, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_every_figure_agrees_with_scikit_learn(seed):
    labels, predictions = some_predictions(seed)
    expected = {
        "accuracy": reference.accuracy_score(labels, predictions),
        "mean_recall": reference.balanced_accuracy_score(labels, predictions),
        "weighted_f1": reference.f1_score(labels, predictions, average="weighted"),
        "macro_f1": reference.f1_score(labels, predictions, average="macro"),
    }

    found = {name: float(metric(confusion(labels, predictions, 7))) for name, metric in METRICS.items()}

    assert found == pytest.approx(expected)


def test_the_confusion_matrix_agrees_with_scikit_learn():
    labels, predictions = some_predictions(7)

    assert (confusion(labels, predictions, 7) == reference.confusion_matrix(labels, predictions)).all()


@pytest.mark.parametrize("name", list(METRICS))
def test_a_figure_from_many_confusion_matrices_equals_the_one_from_predictions(name):
    pairs = [some_predictions(seed) for seed in range(4)]
    matrices = np.stack([confusion(*pair, 7) for pair in pairs]).reshape(2, 2, 7, 7)

    found = METRICS[name](matrices)

    assert found.shape == (2, 2)
    assert found.ravel() == pytest.approx([float(METRICS[name](confusion(*pair, 7))) for pair in pairs])


def test_recall_counts_only_classes_with_support():
    # by hand: class 0 recall 1/2, class 1 recall 1; class 2 is predicted but has no support
    assert measured.mean_recall(confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 4)) == pytest.approx(0.75)


def test_macro_f1_counts_a_class_that_was_only_predicted_and_leaves_out_one_that_never_occurs():
    labels, predictions = np.array([0, 0, 1]), np.array([0, 2, 1])

    # by hand: F1 2/3, 1, 0 over three classes; the fourth occurs nowhere
    assert measured.macro_f1(confusion(labels, predictions, 4)) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_per_class_figures_agree_with_scikit_learn():
    labels, predictions = some_predictions(3)
    expected = reference.precision_recall_fscore_support(labels, predictions)

    matrix = confusion(labels, predictions, 7)
    scores = measured.class_scores(matrix)

    assert matrix.sum(axis=1).tolist() == expected[3].tolist()
    for expected_values, name in zip(expected, ("precision", "recall", "f1"), strict=False):
        assert scores[name] == pytest.approx(expected_values)


def test_a_class_without_support_has_no_recall_and_one_never_predicted_no_precision():
    absent = measured.class_scores(confusion(np.array([0, 0]), np.array([0, 1]), 3))

    assert np.isnan(absent["recall"][1])
    assert absent["precision"][1] == 0
    assert np.isnan(absent["precision"][2])
    assert absent["f1"][2] == 0


def test_matrices_of_groups_add_up_to_the_matrix_of_all():
    labels, predictions = some_predictions(1)
    groups = np.random.default_rng(0).integers(0, 9, labels.size)

    apart = measured.grouped_confusion(labels, predictions, groups, 9, 7)

    assert (apart.sum(axis=0) == confusion(labels, predictions, 7)).all()
    here = groups == 4
    assert (apart[4] == confusion(labels[here], predictions[here], 7)).all()


@pytest.mark.parametrize("groups", [np.array([0, 1, 2, 3]), np.array([0, 0, -1, 0]), np.array([0, 0])])
def test_a_group_out_of_range_or_missing_is_refused(groups):
    with pytest.raises(ValueError, match="one group from 0 to 2 expected for each of 4"):
        measured.grouped_confusion(LABELS, ALL_ZERO, groups, 3, 2)


def test_an_empty_set_has_no_score():
    with pytest.raises(ValueError, match="no utterance"):
        confusion(np.array([], dtype=int), np.array([], dtype=int), 2)


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        confusion(LABELS, ALL_ZERO[:3], 2)


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_class_number_out_of_range_is_named(wrong):
    with pytest.raises(ValueError, match=f"prediction {wrong} found, class numbers 0 to 1 expected"):
        measured.mean_recall(confusion(LABELS, np.array([0, wrong, 0, 0]), 2))


@pytest.mark.parametrize("name", list(METRICS))
def test_a_matrix_without_utterances_gives_nan_not_zero(name):
    assert np.isnan(METRICS[name](np.zeros((2, 2), dtype=int)))


def test_the_examples_in_the_docstrings_run():
    found = doctest.testmod(measured)

    assert found.attempted >= 2
    assert found.failed == 0
