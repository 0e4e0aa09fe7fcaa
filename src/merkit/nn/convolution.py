"""Convolution along sequences with holes and ends: only real places are read, only real places are written."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad


class MaskedConv1d(nn.Module):
    """A convolution along the places that keeps their number; padded places count as zeros and get zeros.

    Causal: a place reads itself and the ``kernel - 1`` places before it.
    """

    def __init__(self, dim: int, out: int, kernel: int, *, causal: bool = False) -> None:
        """Make the layer; ``kernel`` is odd, so that a place lies in the middle of what it reads."""
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"the kernel must be odd, found {kernel}")
        self.convolve = nn.Conv1d(dim, out, kernel)
        self.around = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)

    def forward(
        self, data: Float[Tensor, "items places dim"], mask: Bool[Tensor, "items places"]
    ) -> Float[Tensor, "items places out"]:
        """Return the convolution at real places and zeros elsewhere."""
        padded = ~mask.unsqueeze(-1)
        channels_first = pad(data.masked_fill(padded, 0.0).transpose(1, 2), self.around)
        found: Tensor = self.convolve(channels_first)
        return found.transpose(1, 2).masked_fill(padded, 0.0)
