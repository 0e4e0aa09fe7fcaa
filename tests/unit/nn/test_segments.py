"""Segment pooling against sums over frames written out by hand; frame t is centred at (320 t + 200) / 16000 s."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from merkit.nn.segments import FrameClock, segment_means, segment_of_frames

CLOCK = FrameClock(hop_s=0.02, centre_s=0.0125)
GARBAGE = 1e3


def batch(rows: list[list[tuple[float, float]]]) -> tuple[Tensor, Tensor]:
    """Segments side by side, behind them garbage."""
    most = max(len(row) for row in rows) + 1
    times = torch.full((len(rows), most, 2), GARBAGE, dtype=torch.float64)
    real = torch.zeros(len(rows), most, dtype=torch.bool)
    for place, row in enumerate(rows):
        times[place, : len(row)] = torch.tensor(row, dtype=torch.float64).reshape(-1, 2)
        real[place, : len(row)] = True
    return times, real


def frames_of(lengths: list[int], dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    data = torch.full((len(lengths), max(lengths) + 2, dim), GARBAGE, dtype=torch.float64)
    mask = torch.zeros(data.shape[:2], dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for place, length in enumerate(lengths):
        data[place, :length] = torch.randn(length, dim, dtype=torch.float64, generator=generator)
        mask[place, :length] = True
    return data, mask


def by_hand(frames: Tensor, spans: list[tuple[float, float]]) -> Tensor:
    """The definition, frame by frame, in exact arithmetic of 1/16000 s."""
    found = []
    for begin, end in spans:
        a, b = round(begin * 16000), round(end * 16000)
        inside = [t for t in range(len(frames)) if a <= 320 * t + 200 < b]
        nearest = min(range(len(frames)), key=lambda t: abs(320 * t + 200 - (a + b) // 2))
        found.append(frames[inside].mean(0) if inside else frames[nearest])
    return torch.stack(found)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    data=st.data(),
)
def test_a_segment_is_the_mean_of_the_frames_whose_centre_it_holds(lengths: list[int], data: st.DataObject) -> None:
    rows = []
    for length in lengths:
        ticks = sorted(data.draw(st.sets(st.integers(0, 320 * length + 80), min_size=2, max_size=9)))
        rows.append([(a / 16000, b / 16000) for a, b in pairwise(ticks)][:: data.draw(st.integers(1, 2))])
    frames, mask = frames_of(lengths)
    times, real = batch(rows)

    found = segment_means(frames, mask, times, real, CLOCK)

    for place, (length, row) in enumerate(zip(lengths, rows, strict=True)):
        torch.testing.assert_close(found[place, : len(row)], by_hand(frames[place, :length], row), rtol=0, atol=1e-12)
        assert not found[place, len(row) :].any()


def test_words_are_the_weighted_means_of_their_phones_and_tiles_give_the_mean_of_the_utterance() -> None:
    phones = [(0.0, 0.06), (0.06, 0.1), (0.1, 0.22), (0.22, 0.26), (0.26, 0.4)]
    words = [(0.0, 0.1), (0.1, 0.26), (0.26, 0.4)]
    of_word = [[0, 1], [2, 3], [4]]
    frames, mask = frames_of([20])
    counts = [3, 2, 6, 2, 7]  # by hand: centres at 12.5, 32.5, 52.5 | 72.5, 92.5 | 112.5 … ms

    by_phone = segment_means(frames, mask, *batch([phones]), CLOCK)[0]
    by_word = segment_means(frames, mask, *batch([words]), CLOCK)[0]

    number = segment_of_frames(mask, *batch([phones]), CLOCK)[0]
    assert [int((number == place).sum()) for place in range(5)] == counts
    for word, members in enumerate(of_word):
        weighted = sum((counts[p] * by_phone[p] for p in members), torch.zeros(5)) / sum(counts[p] for p in members)
        torch.testing.assert_close(by_word[word], weighted, rtol=0, atol=1e-6)
    whole = sum((c * by_phone[p] for p, c in enumerate(counts)), torch.zeros(5)) / 20
    torch.testing.assert_close(whole, frames[0, :20].mean(0), rtol=0, atol=1e-6)


def test_constant_frames_give_the_constant_and_numbered_frames_the_mean_number() -> None:
    times, real = batch([[(0.0, 0.05), (0.05, 0.051), (0.1, 0.2)]])
    mask = torch.ones(1, 12, dtype=torch.bool)
    constant = torch.full((1, 12, 2), 3.5)
    numbered = torch.arange(12.0).view(1, 12, 1)

    assert torch.equal(segment_means(constant, mask, times, real, CLOCK)[0, :3], torch.full((3, 2), 3.5))
    # centres in ms: 12.5 and 32.5; none, 52.5 is nearest to 50.5; 112.5, 132.5, 152.5, 172.5, 192.5
    assert segment_means(numbered, mask, times, real, CLOCK)[0, :3, 0].tolist() == [0.5, 2.0, 7.0]


def test_a_frame_is_in_one_segment_at_most_silence_in_none_and_padding_weighs_nothing() -> None:
    frames, mask = frames_of([10, 4])
    times, real = batch([[(0.0, 0.06), (0.06, 0.1), (0.16, 0.2)], [(0.0, 0.04), (0.05, 0.5)]])

    number = segment_of_frames(mask, times, real, CLOCK)
    weights = _weights(mask, times, real)

    assert number[0].tolist() == [0, 0, 0, 1, 1, -1, -1, -1, 2, 2, -1, -1]
    assert number[1].tolist() == [0, 0, 1, 1, *[-1] * 8]
    assert ((weights > 0).sum(dim=1) <= 1).all()
    assert not weights[~mask.unsqueeze(1).expand_as(weights)].any()
    torch.testing.assert_close(weights.sum(-1)[real], torch.ones(5, dtype=torch.float64))
    louder = torch.where(mask.unsqueeze(-1), frames, torch.full_like(frames, torch.nan))
    assert torch.equal(segment_means(louder, mask, times, real, CLOCK), segment_means(frames, mask, times, real, CLOCK))


def _weights(mask: Tensor, times: Tensor, real: Tensor) -> Tensor:
    """How much each frame weighs in each segment ``[items, segments, frames]``: pooling of the unit vectors."""
    unit = torch.eye(mask.shape[1], dtype=torch.float64).expand(len(mask), -1, -1)
    return segment_means(unit, mask, times, real, CLOCK)


def test_a_boundary_on_a_centre_begins_a_segment_and_no_longer_belongs_to_the_one_that_ends() -> None:
    times, real = batch([[(0.0, 0.0125), (0.0325, 0.0725)]])  # centres at 12.5, 32.5, 52.5, 72.5 ms

    number = segment_of_frames(torch.ones(1, 4, dtype=torch.bool), times, real, CLOCK)

    assert number[0].tolist() == [-1, 1, 1, -1]


@pytest.mark.parametrize("hops", [1, 3, 7])
def test_later_times_and_later_frames_leave_the_vectors_as_they_were(hops: int) -> None:
    frames, mask = frames_of([12])
    times, real = batch([[(0.01, 0.055), (0.055, 0.058), (0.1, 0.22)]])
    moved = torch.cat([torch.zeros(1, hops, 5, dtype=torch.float64), frames], dim=1)
    moved_mask = torch.cat([torch.ones(1, hops, dtype=torch.bool), mask], dim=1)

    before = segment_means(frames, mask, times, real, CLOCK)
    after = segment_means(moved, moved_mask, times + hops * 0.02, real, CLOCK)

    torch.testing.assert_close(before, after, rtol=0, atol=1e-12)  # float64; another shape


def test_a_segment_behind_the_last_frame_gets_the_last_frame_and_no_frame_gives_zeros() -> None:
    frames, mask = frames_of([3, 1])
    mask[1] = False
    times, real = batch([[(0.0, 0.02), (0.5, 0.6)], [(0.0, 0.02)]])

    found = segment_means(frames, mask, times, real, CLOCK)

    assert torch.equal(found[0, 1], frames[0, 2])
    assert not found[1].any()


def test_no_gradient_comes_from_padding() -> None:
    frames, mask = frames_of([6, 3])
    frames.requires_grad_()
    times, real = batch([[(0.0, 0.05), (0.05, 0.051)], [(0.0, 0.5)]])

    segment_means(frames, mask, times, real, CLOCK)[real].sum().backward()

    assert frames.grad is not None
    assert not frames.grad[~mask].any()
    assert float(frames.grad.sum()) == pytest.approx(3 * 5)  # rows of weights sum to 1
