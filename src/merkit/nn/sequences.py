"""Padded sequences in and out of a network: only those that are there are run, and garbage never reaches it."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from merkit.core.batch import Padded
from merkit.nn.pooling import masked_mean

Layer = Literal["last", "mix"] | int | tuple[int, ...]
"""``last``, ``mix``, or numbers of states: 0 is what enters the first layer, n what the n-th layer gives."""


class LayerMix(nn.Module):
    """Weigh a network's states with a learned softmax; all weigh the same at first."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(states))

    def forward(self, data: Float[Tensor, "*batch states dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the weighted sum of the states."""
        return (self.weights.softmax(0).unsqueeze(-1) * data).sum(-2)


def numbers_of(layer: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers of the states that a layer setting names."""
    return (layer,) if isinstance(layer, int) else layer


def choose_states(
    states: Sequence[Float[Tensor, "rows time dim"]], layer: Layer
) -> Float[Tensor, "rows time *states chosen"]:
    """Return the last of a network's states, for ``mix`` all of them on an axis of their own, or some side by side."""
    if layer == "mix":
        return torch.stack(list(states), dim=2)
    numbers = (-1,) if layer == "last" else numbers_of(layer)
    return torch.cat([states[number] for number in numbers], dim=-1)


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


def put_back(found: Padded, rows: Bool[Tensor, " rows"], batch: Sequence[int]) -> Padded:
    """Return ``[*batch, time, dim]`` with the found sequences in their rows; the others are masked zeros."""
    data = found.data.new_zeros((len(rows), *found.data.shape[1:]))
    mask = found.mask.new_zeros((len(rows), *found.mask.shape[1:]))
    data[rows] = found.data
    mask[rows] = found.mask
    return Padded(data.reshape(*batch, *data.shape[1:]), mask.reshape(*batch, *mask.shape[1:]))


def mean_step(padded: Padded) -> Padded:
    """Return each sequence's mean as a sequence of one step, absent where there is nothing real.

    ``data`` is ``[*batch, time, *dim]`` with at least one ``dim``.
    """
    place = padded.mask.dim()
    mean = masked_mean(padded.data.flatten(place), padded.mask)
    dim = padded.data.shape[place:]
    return Padded(mean.reshape(*padded.mask.shape[:-1], 1, *dim), padded.mask.any(-1, keepdim=True))


def stack(arrays: Sequence[Tensor]) -> Padded:
    """Return sequences ``[time, *dim]`` of unequal length side by side, padded with zeros."""
    data = nn.utils.rnn.pad_sequence(list(arrays), batch_first=True)
    lengths = torch.tensor([len(array) for array in arrays], device=data.device)
    return Padded(data, torch.arange(data.shape[1], device=data.device) < lengths.unsqueeze(-1))


def parts_by_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Return numbers of sequences in parts of similar length, each at most ``most`` steps with its padding (or one)."""
    parts: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if parts and (len(parts[-1]) + 1) * lengths[index] <= most:
            parts[-1].append(index)
        else:
            parts.append([index])
    return parts
