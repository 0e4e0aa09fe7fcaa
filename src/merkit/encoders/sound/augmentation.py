"""Augmentation of spectrograms in training: shifted bands, another tempo, masks. Random numbers are torch's."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample


def warp(
    data: Float[Tensor, "rows time bands"], mask: Bool[Tensor, "rows time"], *, shift: float, stretch: float
) -> tuple[Float[Tensor, "rows new bands"], Bool[Tensor, "rows new"]]:
    """Shift each spectrogram by up to ``shift`` bands and change its length by up to the fraction ``stretch``.

    On a mel axis, a shift is about the effect of another vocal tract (after Jaitly & Hinton, "Vocal tract length
    perturbation improves speech recognition", ICML workshop 2013, who scale frequencies). Edges are repeated. Only real
    frames are read; ``data`` must be finite everywhere.
    """
    bands = data.shape[2]
    lengths = mask.sum(1)
    new_lengths = (lengths * (1.0 + stretch * _symmetric(data))).round().long().clamp(min=1)
    new_mask = torch.arange(int(new_lengths.max()), device=data.device) < new_lengths[:, None]
    time = torch.arange(new_mask.shape[1], device=data.device) / (new_lengths[:, None] - 1).clamp(min=1)
    time = (time * (lengths[:, None] - 1)).minimum(lengths[:, None] - 1)
    band = torch.arange(bands, device=data.device) + shift * _symmetric(data)[:, None]
    grid = torch.stack(
        [
            _scaled(band, bands)[:, None, :].expand(-1, new_mask.shape[1], -1),
            _scaled(time, data.shape[1])[:, :, None].expand(-1, -1, bands),
        ],
        dim=-1,
    )
    moved = grid_sample(data[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    return moved[:, 0], new_mask


def mask_frames(
    data: Float[Tensor, "rows time bands"], mask: Bool[Tensor, "rows time"], most: int
) -> Float[Tensor, "rows time bands"]:
    """Set up to ``most`` neighbouring frames of each spectrogram to 0, never more than half of it.

    SpecAugment's time masking: Park et al., Interspeech 2019, section 2.
    """
    lengths = mask.sum(1)
    width = torch.minimum(_uniform(data) * (most + 1), lengths / 2).floor()
    start = (_uniform(data) * (lengths - width + 1)).floor()
    time = torch.arange(data.shape[1], device=data.device)
    hidden = (time >= start[:, None]) & (time < (start + width)[:, None])
    return data.masked_fill(hidden[:, :, None], 0.0)


def mask_bands(data: Float[Tensor, "rows time bands"], most: int) -> Float[Tensor, "rows time bands"]:
    """Set up to ``most`` neighbouring bands of each spectrogram to 0 (SpecAugment's frequency masking)."""
    width = (_uniform(data) * (most + 1)).floor().clamp(max=data.shape[2])
    start = (_uniform(data) * (data.shape[2] - width + 1)).floor()
    band = torch.arange(data.shape[2], device=data.device)
    hidden = (band >= start[:, None]) & (band < (start + width)[:, None])
    return data.masked_fill(hidden[:, None, :], 0.0)


def _uniform(data: Float[Tensor, "rows ..."]) -> Float[Tensor, " rows"]:
    return torch.rand(len(data), device=data.device)


def _symmetric(data: Float[Tensor, "rows ..."]) -> Float[Tensor, " rows"]:
    return 2.0 * torch.rand(len(data), device=data.device) - 1.0


def _scaled(index: Float[Tensor, "*any"], size: int) -> Float[Tensor, "*any"]:
    """Return indices from 0 on the scale of ``grid_sample``, from -1 to 1."""
    return 2.0 * index / max(size - 1, 1) - 1.0
