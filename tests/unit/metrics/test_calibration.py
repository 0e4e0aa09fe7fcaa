"""Golden values by hand; the Brier score of two classes against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from merkit.metrics.calibration import brier, expected_calibration_error, reliability_bins, risk_coverage_area

MEASURES = (expected_calibration_error, brier, risk_coverage_area, reliability_bins)


def two(p):
    p = np.asarray(p, dtype=float)
    return np.stack([1 - p, p], axis=1)


def test_calibration_error_is_as_by_hand():
    # confidences .9 .9 (one right: gap .4, weight 1/2) and .6 .6 (both right: gap .4, weight 1/2)
    probabilities = two([0.9, 0.9, 0.6, 0.6])

    assert expected_calibration_error(np.array([1, 0, 1, 1]), probabilities, bins=10) == pytest.approx(0.4)


def test_gaps_are_weighted_by_the_size_of_the_bins():
    # three at .9, all right: gap .1; one at .6, wrong: gap .6
    found = expected_calibration_error(np.array([1, 1, 1, 0]), two([0.9, 0.9, 0.9, 0.6]), bins=10)

    assert found == pytest.approx(0.75 * 0.1 + 0.25 * 0.6)


def test_a_sure_and_right_classifier_has_no_calibration_error():
    assert expected_calibration_error(np.array([0, 1]), two([0, 1])) == 0


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    rows = reliability_bins(np.array([1]), two([0.75]), bins=4)

    assert [row.count for row in rows] == [0, 0, 1, 0]
    assert (rows[2].low, rows[2].high, rows[2].confidence, rows[2].accuracy) == (0.5, 0.75, 0.75, 1.0)
    assert np.isnan(rows[0].confidence)


def test_bins_hold_every_utterance():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 200)

    rows = reliability_bins(np.zeros(200, dtype=int), probabilities)

    assert len(rows) == 15
    assert sum(row.count for row in rows) == 200


def test_brier_of_two_classes_is_twice_the_binary_one():
    generator = np.random.default_rng(0)
    p, labels = generator.random(50), generator.integers(0, 2, 50)

    assert brier(labels, two(p)) == pytest.approx(2 * brier_score_loss(labels, p))


def test_brier_spans_zero_to_two():
    assert brier(np.array([1]), two([1.0])) == 0
    assert brier(np.array([0]), two([1.0])) == 2


def test_the_area_is_the_mean_error_over_every_coverage():
    # by confidence: right, wrong, right -> error rates 0, 1/2, 1/3
    found = risk_coverage_area(np.array([1, 1, 0]), two([0.9, 0.2, 0.3]))

    assert found == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_a_confidence_that_ranks_errors_last_has_the_smaller_area():
    labels = np.array([1, 1, 0, 0])

    good = risk_coverage_area(labels, two([0.9, 0.8, 0.7, 0.6]))
    poor = risk_coverage_area(labels, two([0.6, 0.7, 0.8, 0.9]))

    assert good < poor


def test_equal_confidences_come_in_no_order():
    labels, probabilities = np.array([1, 1, 0, 1]), two([0.8, 0.8, 0.8, 0.8])

    found = [risk_coverage_area(labels[order], probabilities) for order in ([0, 1, 2, 3], [2, 0, 1, 3])]

    assert found == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.array([], dtype=int), np.zeros((0, 2)), "no utterance"),
        (np.array([0, 1]), two([0.5]), "expected"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.6]]), "row 1 .* is no distribution"),
        (np.array([0]), np.array([[np.nan, 1.0]]), "row 0 .* is no distribution"),
        (np.array([0]), np.array([[-0.5, 1.5]]), "row 0 .* is no distribution"),
        (np.array([2]), two([0.5]), "class numbers 0 to 1 expected"),
    ],
)
def test_what_is_no_distribution_over_the_classes_is_refused(measure, labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        measure(labels, probabilities)
