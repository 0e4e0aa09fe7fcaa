"""Small stand-ins for encoders and corpora, built from nothing but a model's ``SPEC``.

An utterance's features, words and label follow from its name alone, so that it is the same in every batch. Padding is
garbage.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from merkit.core import lookup
from merkit.core.batch import Batch, Padded
from merkit.core.encoder import Array, Encoder
from merkit.core.model import FittedModel, Model, ModelSpec
from merkit.core.types import MODALITIES, Turn

CLASSES = 4
DIM = 16
HOP_S = 0.02
"""Of the frames of every fake encoder; an utterance has six at most."""
WIDTHS = {"text": 12, "audio": 10, "video": 8}
WORDS = ("good", "bad", "glad", "sad", "fine", "awful", "day", "night", "rain", "sun", "we", "they")

CONVERSATIONS = (("a0", "a1", "a2"), ("b0", "b1", "b2", "b3", "b4"), ("c0",), ("d0", "d1"))
"""Eleven utterances. Names are all that is given: what they hold follows from them."""


class FakeEncoder(Encoder):
    """A fixed, trainable projection whose padding is garbage."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality = modality
        self.dim = WIDTHS[modality]
        self.hop_s, self.centre_s = HOP_S, HOP_S / 2
        self.project = nn.Linear(DIM, self.dim)
        generator = torch.Generator().manual_seed(zlib.crc32(modality.encode()))
        with torch.no_grad():
            self.project.weight.normal_(std=DIM**-0.5, generator=generator)
            self.project.bias.zero_()

    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "fake"}

    def content(self, turn: Turn) -> str | None:
        return turn.utterance.id

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        return [features(turn.utterance.id, self.modality).numpy() for turn in turns]

    def blank(self) -> Array:
        return np.zeros((1, DIM), dtype=np.float32)

    def describe(self) -> Mapping[str, Any]:
        return {"name": "fake"}

    def forward(self, padded: Padded) -> Padded:
        data = self.project(padded.data)
        return Padded(torch.where(padded.mask.unsqueeze(-1), data, torch.full_like(data, 1e3)), padded.mask)


def features(utterance: str, modality: str) -> Tensor:
    """Return 2 to 6 random frames ``[time, DIM]`` that the names decide."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{utterance}/{modality}".encode()))
    time = int(torch.randint(2, 7, (1,), generator=generator))
    return torch.randn(time, DIM, generator=generator)


def label_of(utterance: str) -> int:
    return zlib.crc32(f"{utterance}/label".encode()) % CLASSES


def text_of(utterance: str) -> str:
    numbers = zlib.crc32(f"{utterance}/words".encode())
    return " ".join(WORDS[(numbers >> shift) % len(WORDS)] for shift in (0, 5, 10, 15))


def cases() -> list[tuple[str, int]]:
    """Return every model with the fewest and the most encoders it takes."""
    found = []
    for name in lookup.names("models"):
        fewest, most = lookup.load("models", name).modalities
        found += [(name, count) for count in sorted({fewest, most})]
    return found


def batch_of(
    spec: ModelSpec,
    count: int,
    conversations: Iterable[Sequence[str]] = CONVERSATIONS,
    *,
    garbage: float = 1e3,
    more_time: int = 0,
    more_turns: int = 0,
    absent: Collection[tuple[str, str]] = (),
    labels: Mapping[str, int] | None = None,
) -> Batch:
    """Return a batch of the model's level with ``count`` modalities.

    ``absent`` holds (utterance, modality); ``labels`` is ``None`` for a batch without labels.
    """
    unknown = spec.inputs - {"texts", "segments", "views"}
    assert not unknown, f"{spec.name} asks collation for {sorted(unknown)}: teach fakes.batch_of to make it"
    rows = [list(row) for row in conversations]
    if spec.level == "utterance":
        rows = [[utterance] for row in rows for utterance in row]
        more_turns = 0
    turns = max(len(row) for row in rows) + more_turns
    mask = torch.zeros(len(rows), turns, dtype=torch.bool)
    speakers = torch.zeros(len(rows), turns, dtype=torch.long)
    numbers = torch.full((len(rows), turns), -100)
    for i, row in enumerate(rows):
        mask[i, : len(row)] = True
        for j, utterance in enumerate(row):
            speakers[i, j] = j % 2
            numbers[i, j] = -100 if labels is None else labels[utterance]
    inputs, present = {}, {}
    for modality in MODALITIES[:count]:
        inputs[modality], present[modality] = _pad(rows, turns, modality, garbage, more_time, absent)
    if spec.level == "utterance":
        mask, speakers, numbers = mask[:, 0], speakers[:, 0], numbers[:, 0]
        inputs = {name: Padded(padded.data[:, 0], padded.mask[:, 0]) for name, padded in inputs.items()}
        present = {name: there[:, 0] for name, there in present.items()}
    ids = tuple(utterance for row in rows for utterance in row)
    request = spec.config().segments()
    extras = {} if request is None else _segments(rows, turns, request.tiers, garbage, absent)
    if spec.level == "utterance":
        extras = {name: extra[:, 0] for name, extra in extras.items()}
    letters = 2 if count else None  # beside frames: so few that a handful of frames can spell them
    view = None
    if "views" in spec.inputs and labels is not None:
        moved = {name: Padded(0.9 * padded.data, padded.mask) for name, padded in inputs.items()}
        view = Batch(ids=ids, mask=mask, inputs=moved, present=present, speakers=speakers)
    return Batch(
        ids=ids,
        mask=mask,
        inputs=inputs,
        present=present,
        speakers=speakers,
        labels=None if labels is None else numbers,
        texts=tuple(text_of(utterance)[:letters] for utterance in ids) if "texts" in spec.inputs else (),
        extras=extras,
        view=view,
    )


def all_labels(conversations: Iterable[Sequence[str]] = CONVERSATIONS) -> dict[str, int]:
    return {utterance: label_of(utterance) for row in conversations for utterance in row}


def untrained(spec: ModelSpec, count: int) -> Model:
    """Return a model with default settings on fake encoders."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoders = {modality: FakeEncoder(modality) for modality in MODALITIES[:count]}
        return spec.build(encoders, CLASSES, spec.config())


def build(spec: ModelSpec, count: int) -> Model:
    """Return a model with default settings on fake encoders, in evaluation mode; fitted if it is of that kind."""
    model = untrained(spec, count)
    if isinstance(model, FittedModel):
        model.fit([batch_of(spec, count, labels=all_labels())], seed=0)
    return model.eval()


def segments_of(utterance: str, tier: str) -> list[tuple[float, float]]:
    """Return one to three segments within the fewest frames that an utterance has, some shorter than a frame."""
    seed = zlib.crc32(f"{utterance}/{tier}".encode())
    edges = [0.0, *sorted({0.004 * (1 + (seed >> shift) % 9) for shift in (0, 5)}), 2 * HOP_S]
    return list(pairwise(edges))


def _segments(
    rows: Sequence[Sequence[str]],
    turns: int,
    tiers: Iterable[str],
    garbage: float,
    absent: Collection[tuple[str, str]],
) -> dict[str, Tensor]:
    extras = {}
    for tier in tiers:
        times = torch.full((len(rows), turns, 4, 2), garbage, dtype=torch.float64)
        mask = torch.zeros(len(rows), turns, 4, dtype=torch.bool)
        for i, row in enumerate(rows):
            for j, utterance in enumerate(row):
                if not {(utterance, "text"), (utterance, "audio")} & set(absent):
                    found = torch.tensor(segments_of(utterance, tier), dtype=torch.float64)
                    times[i, j, : len(found)] = found
                    mask[i, j, : len(found)] = True
        extras |= {f"segments.{tier}": times, f"segments.{tier}.mask": mask}
    return extras


def _pad(
    rows: Sequence[Sequence[str]],
    turns: int,
    modality: str,
    garbage: float,
    more_time: int,
    absent: Collection[tuple[str, str]],
) -> tuple[Padded, Tensor]:
    arrays = {utterance: features(utterance, modality) for row in rows for utterance in row}
    time = max(len(array) for array in arrays.values()) + more_time
    data = torch.full((len(rows), turns, time, DIM), garbage)
    mask = torch.zeros(len(rows), turns, time, dtype=torch.bool)
    for i, row in enumerate(rows):
        for j, utterance in enumerate(row):
            if (utterance, modality) not in absent:
                data[i, j, : len(arrays[utterance])] = arrays[utterance]
                mask[i, j, : len(arrays[utterance])] = True
    return Padded(data, mask), mask.any(dim=-1)
