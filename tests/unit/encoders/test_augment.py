import pytest
import torch

from merkit.encoders.sound.augmentation import mask_bands, mask_frames, warp

LENGTHS = [1, 2, 9, 30]


def spectrograms(garbage: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Each frame holds its own number, the same in all bands."""
    mask = torch.arange(30) < torch.tensor(LENGTHS)[:, None]
    data = torch.arange(30.0)[None, :, None].expand(4, 30, 8)
    return torch.where(mask[..., None], data, garbage), mask


def test_without_shift_or_stretch_nothing_changes():
    data, mask = spectrograms()

    moved, new_mask = warp(data, mask, shift=0.0, stretch=0.0)

    assert torch.equal(new_mask, mask)
    torch.testing.assert_close(moved[mask], data[mask], atol=1e-4, rtol=0)


def test_a_stretched_recording_still_goes_from_its_first_to_its_last_frame():
    data, mask = spectrograms(garbage=1000.0)

    moved, new_mask = warp(data, mask, shift=0.0, stretch=0.5)

    for row, length in enumerate(LENGTHS):
        frames = moved[row][new_mask[row]][:, 0]
        assert 1 <= len(frames) <= 1.5 * length + 1
        assert frames[0] == pytest.approx(0.0, abs=1e-2)
        assert frames[-1] == pytest.approx(length - 1 if len(frames) > 1 else 0.0, abs=2e-2)
        assert (frames.diff() >= 0).all()


def test_a_shift_moves_the_bands_of_a_whole_recording_alike():
    data = torch.arange(8.0).expand(4, 30, 8).contiguous()
    _, mask = spectrograms()

    moved, new_mask = warp(data, mask, shift=2.0, stretch=0.0)

    shifts = (moved - data)[:, :, 3:5]  # away from the edges, which are repeated
    assert shifts.abs().max() <= 2.0 + 1e-4
    for row in range(4):
        torch.testing.assert_close(
            shifts[row][new_mask[row]], shifts[row, 0, 0].expand(LENGTHS[row], 2), atol=1e-3, rtol=0
        )
    assert shifts[:, 0, 0].unique().numel() == 4


def test_masked_frames_are_neighbours_and_never_more_than_half():
    data, mask = spectrograms()
    most = 0

    for _ in range(50):
        hidden = (mask_frames(data + 1, mask, 6) == 0).all(-1) & mask
        for row, length in enumerate(LENGTHS):
            places = hidden[row].nonzero().flatten()
            assert len(places) <= min(6, length / 2)
            assert (places.diff() == 1).all()
        most = max(most, int(hidden.sum(1).max()))

    assert most == 6


def test_masked_bands_are_neighbours_and_not_more_than_asked():
    data, _ = spectrograms()
    most = 0

    for _ in range(50):
        hidden = (mask_bands(data + 1, 3) == 0).all(1)
        for row in range(4):
            places = hidden[row].nonzero().flatten()
            assert (places.diff() == 1).all()
        most = max(most, int(hidden.sum(1).max()))

    assert most == 3
