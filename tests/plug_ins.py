"""Plug-ins outside merkit: a model, an encoder, a corpus and a protocol, as files or as an installed package."""

import textwrap
from pathlib import Path

MODEL = '''
"""A linear model of mean vectors."""

import torch
from torch import nn

from merkit.core.batch import ModelOutput
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.nn.layers import PooledUtterance


class Config(ModelConfig):
    scale: float = 1.0


class Linear(Model):
    """A linear layer on the means of all modalities."""

    def __init__(self, encoders, classes, config):
        super().__init__(encoders)
        self.scale = config.scale
        self.pooled = nn.ModuleDict({name: PooledUtterance(encoder.dim) for name, encoder in encoders.items()})
        self.head = nn.Linear(sum(encoder.dim for encoder in encoders.values()), classes)

    def forward(self, batch):
        vectors = []
        for name, encoder in self.encoders.items():
            frames = encoder(batch.inputs[name])
            vectors.append(self.pooled[name](frames.data, frames.mask, batch.present[name]))
        return ModelOutput(self.scale * self.head(torch.cat(vectors, dim=-1)), {})


SPEC = ModelSpec(
    name="NAME",
    summary="a linear layer on mean vectors",
    level="utterance",
    config=Config,
    build=Linear,
)
'''

ENCODER = '''
"""Counts of letters, a vector for each word."""

import hashlib

import numpy as np
from torch import nn

from merkit.core.batch import Padded
from merkit.core.encoder import Encoder, EncoderConfig, EncoderSpec


class Config(EncoderConfig):
    letters: str = "abcdefgh"


class Letters(Encoder):
    modality = "text"

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.dim = len(config.letters) + 1

    def fingerprint(self):
        return {"encoder": "NAME", "version": 1, "letters": self.config.letters}

    def content(self, turn):
        text = turn.utterance.text
        return None if text is None else hashlib.blake2b(text.encode()).hexdigest()

    def extract(self, turns):
        return [self._rows(turn.utterance.text) for turn in turns]

    def _rows(self, text):
        words = text.split() or [""]
        return np.array([[len(w), *(w.count(c) for c in self.config.letters)] for w in words], dtype=np.float32)

    def blank(self):
        return np.zeros((1, self.dim), dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        return padded

    def describe(self):
        return {"encoder": "NAME"}


SPEC = EncoderSpec(
    name="NAME",
    modalities=("text",),
    summary="counts of letters",
    config=Config,
    build=lambda config, modality, home: Letters(config),
)
'''

CORPUS = '''
"""Made-up sentences: a file ``sentences.txt`` with a label, a tab and words on each line."""

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.errors import ManifestError
from merkit.core.types import Utterance

SPLITS = ("train", "train", "train", "valid", "test")


def read(raw, options):
    path = raw / "sentences.txt"
    if not path.exists():
        raise ManifestError(f"{path} is missing: give the folder of the release")
    utterances = []
    for number, line in enumerate(path.read_text().splitlines()):
        label, text = line.split("\\t")
        attributes = {"label": label, "split": SPLITS[number // 2 % len(SPLITS)]}
        conversation = f"c{number // 2}"
        speaker = f"s{number // 2 % len(SPLITS)}"
        utterances.append(Utterance(f"u{number}", conversation, number % 2, speaker, text, attributes=attributes))
    return RawCorpus(utterances)


def example(folder):
    words = ("glad day", "sad night", "happy bird", "bad rain")
    lines = [f"{'up' if n % 2 else 'down'}\\t{words[n % 4]}" for n in range(40)]
    (folder / "sentences.txt").write_text("\\n".join(lines))


SPEC = CorpusSpec(
    name="NAME", version=1, summary="made-up sentences", options=CorpusOptions, read=read, example=example
)
'''

PROTOCOL = '''
"""Labels and splits that stand in the table."""

from merkit.core.protocol import Fold, Protocol, ProtocolOptions, ProtocolSpec
from merkit.core.types import Utterance


class Sentences(Protocol):
    """One fold, as the table says."""

    labels = ("down", "up")
    metrics = ("accuracy",)

    def label(self, utterance):
        return utterance.attributes["label"]

    def folds(self, utterances, seed):
        def ids(split):
            return [u for u in utterances if u.attributes["split"] == split]

        def numbers(split):
            return {u.id: self.labels.index(self.label(u)) for u in ids(split)}

        return [Fold("all", numbers("train"), numbers("valid"), tuple(u.id for u in ids("test")))]


def example():
    return [
        Utterance(f"u{n}", f"c{n}", 0, f"s{n % 3}", attributes={"label": ("down", "up")[n // 3 % 2], "split": split})
        for n, split in enumerate(("train", "valid", "test") * 4)
    ]


SPEC = ProtocolSpec(
    name="NAME",
    summary="two labels, the table's splits",
    corpus=None,
    options=ProtocolOptions,
    build=lambda options, allow_partial: Sentences(),
    example=example,
)
'''

SOURCES = {"models": MODEL, "encoders": ENCODER, "corpora": CORPUS, "protocols": PROTOCOL}


def write_file(folder: Path, kind: str, name: str) -> Path:
    """Write a plug-in as a file of a user and return its path."""
    path = folder / f"{name}.py"
    path.write_text(SOURCES[kind].replace("NAME", name.replace("_", "-") if kind == "protocols" else name))
    return path


def write_package(folder: Path, package: str, entries: dict[str, str]) -> Path:
    """Lay an installed package into a folder as pip would; ``entries`` hold by kind the name of a plug-in."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    groups = []
    for kind, name in entries.items():
        module = name.replace("-", "_")
        write_file(folder / package, kind, module)
        groups.append(f"[merkit.{kind}]\n{name} = {package}.{module}\n")
    information = folder / f"{package}-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text(textwrap.dedent("\n".join(groups)))
    return folder
