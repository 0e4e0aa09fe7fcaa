import pytest
import torch

from merkit.nn.layers import Dropout, PooledUtterance, classification_head, drop_modalities


def test_dropout_takes_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.25)

    dropped = layer(torch.ones(100_000))

    # a quarter is gone, with a standard error of 0.0014
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.007)
    assert float(dropped.max()) == pytest.approx(1 / 0.75)
    assert torch.equal(layer.eval()(torch.ones(5)), torch.ones(5))
    assert torch.equal(Dropout(0.0)(torch.ones(5)), torch.ones(5))


def test_dropout_gives_the_gradient_to_what_it_keeps_and_keeps_the_type() -> None:
    torch.manual_seed(0)
    data = torch.ones(1000, dtype=torch.bfloat16, requires_grad=True)

    dropped = Dropout(0.5)(data)
    dropped.sum().backward()

    assert dropped.dtype == torch.bfloat16
    assert torch.equal(data.grad, dropped.detach())  # 0 or 2, as the data is 1


def test_an_absent_utterance_becomes_the_learned_vector() -> None:
    layer = PooledUtterance(2)
    data = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1e3, 1e3], [1e3, 1e3]]])
    mask = torch.tensor([[True, True], [False, False]])

    found = layer(data, mask, torch.tensor([True, False]))

    assert found[0].tolist() == [2.0, 3.0]
    assert torch.equal(found[1], layer.absent)
    assert layer.absent.abs().sum() > 0, "zeros would look like data"


def test_absence_overrules_frames_and_no_frames_overrule_presence() -> None:
    layer = PooledUtterance(1)
    mask = torch.tensor([[True], [False]])

    found = layer(torch.ones(2, 1, 1), mask, torch.tensor([False, True]))

    assert torch.equal(found, layer.absent.expand(2, 1))


def test_the_learned_vector_learns_from_absent_utterances_alone() -> None:
    layer = PooledUtterance(1)
    mask = torch.ones(2, 1, dtype=torch.bool)

    layer(torch.ones(2, 1, 1), mask, torch.tensor([True, True])).sum().backward()
    assert layer.absent.grad is not None
    assert not layer.absent.grad.any()

    layer(torch.ones(2, 1, 1), mask, torch.tensor([True, False])).sum().backward()
    assert layer.absent.grad.tolist() == [1.0]


def presence(items: int) -> dict[str, torch.Tensor]:
    """All have text, every second one audio, the first one has nothing."""
    text, audio = torch.ones(items, dtype=torch.bool), torch.arange(items) % 2 == 0
    text[0], audio[0] = False, False
    return {"text": text, "audio": audio}


def test_dropping_takes_about_the_rate_and_never_the_last_one() -> None:
    torch.manual_seed(0)
    before = presence(4000)

    after = drop_modalities(before, before, 0.3, training=True)

    both, text_only = before["text"] & before["audio"], before["text"] & ~before["audio"]
    assert torch.equal(after["text"] | after["audio"], before["text"] | before["audio"])
    assert torch.equal(after["text"][text_only], before["text"][text_only])
    assert not (after["audio"] & ~before["audio"]).any()
    # audio goes alone with 0.3 * 0.7; where both would go, both stay
    assert float((~after["audio"])[both].float().mean()) == pytest.approx(0.21, abs=0.03)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.9, False)])
def test_nothing_is_dropped_at_rate_zero_or_outside_training(rate: float, training: bool) -> None:
    before = presence(100)

    after = drop_modalities(before, before, rate, training)

    assert all(torch.equal(after[name], before[name]) for name in before)


def test_heads_have_the_parts_they_are_named_for() -> None:
    assert [type(part).__name__ for part in classification_head(3, 2, dropout=0.1)] == ["Dropout", "Linear"]
    plain = classification_head(3, 2, hidden=4, dropout=0.1)
    normed = classification_head(3, 2, hidden=4, dropout=0.1, layer_norm=True)
    assert [type(part).__name__ for part in plain] == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [type(part).__name__ for part in normed] == ["Dropout", "Linear", "LayerNorm", "ReLU", "Dropout", "Linear"]
    assert normed(torch.zeros(5, 3)).shape == (5, 2)


def test_a_head_without_a_hidden_layer_is_linear() -> None:
    heads = [classification_head(3, 2, hidden=hidden, dropout=0.1, layer_norm=True) for hidden in (0, 4)]

    assert [[type(part).__name__ for part in head if type(part).__name__ != "Dropout"] for head in heads] == [
        ["Linear"],
        ["Linear", "LayerNorm", "ReLU", "Linear"],
    ]
