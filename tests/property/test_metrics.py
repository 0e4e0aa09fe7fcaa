"""What holds for any predictions at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from merkit.metrics.calibration import brier, expected_calibration_error, risk_coverage_area
from merkit.metrics.classification import METRICS, confusion, grouped_confusion
from merkit.metrics.comparison import holm, paired_permutation_of
from merkit.metrics.intervals import percentile_interval, resampled_sums
from merkit.metrics.regression import ccc

CLASSES = 4
answers = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40).map(
    lambda pairs: (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
)
distributions = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.floats(0.01, 1), min_size=3, max_size=3)), min_size=1, max_size=30
).map(lambda rows: (np.array([label for label, _ in rows]), np.array([np.array(p) / sum(p) for _, p in rows])))


@given(answers)
def test_every_figure_is_a_share_and_is_one_for_the_right_answers(pair):
    labels, predictions = pair
    for metric in METRICS.values():
        assert 0 <= metric(confusion(labels, predictions, CLASSES)) <= 1
        assert metric(confusion(labels, labels, CLASSES)) == pytest.approx(1)


@given(answers, st.permutations(range(CLASSES)), st.randoms(use_true_random=False))
def test_neither_the_order_of_utterances_nor_the_names_of_classes_change_a_figure(pair, names, random):
    labels, predictions = pair
    order = list(range(labels.size))
    random.shuffle(order)
    names = np.array(names)
    for metric in METRICS.values():
        renamed = metric(confusion(names[labels[order]], names[predictions[order]], CLASSES))
        assert renamed == pytest.approx(metric(confusion(labels, predictions, CLASSES)))


@given(answers)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_figures_agree_with_scikit_learn_for_whatever_classes_occur(pair):
    labels, predictions = pair
    assert METRICS["macro_f1"](confusion(labels, predictions, CLASSES)) == pytest.approx(
        f1_score(labels, predictions, average="macro")
    )
    expected = f1_score(labels, predictions, average="weighted")
    assert METRICS["weighted_f1"](confusion(labels, predictions, CLASSES)) == pytest.approx(expected)
    expected = balanced_accuracy_score(labels, predictions)
    assert METRICS["mean_recall"](confusion(labels, predictions, CLASSES)) == pytest.approx(expected)


@given(answers, st.integers(1, 5))
def test_matrices_of_any_groups_add_up_and_give_the_same_figures(pair, count):
    labels, predictions = pair
    groups = np.arange(labels.size) % count
    total = grouped_confusion(labels, predictions, groups, count, CLASSES).sum(axis=0)
    assert (total == confusion(labels, predictions, CLASSES)).all()
    for name, metric in METRICS.items():
        assert float(metric(total)) == pytest.approx(METRICS[name](confusion(labels, predictions, CLASSES)))


@given(distributions)
def test_calibration_figures_stay_in_their_ranges(pair):
    labels, probabilities = pair
    assert 0 <= expected_calibration_error(labels, probabilities) <= 1
    assert 0 <= brier(labels, probabilities) <= 2
    assert 0 <= risk_coverage_area(labels, probabilities) <= 1


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=30))
def test_concordance_is_symmetric_and_never_exceeds_correlation(pairs):
    first, second = np.array(pairs).T
    if np.ptp(first) < 1e-3 or np.ptp(second) < 1e-3:
        return
    found = ccc(first, second)
    assert found == pytest.approx(ccc(second, first))
    assert abs(found) <= abs(np.corrcoef(first, second)[0, 1]) + 1e-9


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


@given(answers, st.integers(1, 6))
@settings(max_examples=30)
def test_an_interval_lies_between_what_single_clusters_could_give(pair, count):
    labels, predictions = pair
    clusters = [str(i % count) for i in range(labels.size)]
    right = labels == predictions
    by_cluster = [right[np.array(clusters) == name].mean() for name in set(clusters)]

    matrices = grouped_confusion(labels, predictions, np.arange(labels.size) % count, count, CLASSES)
    used = [matrix for matrix in matrices if matrix.any()]
    (draws,) = resampled_sums(np.array(used), draws=50)
    low, high = percentile_interval(METRICS["accuracy"](draws))

    assert min(by_cluster) - 1e-9 <= low <= high <= max(by_cluster) + 1e-9


@given(answers, answers, st.integers(1, 6))
@settings(max_examples=30)
def test_a_p_value_is_the_same_whichever_system_is_named_first(one, other, count):
    n = min(one[0].size, other[0].size)
    groups = np.arange(n) % count
    first, second = (
        grouped_confusion(one[0][:n], predictions[:n], groups, count, CLASSES) for predictions in (one[1], other[1])
    )
    metric = METRICS["accuracy"]

    p = paired_permutation_of(metric, first, second, permutations=64)

    assert 0 < p <= 1
    assert p == pytest.approx(paired_permutation_of(metric, second, first, permutations=64))
