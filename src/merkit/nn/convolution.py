"""Convolution along masked sequences: only real positions are read and written."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad


class MaskedConv1d(nn.Module):
    """A convolution that keeps the length of the sequence; padded positions count as zeros and get zeros.

    Causal: a position reads itself and the ``kernel - 1`` positions before it.
    """

    def __init__(self, dim: int, out: int, kernel: int, *, causal: bool = False) -> None:
        """Make the layer; ``kernel`` is odd, so that it is centred on a position."""
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"the kernel must be odd, found {kernel}")
        self.convolve = nn.Conv1d(dim, out, kernel)
        self.around = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)

    def forward(
        self, data: Float[Tensor, "items positions dim"], mask: Bool[Tensor, "items positions"]
    ) -> Float[Tensor, "items positions out"]:
        """Return the convolution at real positions and zeros elsewhere."""
        padded = ~mask.unsqueeze(-1)
        channels_first = pad(data.masked_fill(padded, 0.0).transpose(1, 2), self.around)
        result: Tensor = self.convolve(channels_first)
        return result.transpose(1, 2).masked_fill(padded, 0.0)
