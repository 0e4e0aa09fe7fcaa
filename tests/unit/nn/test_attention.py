"""Attention against PyTorch's own layer, and what it promises about places that are not there."""

import math

import pytest
import torch
from torch import nn

from merkit.nn.attention import AttentionBlock, MultiHeadAttention, causal_pairs

WIDTH, SOURCE_WIDTH, HEADS = 8, 6, 2


def attention(**settings) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(WIDTH, HEADS, **settings).eval()


def pytorch_twin(layer: MultiHeadAttention, source_dim: int) -> nn.MultiheadAttention:
    """Return PyTorch's layer with the same weights."""
    twin = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, kdim=source_dim, vdim=source_dim).eval()
    with torch.no_grad():
        if source_dim == WIDTH:
            twin.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        else:
            twin.q_proj_weight.copy_(layer.query.weight)
            twin.k_proj_weight.copy_(layer.key.weight)
            twin.v_proj_weight.copy_(layer.value.weight)
        twin.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key.bias, layer.value.bias]))
        twin.out_proj.load_state_dict(layer.output.state_dict())
    return twin


def inputs(source_dim: int = WIDTH) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries, source (NaN in padded places) and mask of two items."""
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(2, 4, WIDTH, generator=generator)
    source = torch.randn(2, 5, source_dim, generator=generator)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    return queries, source.masked_fill(~mask.unsqueeze(-1), torch.nan), mask


@pytest.mark.parametrize("source_dim", [WIDTH, SOURCE_WIDTH])
def test_it_is_what_pytorch_computes(source_dim: int) -> None:
    layer = attention(source_dim=source_dim)
    queries, source, mask = inputs(source_dim)
    clean = source.nan_to_num(7.0)

    expected, _ = pytorch_twin(layer, source_dim)(queries, clean, clean, key_padding_mask=~mask)

    torch.testing.assert_close(layer(queries, source, mask), expected, atol=1e-6, rtol=0.0)


def test_causal_attention_is_what_pytorch_computes() -> None:
    layer, queries = attention(), inputs()[0]
    mask = torch.ones(2, 4, dtype=torch.bool)

    expected, _ = pytorch_twin(layer, WIDTH)(queries, queries, queries, attn_mask=~causal_pairs(4, queries.device))

    found = layer(queries, queries, mask, causal_pairs(4, queries.device))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0.0)


def test_the_past_does_not_change_with_the_future() -> None:
    layer, mask, pairs = attention(), torch.ones(1, 5, dtype=torch.bool), causal_pairs(5, torch.device("cpu"))
    first = torch.randn(1, 5, WIDTH)
    second = torch.cat([first[:, :3], torch.randn(1, 2, WIDTH)], dim=1)

    with torch.no_grad():
        difference = (layer(first, first, mask, pairs) - layer(second, second, mask, pairs))[:, :3].abs().max()
        free = (layer(first, first, mask) - layer(second, second, mask))[:, :3].abs().max()

    assert float(difference) <= 1e-6
    assert float(free) > 1e-3


def test_places_to_read_may_be_chosen_pair_by_pair() -> None:
    layer, queries = attention(), torch.randn(1, 3, WIDTH)
    mask = torch.ones(1, 3, dtype=torch.bool)

    alone = layer(queries, queries, mask, torch.eye(3, dtype=torch.bool))

    torch.testing.assert_close(alone, layer.output(layer.value(queries)), atol=1e-6, rtol=0.0)


def test_a_query_with_nothing_to_read_gets_zeros_and_finite_gradients() -> None:
    layer = attention()
    queries, source, mask = inputs()
    queries.requires_grad_()
    mask[1] = False

    found = layer(queries, source, mask)
    found.sum().backward()

    assert not found[1].any()
    assert bool(torch.isfinite(found).all())
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in layer.parameters())
    assert bool(torch.isfinite(queries.grad).all())
    assert not queries.grad[1].any()


def test_a_query_that_may_read_padding_only_gets_zeros_while_its_neighbours_do_not() -> None:
    layer = attention()
    data, mask = torch.randn(1, 3, WIDTH), torch.tensor([[False, True, True]])

    found = layer(data, data, mask, causal_pairs(3, data.device))

    assert not found[0, 0].any()
    assert bool((found[0, 1:].abs().amax(dim=-1) > 0).all())


def test_weights_sum_to_one_over_real_places() -> None:
    layer = attention()
    queries, source, mask = inputs()
    with torch.no_grad():
        layer.value.weight.zero_()

    found = layer(queries, source, mask)

    torch.testing.assert_close(found, layer.output(layer.value.bias).expand_as(found), atol=1e-6, rtol=0.0)


def test_batch_mates_change_nothing() -> None:
    layer = attention()
    queries, source, mask = inputs()

    together = layer(queries, source, mask)
    alone = layer(queries[1:, :2], source[1:, :3], mask[1:, :3])

    torch.testing.assert_close(together[1:, :2], alone, atol=1e-6, rtol=0.0)


def test_scores_are_divided_by_the_root_of_a_heads_dim() -> None:
    layer = MultiHeadAttention(1, 1).eval()
    with torch.no_grad():
        for part in (layer.query, layer.key, layer.value, layer.output):
            part.weight.fill_(1.0)
            part.bias.zero_()

    found = layer(torch.ones(1, 1, 1), torch.tensor([[[0.0], [math.log(3.0)]]]), torch.ones(1, 2, dtype=torch.bool))

    assert float(found.detach()) == pytest.approx(0.75 * math.log(3.0))  # softmax of (0, ln 3) is (1/4, 3/4)


def test_dropout_acts_in_training_only() -> None:
    layer = attention(dropout=0.5)
    queries, source, mask = inputs()

    assert torch.equal(layer(queries, source, mask), layer(queries, source, mask))
    layer.train()
    assert not torch.equal(layer(queries, source, mask), layer(queries, source, mask))


def test_a_dim_that_heads_do_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(8\) must be a multiple of its heads \(3\)"):
        MultiHeadAttention(8, 3)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_that_reads_itself_is_pytorchs_encoder_layer(norm: str, activation: str) -> None:
    torch.manual_seed(0)
    block = AttentionBlock(WIDTH, HEADS, hidden=12, norm=norm, dropout=0.0, activation=activation).eval()
    twin = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 12, dropout=0.0, activation=activation, batch_first=True, norm_first=norm == "pre"
    )
    with torch.no_grad():
        for layer_norm in (block.attention_norm, block.feed_forward_norm):
            layer_norm.weight.normal_()
    twin.self_attn = pytorch_twin(block.attention, WIDTH)
    twin.linear1, twin.linear2 = block.feed_forward[0], block.feed_forward[3]
    twin.norm1, twin.norm2 = block.attention_norm, block.feed_forward_norm
    data, mask = torch.randn(2, 4, WIDTH), torch.tensor([[True] * 4, [True, True, False, False]])

    expected = twin(data, src_key_padding_mask=~mask)  # training mode: no fused kernel that would write zeros

    torch.testing.assert_close(block(data, mask)[mask], expected[mask], atol=1e-5, rtol=0.0)


def test_a_post_norm_block_that_reads_another_source_is_the_sum_normalised() -> None:
    torch.manual_seed(0)
    block = AttentionBlock(WIDTH, HEADS, hidden=0, norm="post", dropout=0.0, source_dim=SOURCE_WIDTH).eval()
    queries, source, mask = inputs(SOURCE_WIDTH)

    expected = nn.functional.layer_norm(queries + block.attention(queries, source, mask), (WIDTH,))

    torch.testing.assert_close(block(queries, mask, source), expected)


def test_a_block_with_nothing_to_read_still_answers() -> None:
    torch.manual_seed(0)
    block = AttentionBlock(WIDTH, HEADS, hidden=0, norm="pre", dropout=0.0)
    queries, source, _ = inputs()

    assert torch.equal(block(queries, torch.zeros(2, 5, dtype=torch.bool), source), queries)
