import torch

from merkit.encoders.networks.frozen import batches_by_length
from merkit.encoders.networks.layers import LayerMix


def test_a_layer_mix_begins_as_the_mean():
    data = torch.randn(2, 5, 4)

    torch.testing.assert_close(LayerMix(5)(data), data.mean(1))


def test_a_sequence_longer_than_a_batch_may_be_is_a_batch_of_its_own():
    assert batches_by_length([5, 100, 6, 7], 12) == [[0, 2], [3], [1]]
