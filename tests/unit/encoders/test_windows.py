import numpy as np
import pytest
import torch

from merkit.core.batch import Padded
from merkit.encoders.networks.windows import cut_windows, join_lines

BEGINS = 2


def lines_of(conversations: list[list[int]], garbage: int = 1000) -> Padded:
    """Token ``100 * turn + place`` in every place of a line; 0 is a turn that is absent; padding is garbage."""
    turns, time = max(map(len, conversations)), max(map(max, conversations)) + 2
    data = torch.full((len(conversations), turns, time, 3), garbage)
    mask = torch.zeros(len(conversations), turns, time, dtype=torch.bool)
    for item, lengths in enumerate(conversations):
        for turn, length in enumerate(lengths):
            data[item, turn, :length, 0] = 100 * (turn + 1) + torch.arange(length)
            data[item, turn, :length, 1:] = torch.tensor([0, 1])
            mask[item, turn, :length] = True
    return Padded(data, mask)


@pytest.mark.parametrize(
    ("lengths", "windows"),
    [
        ([], []),
        ([4], [(0, 0, 1)]),
        ([4, 3], [(0, 0, 2)]),  # 1 + 4 + 3: full to the last token
        ([4, 4], [(0, 0, 1), (1, 1, 2)]),  # 1 + 4 is more than half a window: no context
        ([3, 3, 3], [(0, 0, 2), (1, 2, 3)]),  # 1 + 3 fits into half a window
        ([1, 1, 1, 1, 1, 3, 3], [(0, 0, 5), (2, 5, 6), (5, 6, 7)]),
    ],
)
def test_a_full_window_is_followed_by_one_that_begins_with_the_last_turns(lengths, windows):
    assert cut_windows(lengths, 8) == windows


def test_every_line_belongs_to_one_window_and_every_window_fits():
    generator = np.random.default_rng(0)
    for _ in range(50):
        most = int(generator.integers(8, 40))
        lengths = generator.integers(1, most // 2, int(generator.integers(1, 40))).tolist()

        windows = cut_windows(lengths, most)

        assert [line for _, own, end in windows for line in range(own, end)] == list(range(len(lengths)))
        assert all(1 + sum(lengths[first:end]) <= most for first, _, end in windows)
        for first, own, _ in windows[1:]:
            assert first < own  # a line is shorter than half a window: there is always a turn before
            assert 1 + sum(lengths[first:own]) <= most // 2
            assert first == 0 or 1 + sum(lengths[first - 1 : own]) > most // 2


def test_windows_hold_which_tokens_where():
    windows, _ = join_lines(lines_of([[3, 0, 3, 2], [2]]), 8, BEGINS)

    tokens = [row[real].tolist() for row, real in zip(windows.data, windows.mask, strict=True)]
    assert [[token for token, _, _ in row] for row in tokens] == [
        [2, 100, 101, 102, 300, 301, 302],
        [2, 300, 301, 302, 400, 401],
        [2, 100, 101],
    ]
    assert [[segment for _, segment, _ in row] for row in tokens] == [[0] * 7, [0] * 6, [0] * 3]
    assert [[own for _, _, own in row] for row in tokens] == [[0] + [1] * 6, [0] * 4 + [1] * 2, [0, 1, 1]]


def test_states_come_back_to_the_tokens_they_are_of():
    lines = lines_of([[3, 0, 3, 2], [2]])
    windows, places = join_lines(lines, 8, BEGINS)

    states = torch.where(windows.data[..., 2:] == 1, windows.data[..., :1], -1).expand(-1, -1, 5).float()
    back = places.put_back(states)

    assert back.data.shape == (*lines.mask.shape, 5)
    assert torch.equal(back.mask, lines.mask)
    assert torch.equal(back.data[back.mask][:, 0].long(), lines.data[lines.mask][:, 0])
    assert not back.data[~back.mask].any()


def test_a_line_with_gaps_is_joined_without_them():
    lines = lines_of([[4, 1]])
    lines.mask[0, 0, 1] = False

    windows, places = join_lines(lines, 20, BEGINS)

    assert windows.data[0, :, 0].tolist() == [2, 100, 102, 103, 200]
    back = places.put_back(windows.data[..., :1].float())
    assert back.data[back.mask][:, 0].tolist() == [100, 102, 103, 200]
