import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from merkit.core.errors import MerkitError
from merkit.nn.standardization import Standardizer


def test_standardised_values_equal_scikit_learn_s_even_where_the_mean_is_huge():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(500, 3)) * [1.0, 20.0, 0.01] + [0.0, 300.0, 5.0]).astype(np.float32)
    standardizer = Standardizer(3)

    standardizer.fit(np.split(rows, [1, 7, 300]))

    expected = StandardScaler().fit_transform(rows.astype(np.float64))
    np.testing.assert_allclose(standardizer(torch.from_numpy(rows)), expected, atol=2e-2)
    np.testing.assert_allclose(standardizer(torch.from_numpy(rows))[:, :2], expected[:, :2], atol=1e-4)


def test_an_undefined_value_becomes_the_training_mean_and_does_not_count_in_it():
    standardizer = Standardizer(2)

    standardizer.fit([np.array([[1.0, np.nan]]), np.array([[3.0, 5.0], [np.nan, 9.0]])])

    assert standardizer.mean.tolist() == [2.0, 7.0]
    assert standardizer(torch.tensor([[torch.nan, torch.nan], [3.0, 9.0]])).tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("value", [7.0, np.nan, 1e8])
def test_a_column_that_never_varied_says_nothing_later(value):
    standardizer = Standardizer(1)

    standardizer.fit([np.full((3, 1), value)])

    assert standardizer(torch.tensor([[123.0], [torch.nan]])).tolist() == [[0.0], [0.0]]


def test_a_column_of_small_numbers_is_kept_and_one_of_rounding_noise_is_not():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 2)) * [5e-7, 3e-9]).astype(np.float32)  # energies; a constant unit of a network
    standardizer = Standardizer(2)

    standardizer.fit([rows])

    found = standardizer(torch.from_numpy(rows))
    expected = StandardScaler().fit_transform(rows.astype(np.float64))
    np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=1e-4)
    assert not found[:, 1].any()


def test_before_fitting_values_stay_as_they_are():
    assert Standardizer(2)(torch.tensor([[1.5, -2.0]])).tolist() == [[1.5, -2.0]]


def test_the_statistics_are_part_of_the_state():
    standardizer = Standardizer(1)

    standardizer.fit([np.array([[1.0], [3.0]])])

    assert {name: value.tolist() for name, value in standardizer.state_dict().items()} == {
        "mean": [2.0],
        "scale": [1.0],
    }


def test_fitting_on_nothing_is_an_error():
    with pytest.raises(MerkitError, match="no training utterance has this modality"):
        Standardizer(1).fit([])
