"""Train builtin:voice, measure it on corpora that it was not trained on, and write its checkpoint and card.

    make weights DATA=FOLDER

``DATA`` holds the releases of RAVDESS, nEMO, EMO-DB and EMOVO as ``merkit prepare`` reads them, in folders named
``ravdess``, ``nemo``, ``emodb`` and ``emovo``. Settings are in ``voice.toml``. The same settings and data give the same
weights on the same machine; vectors are kept below ``--features``, so that a stopped run resumes.
"""

import argparse
import json
import logging
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.data.corpus.manifest import content_hash
from merkit.io.checkpoint import CheckpointConfig, build_encoders, build_model, choose_encoders, save_checkpoint
from merkit.io.decision_rule import DecisionRule
from merkit.io.provenance import describe_environment
from merkit.io.trained_on import name_hash
from weights.card import LICENCE, voice_card
from weights.figures import Measured, figures_of
from weights.head import Examples, Head, balanced_weights, fit_head, fit_temperature, random_references
from weights.vectors import DAMAGE, LOUDNESS, Clips, Vectors, read_clips, vectors_of

HERE = Path(__file__).parent
SHIPPED = HERE.parent / "src" / "merkit" / "weights" / "voice"
_SIDES = {"low": 0.0, "high": 1.0, "neither": np.nan}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """Clips of a corpus with their vectors; ``None`` as they are, otherwise by kind of damage."""

    clips: Clips
    vectors: Mapping[str | None, Vectors]


def make(settings: Mapping[str, Any], data: Path, features: Path, out: Path) -> dict[str, Any]:
    """Train, measure and write the checkpoint ``out``; return its provenance.

    Raises:
        MerkitError: A corpus is missing or cannot be read.
    """
    labels = settings["labels"]
    sides = np.array([_SIDES[side] for side in settings["arousal"]])
    spec = load("models", "voice")
    choices = choose_encoders({"audio": settings["encoder"]})
    encoder = build_encoders(choices, None, None)["audio"]
    kinds = {"training": (None, *DAMAGE), "unseen": (None, *DAMAGE, *LOUDNESS)}
    read = {  # all of them before the first vector, so that a missing corpus costs no time
        name: (read_clips(name, data / name, labels, settings["emotions"]), kinds[role])
        for role in kinds
        for name in settings["corpora"][role]
    }
    corpora = {}
    for name, (clips, wanted) in read.items():
        vectors = {}
        for kind in wanted:
            _log.info("%s: vectors of %d clips%s", name, len(clips.utterances), f", {kind}" if kind else "")
            vectors[kind] = vectors_of(encoder, clips, features, kind)
        corpora[name] = Corpus(clips, vectors)
    training = {name: corpora[name] for name in settings["corpora"]["training"]}

    head = train(training, settings, sides)
    _log.info("fitting the temperatures on held-out corpora")
    temperature, arousal_temperature = fit_temperatures(training, settings, sides)

    model = build_model(
        spec, config := spec.config(arousal=tuple(settings["arousal"])), {"audio": encoder}, len(labels)
    )
    fill(model, head, arousal_temperature)
    rule = DecisionRule(**settings["decision_rule"])
    checkpoint = CheckpointConfig(spec, config, tuple(labels), choices, "-".join(training), temperature, rule)
    figures = {}
    for name in settings["corpora"]["unseen"]:
        measured = Measured(corpora[name].clips, corpora[name].vectors, head, temperature, arousal_temperature)
        figures[name] = figures_of(measured, labels, sides, rule, settings["seed"])
    provenance = {
        **describe_environment(),
        "command": "make weights",
        "settings": settings,
        "data": {name: _described(corpus.clips) for name, corpus in corpora.items()},
        "encoders": {"audio": dict(encoder.describe())},
        "temperatures": {"labels": temperature, "arousal": arousal_temperature},
        "trained_on": {
            "utterances": " ".join(sorted(name_hash(u.id) for c in training.values() for u in c.clips.utterances))
        },
        "figures": figures,
    }
    shutil.rmtree(out, ignore_errors=True)
    save_checkpoint(out, model, checkpoint, provenance, voice_card(checkpoint, provenance))
    (out / "LICENSE").write_text(LICENCE, encoding="utf-8")
    return provenance


def train(training: Mapping[str, Corpus], settings: Mapping[str, Any], sides: npt.NDArray[np.float64]) -> Head:
    """Fit the head on the training corpora with random references and damaged copies."""
    references, generator = settings["references"], np.random.default_rng(settings["seed"])
    training_mean = np.mean([corpus.vectors[None].mean(axis=0) for corpus in training.values()], axis=0)
    rows, labels, numbers = [], [], []
    for number, corpus in enumerate(training.values()):
        for kind in [None, *DAMAGE]:
            copies = references["copies" if kind is None else "damaged_copies"]
            vectors, classes = random_references(
                corpus.vectors[kind],
                corpus.clips,
                training_mean,
                generator,
                copies=copies,
                fewest=references["fewest"],
                most=references["most"],
            )
            rows.append(vectors.astype(np.float32))
            labels.append(classes)
            numbers.append(np.full(len(classes), number))
    examples = Examples(np.concatenate(rows), np.concatenate(labels), np.concatenate(numbers))
    return fit_head(examples, len(settings["labels"]), sides, training_mean, **settings["fit"])


def fit_temperatures(
    training: Mapping[str, Corpus], settings: Mapping[str, Any], sides: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Return the temperatures of labels and of arousal, each training corpus scored by a head that has not heard it.

    So a head of fewer corpora stands for the shipped one, and the labels that both have for all. On held-out speakers
    of corpora that the head has heard, temperatures are half as large: those fit nobody else's recordings.
    """
    logits, arousal, labels, numbers = [], [], [], []
    for number, (name, corpus) in enumerate(training.items()):
        others = {other: kept for other, kept in training.items() if other != name}
        head = train(others, settings, sides)
        scored = Measured(corpus.clips, corpus.vectors, head, 1.0, 1.0).score(lambda own: [own])
        known = {label for kept in others.values() for label in kept.clips.labels_present}
        shared = [label for label in corpus.clips.labels_present if label in known]
        truth = corpus.clips.labels[scored.clips]
        rows = np.isin(truth, shared)
        left_out = np.isin(np.arange(len(settings["labels"])), shared, invert=True)
        logits.append(np.where(left_out, -np.inf, scored.logits)[rows])
        arousal.append(scored.arousal[rows])
        labels.append(truth[rows])
        numbers.append(np.full(rows.sum(), number))
    truth, corpora = np.concatenate(labels), np.concatenate(numbers)
    side = sides[truth]
    has_side = ~np.isnan(side)
    low_high = np.stack([np.zeros(len(truth)), np.concatenate(arousal)], axis=1)[has_side]
    by_side = balanced_weights([corpora[has_side], side[has_side], truth[has_side]])
    return (
        fit_temperature(np.concatenate(logits), truth, balanced_weights([corpora, truth])),
        fit_temperature(low_high, side[has_side].astype(np.int64), by_side),
    )


def fill(model: Model, head: Head, arousal_temperature: float) -> None:
    """Write a head into a model of the kind ``voice`` and its encoder, arousal divided by its temperature."""
    state = {
        "head.weight": head.weight.T,
        "head.bias": head.bias,
        "arousal.weight": head.arousal_weight[None] / arousal_temperature,
        "arousal.bias": np.array([head.arousal_bias / arousal_temperature]),
        "encoders.audio.average": head.training_mean,
    }
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(a)).float() for name, a in state.items()})


def _described(clips: Clips) -> dict[str, Any]:
    """Return what the provenance says about a corpus."""
    spec = load("corpora", clips.corpus)
    return {
        "clips": len(clips.utterances),
        "labelled": int((clips.labels >= 0).sum()),
        "speakers": len(np.unique(clips.speakers)),
        "adapter": f"{spec.name} {spec.version}",
        "licence": spec.licence or None,
        "sha256": content_hash(clips.utterances),
    }


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="make weights", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the releases, each in a folder of its own")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the checkpoint's folder")
    parser.add_argument("--features", type=Path, default=Path("build/weights"), help="where vectors are kept")
    parser.add_argument("--settings", type=Path, default=HERE / "voice.toml")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # sums of several threads have no fixed order
    try:
        provenance = make(tomllib.loads(options.settings.read_text()), options.data, options.features, options.out)
    except MerkitError as error:
        print(f"make weights: {error}", file=sys.stderr)
        return 2
    print(json.dumps(provenance["figures"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
