"""Padded sequences in and out of a network: only those that are present are run, and padding never reaches it."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.nn.pooling import masked_mean, masked_std


def present_rows(padded: Padded) -> tuple[Padded, Bool[Tensor, " rows"]]:
    """Return the sequences that have anything real as ``[present, time, *dim]``, and which of the flat rows they are.

    Padding at the end that all of them share is cut off.
    """
    time = padded.mask.shape[-1]
    mask = padded.mask.reshape(-1, time)
    data = padded.data.reshape(-1, *padded.data.shape[padded.mask.dim() - 1 :])
    rows = mask.any(-1)
    mask = mask[rows]
    longest = int(mask.any(0).nonzero().max()) + 1 if len(mask) else 0
    return Padded(data[rows][:, :longest], mask[:, :longest]), rows


def put_back(present: Padded, rows: Bool[Tensor, " rows"], batch: Sequence[int]) -> Padded:
    """Return ``[*batch, time, dim]`` with the present sequences in their rows; the others are masked zeros."""
    data = present.data.new_zeros((len(rows), *present.data.shape[1:]))
    mask = present.mask.new_zeros((len(rows), *present.mask.shape[1:]))
    data[rows] = present.data
    mask[rows] = present.mask
    return Padded(data.reshape(*batch, *data.shape[1:]), mask.reshape(*batch, *mask.shape[1:]))


def mean_position(padded: Padded) -> Padded:
    """Return each sequence's mean as a sequence of one position, absent where there is nothing real.

    ``data`` is ``[*batch, time, *dim]`` with at least one ``dim``.
    """
    return _one_position(padded, masked_mean)


def mean_std_position(padded: Padded) -> Padded:
    """Return each sequence's mean and standard deviation (of the population), joined, as ``mean_position`` does."""
    mean, std = _one_position(padded, masked_mean), _one_position(padded, masked_std)
    return Padded(torch.cat([mean.data, std.data], dim=-1), mean.mask)


def _one_position(padded: Padded, statistic: Callable[[Tensor, Tensor], Tensor]) -> Padded:
    axes = padded.mask.dim()
    found = statistic(padded.data.flatten(axes), padded.mask)
    dim = padded.data.shape[axes:]
    return Padded(found.reshape(*padded.mask.shape[:-1], 1, *dim), padded.mask.any(-1, keepdim=True))


def pad_sequences(arrays: Sequence[Tensor]) -> Padded:
    """Return sequences ``[time, *dim]`` of unequal length side by side, padded with zeros."""
    data = nn.utils.rnn.pad_sequence(list(arrays), batch_first=True)
    lengths = torch.tensor([len(array) for array in arrays], device=data.device)
    return Padded(data, torch.arange(data.shape[1], device=data.device) < lengths.unsqueeze(-1))


def absent(batch: Sequence[int], dim: int, device: torch.device) -> Padded:
    """Return one masked position of zeros, ``[*batch, 1, dim]``, for each item of a batch in which none is present."""
    return Padded(torch.zeros(*batch, 1, dim, device=device), torch.zeros(*batch, 1, dtype=torch.bool, device=device))
