"""What flows into a model and out of it. Masks are ``True`` where data is real."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Padded:
    """Sequences of unequal length side by side.

    ``data`` may have no feature axis (token numbers, samples of a waveform). What stands in padded places is garbage
    by contract: whoever reads ``data`` without ``mask`` is wrong.
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

    ``ids`` and ``texts`` are flat and follow the ``True`` places of ``mask`` in row-major order, so that
    ``output.logits[batch.mask]`` lines up with ``batch.ids``.
    """

    ids: tuple[str, ...]
    mask: Bool[Tensor, "*batch"]
    """Real utterances; always all ``True`` at utterance level."""
    inputs: Mapping[str, Padded]
    """By modality: ``[*batch, time, *dim]``."""
    present: Mapping[str, Bool[Tensor, "*batch"]]
    """By modality: is it there? ``False`` in padded places; where it is not, the mask of ``inputs`` has no ``True``."""
    speakers: Int[Tensor, "*batch"]
    """Number of the speaker within the conversation, in order of first appearance; 0 in padded places."""
    labels: Int[Tensor, "*batch"] | None = None
    """Class numbers; -100 where there is none to learn from. ``None`` outside training."""
    teacher: Float[Tensor, "*batch classes"] | None = None
    """What a teacher answers, as probabilities; zeros where it was not asked. ``None`` without a teacher."""
    texts: tuple[str | None, ...] = ()
    """Transcripts; filled only for a model whose ``SPEC.inputs`` has ``texts``."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """What some models read besides.

    ``speakers.by_name``: as ``speakers``, numbered in the alphabetical order of the speakers' names.

    Segments of a tier: ``segments.<tier>`` ``[*batch, segments, 2]``, start and end in seconds from the utterance's
    beginning (float64), garbage where ``segments.<tier>.mask`` ``[*batch, segments]`` is ``False``. No ``True``: the
    utterance has no such segments.
    """
    view: "Batch | None" = None
    """The same items in another guise (``SPEC.inputs`` has ``views``), in training alone; it has no labels."""

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on another device."""
        return replace(
            self,
            mask=self.mask.to(device),
            inputs={name: padded.to(device) for name, padded in self.inputs.items()},
            present={name: there.to(device) for name, there in self.present.items()},
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
