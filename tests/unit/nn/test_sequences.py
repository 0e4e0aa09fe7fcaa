import torch

from merkit.core.batch import Padded
from merkit.nn.sequences import absent, mean_position, pad_sequences, present_rows, put_back


def test_present_rows_and_putting_back_are_inverse_but_for_the_absent():
    data = torch.arange(24.0).reshape(2, 2, 3, 2)
    mask = torch.tensor([[[True, True, False], [False] * 3], [[True, False, False], [False] * 3]])

    present, rows = present_rows(Padded(data, mask))
    back = put_back(present, rows, (2, 2))

    assert rows.tolist() == [True, False, True, False]
    assert present.data.shape == (2, 2, 2)  # the position that is padding for all is gone
    assert back.mask.tolist() == mask[..., :2].tolist()
    torch.testing.assert_close(back.data[back.mask], data[mask])


def test_present_rows_takes_data_without_feature_axis():
    present, rows = present_rows(
        Padded(torch.tensor([[1, 2, 9], [9, 9, 9]]), torch.tensor([[True, True, False], [False] * 3]))
    )

    assert present.data.tolist() == [[1, 2]]
    assert rows.tolist() == [True, False]


def test_a_mean_position_reads_real_positions_alone_and_is_absent_where_there_are_none():
    data = torch.tensor([[[1.0], [3.0], [1e3]], [[1e3]] * 3])
    mask = torch.tensor([[True, True, False], [False] * 3])

    mean = mean_position(Padded(data, mask))

    assert mean.data[0].tolist() == [[2.0]]
    assert mean.mask.tolist() == [[True], [False]]


def test_a_mean_position_keeps_further_axes():
    data = torch.randn(2, 5, 3, 4)

    mean = mean_position(Padded(data, torch.ones(2, 5, dtype=torch.bool)))

    torch.testing.assert_close(mean.data, data.mean(1, keepdim=True))


def test_sequences_are_stacked_with_their_mask():
    stacked = pad_sequences([torch.ones(2, 3), torch.ones(1, 3)])

    assert stacked.mask.tolist() == [[True, True], [True, False]]
    assert stacked.data.sum() == 9


def test_an_absent_batch_has_one_masked_position_for_each_item():
    nothing = absent((2, 3), 4, torch.device("cpu"))

    assert nothing.data.shape == (2, 3, 1, 4)
    assert not nothing.mask.any()
