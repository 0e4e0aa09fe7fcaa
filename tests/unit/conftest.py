"""Runs as `merkit train` leaves them, made up: predictions of a chosen skill, on a corpus without media."""

import errno
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tomli_w

from merkit.core import lookup
from merkit.core.types import Prediction, Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.evaluation.true_labels import true_labels
from merkit.io.predictions import predictions_table, write_table
from merkit.io.provenance import RUN_FORMAT

ENCODERS = {"text": {"name": "bert", "weights": "builtin:minilm", "frozen": True}}


@dataclass
class Corpus:
    manifest: Manifest
    protocol: object
    name: str


def make_corpus(folder, name="parley", conversations=30, turns=6):
    """A corpus of the protocol's classes: conversations for parley, clips of six speakers for nemo6."""
    spec = lookup.load("protocols", name)
    protocol = spec.build(spec.options(), True)
    generator = np.random.default_rng(0)
    utterances = []
    for number in range(conversations):
        for turn in range(turns):
            label = protocol.labels[min(int(generator.exponential(1.6)), len(protocol.labels) - 1)]
            attributes = {"emotion": label}
            conversation, place, speaker = f"c{number:03d}", turn, f"{'AB'[turn % 2]}{number % 3}"
            if name == "parley":
                attributes["split"] = ("train", "test", "valid")[number % 3]
            else:
                conversation, place, speaker = f"c{number:03d}t{turn}", 0, f"S{number % 6}"
                attributes["gender"] = ("female", "male")[number % 2]
            utterances.append(
                Utterance(
                    f"c{number:03d}_u{turn}", conversation, place, speaker, text=f"line {turn}", attributes=attributes
                )
            )
    return Corpus(write_manifest(folder, utterances, name=spec.corpus, version=1), protocol, name)


def predict(corpus, ids, skill, generator):
    """Predictions that are correct the more often the higher the skill."""
    labels_of = true_labels(corpus.protocol, corpus.manifest.utterances)
    found = []
    for id_ in ids:
        scores = generator.normal(size=len(corpus.protocol.labels))
        scores[labels_of[id_]] += skill
        p = np.exp(scores) / np.exp(scores).sum()
        labels = corpus.protocol.labels
        found.append(
            Prediction(
                id_, labels[int(p.argmax())], dict(zip(labels, p.tolist(), strict=True)), float(p.max()), ("text",)
            )
        )
    return found


def make_run(
    path,
    corpus,
    model="single",
    skill=1.5,
    seeds=(0, 1),
    epochs=6,
    by_epoch=False,
    selection="best_valid",
    logged=lambda seed, epoch: {},
    encoders=ENCODERS,
):
    """A whole run folder; ``logged`` returns what the model logs after an epoch."""
    labels = corpus.protocol.labels
    path.mkdir(parents=True)
    (path / "recipe.toml").write_text(
        tomli_w.dumps({"model": model, "protocol": corpus.name, "seeds": len(seeds), "encoders": encoders})
    )
    provenance = {
        "format": RUN_FORMAT,
        "merkit": "0.1.0",
        "versions": {"torch": "2.13.0", "numpy": "2.4.6", "opensmile": None},
        "commit": "0123456789abcdef",
        "machine": {"system": "Linux x86_64", "cores": 2, "threads": 1, "accelerators": []},
        "command": f"merkit train recipes/{model}/{corpus.name}.toml --data DATA",
        "data": {
            "path": str(corpus.manifest.root),
            "corpus": corpus.manifest.info.name,
            "corpus_version": 1,
            "sha256": corpus.manifest.sha256,
            "partial": True,
            "counts": dict(corpus.manifest.info.counts),
        },
        "recipe_sha256": "ab" * 32,
        "started": "2026-01-02T03:04:05+00:00",
        "encoders": {"text": {"weights": "builtin:minilm", "revision": "0.1.0", "trained": False}},
        "weights_note": "",
    }
    (path / "provenance.json").write_text(json.dumps(provenance))
    for seed in seeds:
        for number, fold in enumerate(corpus.protocol.folds(corpus.manifest.utterances, seed)):
            generator = np.random.default_rng([seed, number, int(skill * 100)])
            folder = path / f"fold-{fold.name}" / f"seed-{seed}"
            folder.mkdir(parents=True)
            parts = {"train": fold.train, "valid": fold.valid, "test": fold.test}
            tables = [
                predictions_table(predict(corpus, ids, skill + (part == "train"), generator), labels, split=part)
                for part, ids in parts.items()
            ]
            write_table(
                folder / "predictions.parquet", pa.concat_tables(tables), {"epoch": "4", "selection": selection}
            )
            curve = 1 - np.exp(-np.arange(1, epochs + 1) / 3)
            if by_epoch:
                tables = [
                    predictions_table(predict(corpus, fold.test, skill * c, generator), labels, epoch=epoch)
                    for epoch, c in enumerate(curve, start=1)
                ]
                write_table(folder / "predictions-by-epoch.parquet", pa.concat_tables(tables))
            rows = [
                {
                    "epoch": epoch,
                    "seconds": 1.5,
                    "loss": {"total": 1.5 - c + 0.05 * generator.random(), "classification": 1.5 - c},
                    "learning_rate": {"head": 1e-3},
                    "valid": {name: 0.3 + 0.4 * c + 0.03 * generator.random() for name in corpus.protocol.metrics},
                    "model": logged(seed, epoch),
                }
                for epoch, c in enumerate(curve, start=1)
            ]
            (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            cell = {
                "fold": fold.name,
                "seed": seed,
                "epoch": min(4, epochs),
                "epochs_run": epochs,
                "selection": selection,
                "seconds": 12.5,
                "peak_memory_bytes": 2**29 + number,
                "parameters": 1_234_567,
                "trainable_parameters": 34_567,
                "key": "k",
            }
            (folder / "cell.json").write_text(json.dumps(cell))
    return path


@pytest.fixture
def parley(tmp_path):
    return make_corpus(tmp_path / "parley")


@pytest.fixture
def nemo(tmp_path):
    return make_corpus(tmp_path / "nemo", "nemo6", conversations=24, turns=8)


@pytest.fixture(name="make_run")
def make_run_fixture():
    return make_run


@pytest.fixture
def change_predictions():
    """Rewrite a cell's stored predictions with a change made to their table."""

    def change(folder: Path, how, file="predictions.parquet"):
        path = folder / file
        write_table(path, how(sys.modules["pyarrow.parquet"].read_table(path)))

    return change


@pytest.fixture(params=[errno.EPERM, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_hard_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links, in the two ways in which they refuse them (FAT, some network shares)."""

    def refuse(*paths: Path) -> None:
        raise OSError(request.param, os.strerror(request.param), *map(str, paths[:1]))

    monkeypatch.setattr(os, "link", refuse)
