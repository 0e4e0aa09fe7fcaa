"""The precision in which sums, softmaxes and losses are computed: float32 at least, whatever autocast chose before."""

import torch
from jaxtyping import Shaped
from torch import Tensor


def at_least_float32(data: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """Return half-precision data and whole numbers as float32; float32 and float64 stay as they are."""
    return data.to(torch.promote_types(data.dtype, torch.float32))
