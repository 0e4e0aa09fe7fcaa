"""Gaussian noise on millions of numbers.

PyTorch's generator takes a third of a step of Ada2I on the CPU. There, after Wallace, "Fast Pseudorandom Generators for
Normal and Exponential Variates", ACM TOMS 22 (1996), new numbers are sums and differences of pairs of a million that
were drawn once, divided by the square root of 2: as a sum of independent normal numbers is normal, so are they.
"""

from math import sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_POOL, _BLOCK = 2**20, 2**17


class GaussianNoise:
    """A stream of normal numbers that its seed decides, apart from torch's generator."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        self._places = np.random.default_rng(seed)
        self._pool: Tensor | None = None  # on the CPU, from the first addition on

    def add(self, values: Float[Tensor, "*any"], std: Float[Tensor, ""]) -> None:
        """Add noise of this standard deviation in place to contiguous values on the stream's device.

        On the CPU each block of 131,072 takes its pairs from two places in the pool that are drawn anew, so that two
        numbers of different blocks seldom share one.
        """
        device = self._generator.device
        if device.type != "cpu":
            values.addcmul_(torch.randn(values.shape, generator=self._generator, device=device).to(values.dtype), std)
            return
        if self._pool is None:
            self._pool = torch.randn(_POOL + _BLOCK, generator=self._generator) / sqrt(2.0)
        scale = float(std)
        blocks = torch.split(values.view(-1), _BLOCK)  # a block at a time stays in the processor's cache
        places = self._places.integers(_POOL, size=(len(blocks), 2)).tolist()
        signs = self._places.choice([-1.0, 1.0], size=len(blocks)).tolist()
        for block, (first, second), sign in zip(blocks, places, signs, strict=True):
            block.add_(self._pool[first : first + len(block)], alpha=scale)
            block.add_(self._pool[second : second + len(block)], alpha=sign * scale)
