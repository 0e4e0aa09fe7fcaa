"""Golden values by hand."""

import numpy as np
import pytest

from merkit.metrics.regression import ccc, mae


def test_concordance_is_as_by_hand():
    # means 2 and 3, variances 2/3, covariance 2/3: 2 * 2/3 / (2/3 + 2/3 + 1) = 4/7
    assert ccc(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])) == pytest.approx(4 / 7)


def test_equal_values_agree_wholly_and_mirrored_ones_not_at_all():
    values = np.array([1.0, 2, 3])

    assert ccc(values, values) == pytest.approx(1)
    assert ccc(values, values[::-1]) == pytest.approx(-1)


def test_proportional_values_do_not_agree():
    values = np.array([1.0, 2, 3])

    # means 2 and 4, variances 2/3 and 8/3, covariance 4/3: 8/3 / (10/3 + 4) = 4/11
    assert ccc(values, 2 * values) == pytest.approx(4 / 11)


def test_a_constant_prediction_has_no_concordance():
    assert ccc(np.array([1.0, 2, 3]), np.full(3, 0.1)) == pytest.approx(0)


@pytest.mark.parametrize("values", [np.full(3, 0.1), np.array([1.0])])
def test_concordance_of_one_constant_with_itself_is_undefined(values):
    with pytest.raises(ValueError, match="undefined"):
        ccc(values, values)


def test_mean_absolute_error_is_as_by_hand():
    assert mae(np.array([1.0, 2, 3]), np.array([1.0, 4, 0])) == pytest.approx(5 / 3)


@pytest.mark.parametrize("measure", [ccc, mae])
@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([], [], "no value"),
        ([1.0, 2.0], [1.0], "one length"),
        ([1.0, np.nan], [1.0, 2.0], "not finite"),
        ([1.0, 2.0], [np.inf, 2.0], "not finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(measure, labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        measure(np.array(labels), np.array(predictions))
