"""The cases whose results the authors' released code fixed: configurations, and weights and inputs drawn by seed.

Every number is drawn by ``numpy.random.RandomState(crc32(name) + seed)``, a stream that NumPy keeps frozen, so both
sides can be given the same weights and inputs without storing them. The name of a parameter is part of its seed: when
one is renamed, map the new name to the old one in ``draw_weights``.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from merkit.core.batch import Batch, Padded
from merkit.core.encoder import Array, Encoder
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.core.types import Turn
from merkit.nn.losses import IGNORED, build_criterion

FloatArray = npt.NDArray[np.float64]

TURNS = (7, 4, 1, 9)
"""Turns of the conversations of a batch."""
DIMS = {"text": 12, "audio": 10, "video": 8}

_ADA2I = {
    "profile": "released",
    "hidden_size": 16,
    "rank": 3,
    "beta": 0.55,
    "alpha": 0.42,
    "dropout": 0.0,
    "noise": "none",
    "modulation_start": 1,
}
_SDT = {"dim": 16, "heads": 4, "dropout": 0.0}


@dataclass(frozen=True)
class Case:
    """One configuration of a model on one batch."""

    model: str
    seed: int
    classes: int
    config: Mapping[str, Any]
    dims: Mapping[str, int] = field(default_factory=lambda: DIMS)
    lengths: Mapping[str, tuple[int, ...]] | tuple[int, ...] = TURNS
    """Turns by conversation; of a model of utterances, positions by modality and utterance."""
    scale: float = 1.0
    """Of the weights."""
    speakers: int = 1
    labels: tuple[int, ...] | None = None
    """Of utterances; those of turns are drawn."""
    texts: tuple[str, ...] = ()
    tanh_gelu: bool = False
    """Whether GELU is replaced by its tanh approximation, which the released code has and merkit has not."""


CASES: Mapping[str, Case] = {
    "ada2i": Case("ada2i", 3, 4, _ADA2I, scale=0.5),
    "ada2i_text_audio": Case("ada2i", 4, 4, _ADA2I, dims={"text": 12, "audio": 10}, scale=0.5),
    "ada2i_lstm": Case("ada2i", 3, 4, {**_ADA2I, "encoder": "lstm"}),
    "sdt_iemocap": Case(
        "sdt", 5, 6, {**_SDT, "speakers": 2, "temperature": 1.0, "gate": "learned"}, speakers=2, tanh_gelu=True
    ),
    "sdt_meld": Case(
        "sdt", 6, 7, {**_SDT, "speakers": 9, "temperature": 8.0, "gate": "identity"}, speakers=9, tanh_gelu=True
    ),
    "dialogue_rnn": Case(
        "dialogue_rnn",
        7,
        6,
        {
            "layer_norm": False,
            "global_dim": 9,
            "party_dim": 8,
            "emotion_dim": 6,
            "dense": 10,
            "dropout": 0.0,
            "recurrent_dropout": 0.0,
        },
        dims={"text": 12, "audio": 5},
        speakers=3,
    ),
    "mmer": Case(
        "mmer",
        11,
        4,
        {"profile": "released", "heads": 4, "dropout": 0.0},
        dims={"text": 24, "audio": 24},
        lengths={"text": (5, 9, 3, 7), "audio": (30, 41, 22, 37)},
        scale=0.7,
        labels=(0, 1, 0, 3),
        texts=("OH NO {LG}", "I AM NOT ANGRY", "WELL", "THAT'S IT"),
    ),
}


class Given(Encoder):
    """Returns what it is given, in any precision."""

    def __init__(self, modality: str, dim: int) -> None:
        super().__init__()
        self.modality, self.dim = modality, dim

    def fingerprint(self) -> Mapping[str, Any]:
        """Return nothing: its inputs are given."""
        return {}

    def content(self, turn: Turn) -> None:
        """Return ``None``: it reads no turn."""
        return

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        """Return nothing."""
        return []

    def blank(self) -> Array:
        """Return zeros."""
        return np.zeros((1, self.dim), dtype=np.float32)

    def describe(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def forward(self, padded: Padded) -> Padded:
        """Return the input."""
        return padded


def draw(name: str, shape: Sequence[int], seed: int) -> FloatArray:
    """Return standard normal numbers that depend on the name and the seed alone."""
    return np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32).standard_normal(tuple(shape))


def probe(name: str, shape: Sequence[int]) -> Tensor:
    """Return the fixed direction along which a parameter's gradient is measured."""
    return torch.from_numpy(draw("probe." + name, shape, 0))


def build(case: Case) -> Model:
    """Return the model in float64 and evaluation mode, with drawn weights."""
    spec = load("models", case.model)
    encoders = {name: Given(name, dim) for name, dim in case.dims.items()}
    model: Model = spec.build(encoders, case.classes, spec.config(**case.config))
    model.criterion = build_criterion("cross_entropy", [1] * case.classes)
    model = model.double().eval()
    draw_weights(model, case)
    return model


@torch.no_grad()
def draw_weights(model: nn.Module, case: Case) -> None:
    """Draw matrices from N(0, scale^2 / columns), gains of norms from 1 + 0.1 N, everything else from 0.1 N.

    The biases of the factors of Ada2I's feature weighting are N(0, 1): products of twelve small factors would vanish.
    """
    for name, parameter in model.named_parameters():
        drawn = draw(name, parameter.shape, case.seed)
        if parameter.ndim > 1:
            drawn = drawn * case.scale / np.sqrt(parameter.shape[-1])
        elif "norm" in name and name.endswith("weight"):
            drawn = 1.0 + 0.1 * drawn
        elif ".factors." not in name:
            drawn = 0.1 * drawn
        parameter.copy_(torch.from_numpy(drawn))
        if name == "speakers.table.weight":
            parameter[-1] = 0.0  # the row of padding
    if case.tanh_gelu:
        for module in model.modules():
            if isinstance(module, nn.GELU):
                module.approximate = "tanh"


def batch_of(case: Case) -> Batch:
    """Return the case's batch in float64, with zeros where it is padded (the released code reads some of them)."""
    return _utterances(case) if case.labels is not None else _conversations(case)


def _conversations(case: Case) -> Batch:
    assert isinstance(case.lengths, tuple)
    shape = (len(case.lengths), max(case.lengths))
    labels = np.full(shape, IGNORED)
    speakers = np.zeros(shape, dtype=np.int64)
    for item, turns in enumerate(case.lengths):
        labels[item, :turns] = np.random.RandomState(case.seed + item).randint(0, case.classes, turns)
        drawn = np.random.RandomState(case.seed + 100 + item).randint(0, case.speakers, turns).tolist()
        by_appearance = {speaker: number for number, speaker in enumerate(dict.fromkeys(drawn))}
        speakers[item, :turns] = [by_appearance[speaker] for speaker in drawn]
    mask = torch.from_numpy(labels) != IGNORED
    inputs = {name: _drawn(f"input.{name}", case.lengths, dim, case.seed) for name, dim in case.dims.items()}
    return Batch(
        ids=tuple(map(str, range(int(mask.sum())))),
        mask=mask,
        present=dict.fromkeys(case.dims, mask),
        inputs={name: Padded(data.unsqueeze(2), mask.unsqueeze(2)) for name, data in inputs.items()},
        speakers=torch.from_numpy(speakers),
        labels=torch.from_numpy(labels),
    )


def _utterances(case: Case, kind: str = "") -> Batch:
    assert isinstance(case.lengths, Mapping)
    real = torch.ones(len(case.labels or ()), dtype=torch.bool)
    inputs = {}
    for name, lengths in case.lengths.items():
        data = _drawn(f"{kind}input.{name}", lengths, case.dims[name], case.seed)
        inputs[name] = Padded(data, torch.arange(data.shape[1]) < torch.tensor(lengths).unsqueeze(1))
    augmented = bool(kind)
    return Batch(
        ids=tuple(map(str, range(len(real)))),
        mask=real,
        present=dict.fromkeys(case.dims, real),
        inputs=inputs,
        speakers=torch.zeros(len(real), dtype=torch.long),
        labels=None if augmented else torch.tensor(case.labels),
        texts=() if augmented else case.texts,
        view=None if augmented else _utterances(case, "view."),
    )


def _drawn(name: str, lengths: Sequence[int], dim: int, seed: int) -> Tensor:
    data = draw(name, (len(lengths), max(lengths), dim), seed)
    for item, length in enumerate(lengths):
        data[item, length:] = 0.0
    return torch.from_numpy(data)
