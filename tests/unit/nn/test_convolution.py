import pytest
import torch

from merkit.nn.convolution import MaskedConv1d


def convolution(kernel: int = 3, causal: bool = False) -> MaskedConv1d:
    torch.manual_seed(0)
    return MaskedConv1d(2, 3, kernel, causal=causal)


@pytest.mark.parametrize("garbage", [99.0, float("nan")])
@pytest.mark.parametrize("causal", [False, True])
def test_what_stands_in_padding_never_leaks(garbage: float, causal: bool) -> None:
    layer, short = convolution(causal=causal), torch.randn(1, 3, 2)
    data = torch.cat([short, torch.full((1, 2, 2), garbage)], dim=1)
    mask = torch.tensor([[True, True, True, False, False]])

    found = layer(data, mask)

    torch.testing.assert_close(found[:, :3], layer(short, mask[:, :3]), atol=1e-6, rtol=0.0)
    assert not found[:, 3:].any()


def test_a_hole_counts_as_zeros() -> None:
    layer, data = convolution(), torch.randn(1, 3, 2)
    hole = torch.tensor([[True, False, True]])
    zeroed = data.masked_fill(~hole.unsqueeze(-1), 0.0)

    found = layer(data, hole)

    full = layer(zeroed, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(found[hole], full[hole])


def test_a_causal_convolution_reads_the_past_only() -> None:
    layer, first, mask = convolution(causal=True), torch.randn(1, 4, 2), torch.ones(1, 4, dtype=torch.bool)
    second = torch.cat([first[:, :2], torch.randn(1, 2, 2)], dim=1)

    assert torch.equal(layer(first, mask)[:, :2], layer(second, mask)[:, :2])
    expected = layer.convolve.bias + first[0, 0] @ layer.convolve.weight[:, :, 2].T  # the last tap is the place's own
    torch.testing.assert_close(layer(first, mask)[0, 0], expected)
    assert not torch.equal(convolution()(first, mask)[:, :2], convolution()(second, mask)[:, :2])


def test_a_kernel_of_one_is_a_linear_layer() -> None:
    layer, data = convolution(kernel=1), torch.randn(2, 4, 2)

    found = layer(data, torch.ones(2, 4, dtype=torch.bool))

    torch.testing.assert_close(found, data @ layer.convolve.weight[:, :, 0].T + layer.convolve.bias)


def test_an_even_kernel_is_an_error() -> None:
    with pytest.raises(ValueError, match="odd, found 4"):
        convolution(kernel=4)
