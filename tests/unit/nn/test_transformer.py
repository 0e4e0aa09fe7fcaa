import pytest
import torch
from torch import nn

from merkit.nn.transformer import MaskedTransformer, TransformerLayer, visible_places

MASK = torch.tensor([[True, True, False, True, False], [False, False, False, False, False], [True] * 5])


def layer(dropout: float = 0.0) -> TransformerLayer:
    torch.manual_seed(0)
    return TransformerLayer(12, heads=3, feedforward=20, dropout=dropout)


def test_a_layer_computes_what_pytorch_s_does() -> None:
    ours = layer()
    theirs = nn.TransformerEncoderLayer(12, 3, dim_feedforward=20, dropout=0.0, batch_first=True)
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": ours.project.weight,
            "self_attn.in_proj_bias": ours.project.bias,
            "self_attn.out_proj.weight": ours.merge.weight,
            "self_attn.out_proj.bias": ours.merge.bias,
            "linear1.weight": ours.widen.weight,
            "linear1.bias": ours.widen.bias,
            "linear2.weight": ours.narrow.weight,
            "linear2.bias": ours.narrow.bias,
            "norm1.weight": ours.first_norm.weight,
            "norm1.bias": ours.first_norm.bias,
            "norm2.weight": ours.second_norm.weight,
            "norm2.bias": ours.second_norm.bias,
        }
    )
    data = torch.randn(3, 5, 12)
    real = MASK.clone()
    real[1, 0] = True  # PyTorch gives NaN for a sequence without any

    found = ours(data, visible_places(real, causal=False))

    torch.testing.assert_close(found[real], theirs(data, src_key_padding_mask=~real)[real], atol=1e-5, rtol=1e-5)


def test_what_is_not_real_is_neither_read_nor_written() -> None:
    network = MaskedTransformer(12, layers=2, heads=3, feedforward=20, dropout=0.5).eval()
    data = torch.randn(3, 5, 12)
    garbage = torch.where(MASK.unsqueeze(-1), data, torch.inf)

    found = network(data, MASK)

    assert torch.equal(found, network(garbage, MASK))
    assert not found[~MASK].any()
    alone = network(data[:1, [0, 1, 3]], torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(found[0, [0, 1, 3]], alone[0], atol=1e-6, rtol=1e-5)


def test_a_causal_one_never_reads_ahead() -> None:
    network = MaskedTransformer(12, layers=2, heads=3, feedforward=20, dropout=0.5, causal=True).eval()
    data = torch.randn(1, 5, 12)
    changed = data.clone()
    changed[:, 3:] += 1.0
    real = torch.ones(1, 5, dtype=torch.bool)

    first, second = network(data, real), network(changed, real)

    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3:], second[:, 3:])


def test_dropout_keeps_the_mean_and_takes_its_share() -> None:
    dropped = layer(dropout=0.25).train()._dropped(torch.ones(100_000))

    # a quarter is gone, with a standard error of 0.0014
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.007)
    assert float(dropped.max()) == pytest.approx(1 / 0.75)
    assert torch.equal(layer(dropout=0.25).eval()._dropped(torch.ones(5)), torch.ones(5))
