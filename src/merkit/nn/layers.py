"""Layers that several models share: dropout, learned vectors for absent utterances, modality dropout, heads."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from merkit.core.batch import Batch, Padded
from merkit.nn.pooling import Pooling, pool, pooled_dim


class Dropout(nn.Dropout):
    """Dropout that draws 16 random bits for each number on the CPU, where PyTorch's own takes many times as long.

    ``p`` is rounded to 1/65,536.
    """

    def forward(self, data: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the data, in training with a share ``p`` of it zero and the rest divided by ``1 - p``."""
        if not self.training or self.p == 0.0 or not data.is_cpu:
            return super().forward(data)
        words = torch.empty(-(-data.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.int16)[: data.numel()].view(data.shape)
        kept = drawn >= min(round(self.p * 2**16), 2**16 - 1) - 2**15
        return data * kept.to(data.dtype).div_(1.0 - self.p)


class PooledUtterance(nn.Module):
    """One vector per utterance from its frames; an absent utterance gets a learned vector instead.

    Zeros could be mistaken for data. The vector is learned wherever training has absent utterances, in the data or by
    ``drop_modalities``.
    """

    def __init__(self, dim: int, pooling: Pooling = "mean") -> None:
        super().__init__()
        self.pooling = pooling
        self.dim = pooled_dim(pooling, dim)
        self.absent = nn.Parameter(torch.empty(self.dim).normal_(std=0.02))

    def forward(
        self,
        data: Float[Tensor, "*batch time dim"],
        mask: Bool[Tensor, "*batch time"],
        present: Bool[Tensor, "*batch"],
    ) -> Float[Tensor, "*batch pooled"]:
        """Return pooled frames where the utterance is present and the learned vector elsewhere."""
        pooled = pool(self.pooling, data, mask)
        real = (present & mask.any(dim=-1)).unsqueeze(-1)
        return torch.where(real, pooled, self.absent.to(pooled.dtype))


def drop_modalities(
    present: Mapping[str, Bool[Tensor, "*batch"]], names: Iterable[str], rate: float, training: bool
) -> dict[str, Bool[Tensor, "*batch"]]:
    """Return the presence of the named modalities, with each one of each utterance dropped at random.

    An utterance that would lose all its modalities keeps them. Outside training and at rate 0 nothing is dropped.
    """
    had = {name: present[name] for name in names}
    if not training or rate == 0.0:
        return had
    kept = {name: has & (torch.rand(has.shape, device=has.device) >= rate) for name, has in had.items()}
    none_left = ~torch.stack(list(kept.values())).any(dim=0)
    return {name: torch.where(none_left, present[name], has) for name, has in kept.items()}


def encode(
    encoders: Mapping[str, nn.Module] | nn.ModuleDict, batch: Batch, modality_dropout: float, training: bool
) -> dict[str, Padded]:
    """Return each modality's frames, masked where it is absent or was dropped, with zeros where they are masked."""
    kept = drop_modalities(batch.present, encoders.keys(), modality_dropout, training)
    streams = {}
    for name, encoder in encoders.items():
        frames = encoder(batch.inputs[name])
        mask = frames.mask & kept[name].unsqueeze(-1)
        streams[name] = Padded(frames.data.masked_fill(~mask.unsqueeze(-1), 0.0), mask)
    return streams


def classification_head(
    dim: int, classes: int, *, dropout: float, hidden: int = 0, layer_norm: bool = False
) -> nn.Sequential:
    """Return dropout and one linear layer.

    With a ``hidden`` layer: dropout, linear, layer norm (if asked for), ReLU, dropout, linear.
    """
    if not hidden:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, classes))
    norm = [nn.LayerNorm(hidden)] if layer_norm else []
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(dim, hidden), *norm, nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
    )
