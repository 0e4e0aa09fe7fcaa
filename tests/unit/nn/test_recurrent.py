import pytest
import torch
from torch import nn

from merkit.nn.recurrent import MaskedLSTM


def network(**settings) -> MaskedLSTM:
    torch.manual_seed(0)
    return MaskedLSTM(3, 4, **settings).eval()


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_full_sequence_is_what_pytorch_computes(bidirectional: bool) -> None:
    recurrent = network(layers=2, bidirectional=bidirectional)
    data = torch.randn(2, 5, 3)
    plain = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=bidirectional)
    plain.load_state_dict(recurrent.lstm.state_dict())

    found = recurrent(data, torch.ones(2, 5, dtype=torch.bool))

    torch.testing.assert_close(found, plain(data)[0])
    assert found.shape[-1] == recurrent.dim == (8 if bidirectional else 4)


@pytest.mark.parametrize("garbage", [1e3, float("nan")])
def test_padded_places_are_neither_read_nor_written_wherever_they_are(garbage: float) -> None:
    recurrent = network()
    short = torch.randn(1, 3, 3)
    data = torch.full((2, 6, 3), garbage)
    mask = torch.tensor([[False, True, False, True, True, False], [False] * 6])
    data[0, mask[0]] = short[0]

    found = recurrent(data, mask)

    torch.testing.assert_close(found[0, mask[0]], recurrent(short, torch.ones(1, 3, dtype=torch.bool))[0])
    assert not found[~mask].any()


def test_one_direction_never_reads_the_future() -> None:
    recurrent, mask = network(bidirectional=False), torch.ones(1, 5, dtype=torch.bool)
    first = torch.randn(1, 5, 3)
    second = torch.cat([first[:, :3], torch.randn(1, 2, 3)], dim=1)

    assert torch.equal(recurrent(first, mask)[:, :3], recurrent(second, mask)[:, :3])
    assert not torch.equal(network()(first, mask)[:, :3], network()(second, mask)[:, :3])


def test_dropout_acts_between_layers() -> None:
    assert network(layers=1, dropout=0.5).lstm.dropout == 0.0
    assert network(layers=2, dropout=0.5).lstm.dropout == 0.5
