"""Standardisation with the training split's statistics, which are part of the state, so that checkpoints hold them."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from merkit.core.arrays import Array
from merkit.core.batch import Padded
from merkit.core.errors import MerkitError

_SMALLEST_STD = 1e-6
"""Relative to the mean's size; a column below it is constant, with rounding noise."""
_NOISE = 1e-8
"""A column with a smaller standard deviation is constant too, however small its mean."""


class Standardizer(nn.Module):
    """Subtract the training mean and divide by the training standard deviation (of the population), by column.

    An undefined value (NaN) becomes the training mean, which is 0 afterwards. So does every value of a column that was
    constant or undefined in the whole training split: nothing can be learned from it. Before ``fit`` only undefined
    values change.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, arrays: Iterable[Array]) -> None:
        """Learn mean and standard deviation from arrays ``[time, dim]``, one after the other, in float64.

        Raises:
            MerkitError: There is no array.
        """
        mean, std = moments(arrays, self.mean.shape)
        constant = std <= np.maximum(_SMALLEST_STD * np.abs(mean), _NOISE)
        scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, std))
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, data: Shaped[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the standardised values; NaN becomes 0."""
        return torch.nan_to_num(self.scaled(data), nan=0.0)

    def scaled(self, data: Shaped[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the standardised values; NaN stays, so that training notices it."""
        return (data - self.mean) * self.scale


def standardised(padded: Padded, standardizer: Standardizer | None) -> Padded:
    """Return ``[*batch, time, *dim]`` standardised, if asked for, and zero in padded positions."""
    data = padded.data if standardizer is None else standardizer(padded.data)
    mask = padded.mask.reshape(*padded.mask.shape, *[1] * (data.dim() - padded.mask.dim()))
    return Padded(torch.where(mask, data, 0.0), padded.mask)


def moments(arrays: Iterable[Array], dim: Sequence[int]) -> tuple[Array, Array]:
    """Return mean and standard deviation ``[*dim]`` of the defined values of all rows, by Chan's update of Welford's.

    Raises:
        MerkitError: There is no array.
    """
    count, mean, squares, seen = np.zeros(dim), np.zeros(dim), np.zeros(dim), False
    for array in arrays:
        seen = True
        rows = array.astype(np.float64)
        defined = ~np.isnan(rows)
        added = defined.sum(0)
        at_least_one = np.maximum(added, 1)
        new_mean = np.where(defined, rows, 0.0).sum(0) / at_least_one
        new_squares = (np.where(defined, rows - new_mean, 0.0) ** 2).sum(0)
        total = np.maximum(count + added, 1)
        difference = np.where(added > 0, new_mean - mean, 0.0)
        mean = mean + difference * added / total
        squares = squares + new_squares + difference**2 * count * added / total
        count = count + added
    if not seen:
        raise MerkitError(
            "Nothing to standardise with: no training utterance has this modality. "
            "Leave the modality out, or check the manifest with merkit doctor"
        )
    return mean, np.sqrt(squares / np.maximum(count, 1))
