"""Recurrent networks over masked sequences: only real positions are read, in their order."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class MaskedLSTM(nn.Module):
    """An LSTM over the real positions of each sequence; padded positions are skipped and get zeros.

    ``dim`` is the last axis of the result: ``hidden``, or twice that if bidirectional (forward state first).
    """

    def __init__(
        self, inputs: int, hidden: int, *, layers: int = 1, dropout: float = 0.0, bidirectional: bool = True
    ) -> None:
        """Make the network; ``dropout`` acts between layers, so it has no effect with one layer."""
        super().__init__()
        between = dropout if layers > 1 else 0.0  # torch warns about dropout with a single layer
        self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True, dropout=between, bidirectional=bidirectional)
        self.dim = hidden * (2 if bidirectional else 1)

    def forward(
        self, data: Float[Tensor, "items turns dim"], mask: Bool[Tensor, "items turns"]
    ) -> Float[Tensor, "items turns out"]:
        """Return the state at each real position and zeros elsewhere."""
        # Move real positions to the front; a sequence without any takes one step on zeros, which is masked below.
        order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
        clean = data.masked_fill(~mask.unsqueeze(-1), 0.0)
        packed = pack_padded_sequence(
            _take(clean, order), mask.sum(dim=1).clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
        return _take(states, torch.argsort(order, dim=1)).masked_fill(~mask.unsqueeze(-1), 0.0)


def _take(data: Tensor, positions: Tensor) -> Tensor:
    """Return ``data[i, positions[i, t]]``."""
    return data.gather(1, positions.unsqueeze(-1).expand(*positions.shape, data.shape[-1]))
