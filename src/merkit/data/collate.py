"""Collation: examples of unequal length become one padded batch with masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from merkit.core.arrays import Array
from merkit.core.batch import Batch, Padded
from merkit.core.errors import MerkitError
from merkit.core.model import Level
from merkit.core.protocol import Target

NO_LABEL = -100
"""The class number that losses skip."""


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance of a batch; ``None`` in ``arrays`` is an absent modality."""

    id: str
    speaker: str
    arrays: Mapping[str, Array | None]
    label: Target | None
    segments: Mapping[str, Array | None] = field(default_factory=dict)
    """By tier ``[segments, 2]``, start and end in seconds; ``None`` where unknown."""


def collate(
    items: Sequence[Sequence[Example]],
    level: Level,
    labelled: bool,
    blanks: Mapping[str, Array],
    classes: int | None = None,
) -> Batch:
    """Pad items to one batch.

    At utterance level every item is one example and ``*batch`` is ``[items]``; at conversation level ``*batch`` is
    ``[items, turns]``. ``blanks`` are zeros ``[1, *dim]`` for each modality, used where no example has it. ``classes``
    is the number of labels of a multi-label protocol.
    """
    turns = max(len(item) for item in items)
    mask = torch.zeros(len(items), turns, dtype=torch.bool)
    speakers = torch.zeros(len(items), turns, dtype=torch.long)
    speakers_by_name = torch.zeros_like(speakers)
    labels = no_labels((len(items), turns), classes)
    for row, item in enumerate(items):
        mask[row, : len(item)] = True
        numbers: dict[str, int] = {}
        by_name = {name: number for number, name in enumerate(sorted({example.speaker for example in item}))}
        for column, example in enumerate(item):
            speakers_by_name[row, column] = by_name[example.speaker]
            speakers[row, column] = numbers.setdefault(example.speaker, len(numbers))
            if example.label is not None:
                set_label(labels[row, column], example.label)
    modalities = list(items[0][0].arrays)
    inputs, present = {}, {}
    for modality in modalities:
        arrays = [[example.arrays[modality] for example in item] for item in items]
        inputs[modality], present[modality] = _pad(arrays, turns, blanks[modality], modality)
    batch = Batch(
        ids=tuple(example.id for item in items for example in item),
        mask=mask,
        inputs=inputs,
        present=present,
        speakers=speakers,
        labels=labels if labelled else None,
        extras={"speakers.by_name": speakers_by_name}
        | {name: extra for tier in items[0][0].segments for name, extra in _segments(items, turns, tier).items()},
    )
    return batch if level == "conversation" else _without_turns(batch)


def no_labels(shape: Sequence[int], classes: int | None = None) -> Tensor:
    """Return ``Batch.labels`` of utterances that have none; ``classes`` as in `collate`."""
    if classes is None:
        return torch.full(tuple(shape), NO_LABEL)
    return torch.full((*shape, classes), float(NO_LABEL))


def set_label(row: Tensor, label: Target) -> None:
    """Write one utterance's label into its place in ``Batch.labels``."""
    if isinstance(label, int):
        row.fill_(label)
    else:
        row.fill_(0.0)
        row[list(label)] = 1.0


def _pad(arrays: Sequence[Sequence[Array | None]], turns: int, blank: Array, modality: str) -> tuple[Padded, Tensor]:
    known = [array for item in arrays for array in item if array is not None] or [blank]
    dim = blank.shape[1:]
    for array in known:
        if array.shape[1:] != dim:
            raise MerkitError(
                f"{modality}: an array of shape {array.shape} where [time, {', '.join(map(str, dim))}] was expected; "
                "were the features made by this encoder?"
            )
    data = np.zeros((len(arrays), turns, max(len(array) for array in known), *dim), dtype=blank.dtype)
    mask = np.zeros(data.shape[:3], dtype=bool)
    present = np.zeros(data.shape[:2], dtype=bool)
    for row, item in enumerate(arrays):
        for column, array_or_none in enumerate(item):
            if array_or_none is not None:
                data[row, column, : len(array_or_none)] = array_or_none
                mask[row, column, : len(array_or_none)] = True
                present[row, column] = True
    return Padded(torch.from_numpy(data), torch.from_numpy(mask)), torch.from_numpy(present)


def _segments(items: Sequence[Sequence[Example]], turns: int, tier: str) -> dict[str, Tensor]:
    """Return ``segments.<tier>`` and its mask, as ``Batch.extras`` describes them."""
    arrays = [[example.segments[tier] for example in item] for item in items]
    padded, _ = _pad(arrays, turns, np.zeros((1, 2)), f"segments.{tier}")
    return {f"segments.{tier}": padded.data, f"segments.{tier}.mask": padded.mask}


def _without_turns(batch: Batch) -> Batch:
    return Batch(
        ids=batch.ids,
        mask=batch.mask[:, 0],
        inputs={name: Padded(padded.data[:, 0], padded.mask[:, 0]) for name, padded in batch.inputs.items()},
        present={name: flags[:, 0] for name, flags in batch.present.items()},
        speakers=batch.speakers[:, 0],
        labels=None if batch.labels is None else batch.labels[:, 0],
        extras={name: extra[:, 0] for name, extra in batch.extras.items()},
    )
