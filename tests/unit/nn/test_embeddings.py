import math

import pytest
import torch

from merkit.nn.embeddings import SpeakerEmbedding, sinusoidal_positions

CPU = torch.device("cpu")


def test_the_position_code_is_that_of_the_formula() -> None:
    found = sinusoidal_positions(3, 4, CPU)

    for place in range(3):
        expected = [math.sin(place), math.cos(place), math.sin(place / 100), math.cos(place / 100)]
        assert found[place].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dim", [1, 5])
def test_an_odd_dim_ends_with_a_sine(dim: int) -> None:
    found = sinusoidal_positions(7, dim, CPU)

    assert found.shape == (7, dim)
    assert float(found[1, -1]) == pytest.approx(math.sin(10000 ** -((dim - 1) / dim)), abs=1e-6)


def test_speakers_have_a_vector_each_and_padding_has_zeros() -> None:
    embedding = SpeakerEmbedding(2, 3)
    speakers = torch.tensor([[0, 1, 0, 0]])
    mask = torch.tensor([[True, True, True, False]])

    found = embedding(speakers, mask)

    assert torch.equal(found[0, 0], found[0, 2])
    assert not torch.equal(found[0, 0], found[0, 1])
    assert not found[0, 3].any()


def test_speakers_beyond_the_table_share_its_last_vector() -> None:
    embedding = SpeakerEmbedding(2, 3)

    found = embedding(torch.tensor([[1, 2, 17]]), torch.ones(1, 3, dtype=torch.bool))

    assert torch.equal(found[0, 0], found[0, 1])
    assert torch.equal(found[0, 0], found[0, 2])
