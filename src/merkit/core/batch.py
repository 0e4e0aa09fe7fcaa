"""The input and output of a model. Masks are ``True`` where data is real."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Padded:
    """Sequences of unequal length in one tensor.

    ``data`` may have no feature axis (token numbers, samples of a waveform). Padded positions hold arbitrary values:
    whoever reads ``data`` without ``mask`` is wrong.
    """

    data: Shaped[Tensor, "..."]
    """``[*batch, time, *dim]``"""
    mask: Bool[Tensor, "..."]
    """``[*batch, time]``, ``True`` = real"""

    def to(self, device: torch.device) -> "Padded":
        """Return the same sequences on another device."""
        return Padded(self.data.to(device, non_blocking=True), self.mask.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True)
class Batch:
    """Utterances (``*batch`` is ``[items]``) or conversations (``*batch`` is ``[items, turns]``), by the model's level.

    ``ids`` and ``texts`` are flat and follow the ``True`` positions of ``mask`` in row-major order, so that
    ``output.logits[batch.mask]`` lines up with ``batch.ids``.
    """

    ids: tuple[str, ...]
    mask: Bool[Tensor, "*batch"]
    """Real utterances; always all ``True`` at utterance level."""
    inputs: Mapping[str, Padded]
    """By modality: ``[*batch, time, *dim]``."""
    present: Mapping[str, Bool[Tensor, "*batch"]]
    """By modality: whether the utterance has it. ``False`` in padded positions; where it is missing, the mask of
    ``inputs`` has no ``True``."""
    speakers: Int[Tensor, "*batch"]
    """Number of the speaker within the conversation, in order of first appearance; 0 in padded positions."""
    labels: Int[Tensor, "*batch"] | Float[Tensor, "*batch classes"] | None = None
    """Class numbers, or for a multi-label protocol 1 for each label that an utterance has and 0 for all others; -100
    where an utterance is not learned from. ``None`` outside training."""
    teacher: Float[Tensor, "*batch classes"] | None = None
    """A teacher's probabilities; zeros where it has none. ``None`` without distillation."""
    texts: tuple[str | None, ...] = ()
    """Transcripts; filled only for a model whose ``SPEC.inputs`` has ``texts``."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Further input that some models read.

    ``speakers.by_name``: as ``speakers``, numbered in the alphabetical order of the speakers' names.

    Segments of a tier: ``segments.<tier>`` ``[*batch, segments, 2]``, start and end in seconds from the utterance's
    beginning (float64), arbitrary where ``segments.<tier>.mask`` ``[*batch, segments]`` is ``False``. Without any
    ``True`` the utterance has no such segments.
    """
    view: "Batch | None" = None
    """Augmented views of the same items, without labels; only in training, where ``SPEC.inputs`` has ``views``."""

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on another device."""
        return replace(
            self,
            mask=self.mask.to(device),
            inputs={name: padded.to(device) for name, padded in self.inputs.items()},
            present={name: present.to(device) for name, present in self.present.items()},
            speakers=self.speakers.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            teacher=None if self.teacher is None else self.teacher.to(device),
            extras={name: extra.to(device) for name, extra in self.extras.items()},
            view=None if self.view is None else self.view.to(device),
        )


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a model returns: scores before softmax, and named tensors for losses, plots and downstream models.

    ``embedding``, where a model offers it, is the vector ``[*batch, dim]`` that its head reads.
    """

    logits: Shaped[Tensor, "*batch classes"]
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
