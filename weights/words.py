"""Train builtin:words-en and builtin:words-en-clean, measure them, and write their checkpoints and cards.

    make weights DATA=FOLDER

``DATA`` holds the releases of MELD and GoEmotions as ``merkit prepare`` reads them, in folders named ``meld`` and
``goemotions``. Settings are in ``words.toml``. The same settings and data give the same weights on the same machine;
vectors are kept below ``--features``, so that a stopped run resumes.
"""

import argparse
import json
import logging
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.data.corpus.manifest import content_hash
from merkit.io.checkpoint import CheckpointConfig, build_encoders, build_model, choose_encoders, save_checkpoint
from merkit.io.decision_rule import DecisionRule
from merkit.io.provenance import describe_environment
from merkit.io.trained_on import name_hash
from merkit.models.words import Words
from weights.head import Floats, fit_temperature
from weights.texts import Texts, Vectors, heard, read_texts, vectors_of, vocabulary_of
from weights.words_card import licence_of, words_card
from weights.words_figures import Scored, bars_missed, of_calls, of_several, of_single
from weights.words_head import Examples, alone, evidence, train

HERE = Path(__file__).parent
SHIPPED = HERE.parent / "src" / "merkit" / "weights"
MELD, GOEMOTIONS = "meld", "goemotions"
CORPORA = (MELD, GOEMOTIONS)

_log = logging.getLogger(__name__)


class Material:
    """Texts and vectors of both corpora, by corpus and split."""

    def __init__(self, settings: Mapping[str, Any], data: Path, features: Path) -> None:
        """Read both releases and compute all vectors.

        Raises:
            MerkitError: A release is missing or cannot be read.
        """
        self.choices = choose_encoders({"text": settings["encoder"]})
        self.encoder = build_encoders(self.choices, None, None)["text"]
        self.texts = {name: read_texts(name, data / name, settings["labels"], settings["emotions"]) for name in CORPORA}
        self._settings = settings
        self._features = features
        self._words = {name: vocabulary_of([self.texts[name]["train"]]) for name in CORPORA}

    def vectors(self, corpus: str, split: str, kind: str) -> Vectors:
        """Return vectors of texts ``written``, ``plain``, ``misheard`` (at one error rate), or ``heard N``."""
        texts, words, versions = self.texts[corpus][split], self._words[corpus], self._settings["versions"]
        if kind == "written":
            read = [utterance.text or "" for utterance in texts.utterances]
        else:
            rates = versions["error_rates"] if kind.startswith("heard") else [versions["measured_error_rate"]] * 2
            plain = {"plain": 1.0, "misheard": 0.0}.get(kind, versions["plain"])
            read = list(heard(texts, kind, words, tuple(rates), plain))
        _log.info("%s %s: vectors of %d texts, %s", corpus, split, len(read), kind)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._settings["bf16"]):
            return vectors_of(self.encoder, texts, kind, read, self._features)

    def examples(self, corpus: str) -> Examples:
        """Return the training texts of a corpus in all their versions."""
        kinds = ["written", *(f"heard {number}" for number in range(self._settings["versions"]["heard"][corpus]))]
        texts = self.texts[corpus]["train"]
        vectors = [self.vectors(corpus, "train", kind) for kind in kinds]
        return Examples(texts, vectors, texts.shares(len(self._settings["labels"])))


def make(settings: Mapping[str, Any], data: Path, features: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Train, measure and write each model's checkpoint below ``out``; return their provenance by name.

    Raises:
        MerkitError: A corpus is missing or cannot be read.
    """
    labels, spec = tuple(settings["labels"]), load("models", "words")
    config = spec.config(**settings["config"])
    material = Material(settings, data, features)
    examples = {name: material.examples(name) for name in CORPORA}
    made = {}
    for name, corpora in settings["models"].items():
        _log.info("training %s", name)
        torch.manual_seed(settings["seed"])
        encoders = build_encoders(material.choices, None, None)
        training = {corpus: examples[corpus] for corpus in corpora}
        encoders["text"].fit(own.vectors[0] for own in training.values())
        model = cast(Words, build_model(spec, config, encoders, len(labels)))
        generator = np.random.default_rng(settings["seed"])
        versions = settings["versions"]
        train(model, training, generator, written=versions["written"], **settings["training"])
        model = cast(Words, model.half().float())  # as it is stored
        priors = {corpus: examples[corpus].log_prior for corpus in CORPORA}
        temperature = fit_evidence(model, material, {corpus: priors[corpus] for corpus in corpora})
        rule = DecisionRule(**settings["decision_rule"])
        checkpoint = CheckpointConfig(
            spec, config, labels, material.choices, "-".join(corpora), temperature, rule, languages=("en",)
        )
        figures = measure(model, material, priors, temperature, labels)
        ids = sorted(name_hash(u.id) for own in training.values() for u in own.texts.utterances)
        provenance = {
            **describe_environment(),
            "command": "make weights",
            "settings": settings,
            "trained_on_corpora": corpora,
            "data": {corpus: _described(material.texts[corpus], corpus) for corpus in CORPORA},
            "encoders": {"text": dict(material.encoder.describe())},
            "temperature": temperature,
            "trained_on": {"utterances": " ".join(ids)},
            "figures": figures,
            "bars_missed": list(bars_missed(figures, settings["bars"].get(name, {}))),
        }
        shutil.rmtree(out / name, ignore_errors=True)
        save_checkpoint(out / name, model.half(), checkpoint, provenance, words_card(name, checkpoint, provenance))
        (out / name / "LICENSE").write_text(licence_of(name, corpora), encoding="utf-8")
        made[name] = provenance
    return made


def fit_evidence(model: Words, material: Material, priors: Mapping[str, Floats]) -> float:
    """Return the temperature of the evidence on the validation splits, as written and plain, corpora counting alike."""
    logits, labels, log_priors, weights = [], [], [], []
    for corpus, prior in priors.items():
        texts = material.texts[corpus]["dev"]
        rows = np.flatnonzero(texts.single)
        for kind in ("written", "plain"):
            logits.append(evidence(model, material.vectors(corpus, "dev", kind), texts.conversations)[rows])
            labels.append(np.array([min(texts.labels[row]) for row in rows]))
            log_priors.append(np.tile(prior, (len(rows), 1)))
            weights.append(np.full(len(rows), 1 / len(rows)))
    joined = [np.concatenate(each) for each in (logits, labels, weights, log_priors)]
    return fit_temperature(*joined)


def measure(
    model: Words, material: Material, priors: Mapping[str, Floats], temperature: float, labels: tuple[str, ...]
) -> dict[str, Any]:
    """Return the figures of the test splits."""
    texts = material.texts[MELD]["test"]
    written = material.vectors(MELD, "test", "written")
    meld = {
        kind: of_single(
            Scored.of(
                texts,
                evidence(model, written if vectors is None else vectors, conversations),
                temperature,
                priors[MELD],
            )
        )
        for kind, vectors, conversations in (
            ("written", None, texts.conversations),
            ("one turn alone", None, alone(texts)),
            ("plain", material.vectors(MELD, "test", "plain"), texts.conversations),
            ("misheard", material.vectors(MELD, "test", "misheard"), texts.conversations),
        )
    }
    logits = evidence(model, written, texts.conversations)
    calls = of_calls(texts, logits, temperature, priors[MELD], labels.index("neutral"))
    goemotions = {}
    for kind in ("written", "plain"):
        scored = {
            split: Scored.of(
                own := material.texts[GOEMOTIONS][split],
                evidence(model, material.vectors(GOEMOTIONS, split, kind), own.conversations),
                temperature,
                priors[GOEMOTIONS],
            )
            for split in ("dev", "test")
        }
        several = of_several(scored["test"], scored["dev"])
        goemotions[kind] = {**of_single(scored["test"]), "macro_f1_of_several": several}
    return {MELD: meld, "calls": calls, GOEMOTIONS: goemotions}


def _described(splits: Mapping[str, Texts], corpus: str) -> dict[str, Any]:
    """Return what the provenance says about a corpus."""
    spec = load("corpora", corpus)
    return {
        "texts": {split: len(own.utterances) for split, own in splits.items()},
        "adapter": f"{spec.name} {spec.version}",
        "licence": spec.licence or None,
        "sha256": content_hash([utterance for own in splits.values() for utterance in own.utterances]),
    }


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="make weights", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the releases, each in a folder of its own")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the checkpoints' folders are")
    parser.add_argument("--features", type=Path, default=Path("build/weights"), help="where vectors are kept")
    parser.add_argument("--settings", type=Path, default=HERE / "words.toml")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # sums of several threads have no fixed order
    try:
        made = make(tomllib.loads(options.settings.read_text()), options.data, options.features, options.out)
    except MerkitError as error:
        print(f"make weights: {error}", file=sys.stderr)
        return 2
    print(json.dumps({name: provenance["figures"] for name, provenance in made.items()}, indent=1))
    for name, provenance in made.items():
        for missed in provenance["bars_missed"]:
            print(f"{name} misses {missed}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
