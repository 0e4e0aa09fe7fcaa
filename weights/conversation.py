"""Write builtin:conversation-en, which joins builtin:words-en and builtin:voice, and measure its rule on MELD.

    make weights DATA=FOLDER

``DATA`` holds MELD in a folder ``meld``, with the Praat measures beside its annotations. Settings are in
``conversation.toml``. Both models must be there already.
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
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.data.files import atomic_path
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.io.checkpoint import load_checkpoint
from merkit.io.joined import JoinedCheckpoint, joined_values
from merkit.io.provenance import describe_environment
from merkit.metrics.intervals import percentile_interval, resampled_sums
from merkit.models.words import Words
from merkit.weights.models import built_in_model
from weights.tables import number, table
from weights.texts import Texts
from weights.words import HERE, MELD, SHIPPED, Material
from weights.words_head import evidence, log_shares

Floats = npt.NDArray[np.float64]
NAME = "conversation-en"


def make(settings: Mapping[str, Any], material: Material, data: Path, out: Path) -> dict[str, Any]:
    """Write the checkpoint ``out``; return its provenance.

    Raises:
        MerkitError: A model or MELD's Praat measures are missing.
    """
    models = {part: built_in_model(settings[part]) for part in ("words", "voice")}
    sources = {part: {"checkpoint": settings[part], "hash": checkpoint_hash(at)} for part, at in models.items()}
    rule = {key: settings[key] for key in ("weight", "shares", "unsure_below")}
    values = joined_values(**sources, **rule)
    figures = measure(JoinedCheckpoint(**values), settings, material, data, models["words"])
    provenance = {
        **describe_environment(),
        "command": "make weights",
        "settings": settings,
        "published_features": [],
        "figures": figures,
    }
    shutil.rmtree(out, ignore_errors=True)
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
        (folder / "provenance.json").write_text(json.dumps(provenance, indent=2), encoding="utf-8")
        (folder / "README.md").write_text(card(settings, figures), encoding="utf-8")
    return provenance


def measure(
    joined: JoinedCheckpoint, settings: Mapping[str, Any], material: Material, data: Path, folder: Path
) -> dict[str, Any]:
    """Return how much prosody adds to the words on MELD's test split, as written and in plain text.

    The weight of this prosody is fitted on the dev split in the same condition; the shipped weight stands beside.
    """
    model, config = load_checkpoint(folder)
    train = material.texts[MELD]["train"]
    log_prior = log_shares(train.shares(len(config.labels)))
    arousal = prosodic_arousal(material, data, config.labels, joined.shares, settings["least_utterances"])
    shares = np.array([joined.shares.get(label, 0.0) for label in config.labels])

    def words(split: str, kind: str) -> Floats:
        texts = material.texts[MELD][split]
        found = evidence(cast(Words, model), material.vectors(MELD, split, kind), texts.conversations)
        return np.asarray(found / config.temperature + log_prior)

    def fit(logits: Floats) -> float:
        truth = _labels(material.texts[MELD]["dev"])

        def loss(weight: float) -> float:
            p = softmax(logits + weight * arousal["dev"][:, None] * shares, axis=1)
            return -float(np.log(p[np.arange(len(truth)), truth]).mean())

        return float(minimize_scalar(loss, bounds=(0.0, 5.0), method="bounded").x)

    texts = material.texts[MELD]["test"]
    labels, names = _labels(texts), [utterance.conversation for utterance in texts.utterances]
    dialogues = np.unique(names, return_inverse=True)[1]
    figures: dict[str, Any] = {}
    for kind in ("written", "plain"):
        logits, fitted = words("test", kind), fit(words("dev", kind))
        right = {"words": logits.argmax(axis=1) == labels}
        for name, weight in (("fitted", fitted), ("shipped", joined.weight)):
            right[name] = (logits + weight * arousal["test"][:, None] * shares).argmax(axis=1) == labels
        figures[kind] = {"words": float(right["words"].mean()), "fitted_weight": fitted} | {
            name: {
                "accuracy": float(right[name].mean()),
                "gain": float(right[name].mean() - right["words"].mean()),
                "interval": _interval(right[name].astype(float) - right["words"], dialogues),
            }
            for name in ("fitted", "shipped")
        }
    return figures


def prosodic_arousal(
    material: Material, data: Path, labels: tuple[str, ...], shares: Mapping[str, float], least: int
) -> dict[str, Floats]:
    """Return the log odds of high arousal by split, fitted on the training split; 0 for speakers of few utterances.

    Raises:
        MerkitError: MELD has no Praat measures beside its annotations.
    """
    spec = load("corpora", MELD)
    found = spec.read(data / MELD, spec.options()).features
    if not found:
        raise MerkitError(f"{data / MELD}: no praat_train.csv, praat_dev.csv and praat_test.csv beside the annotations")
    measures = {id_: np.asarray(array, dtype=np.float64).reshape(-1) for id_, array in found[0].arrays.items()}
    missing = np.full(len(next(iter(measures.values()))), np.nan)
    sides = np.array([shares.get(label, 0.0) for label in labels])
    relative, known = {}, {}
    for split, texts in material.texts[MELD].items():
        rows = np.stack([measures.get(utterance.id, missing) for utterance in texts.utterances])
        relative[split], known[split] = _relative(rows, [u.speaker for u in texts.utterances], least)
    side = sides[_labels(material.texts[MELD]["train"])]
    used = known["train"] & (side != 0)
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(relative["train"][used], side[used] > 0)
    return {split: np.where(known[split], model.decision_function(rows), 0.0) for split, rows in relative.items()}


def _relative(rows: Floats, speakers: list[str], least: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return measures relative to their speaker's, 0 where undefined, and which speakers have enough utterances."""
    names = np.array(speakers)
    relative, known = np.zeros_like(rows), np.zeros(len(rows), dtype=bool)
    for name in np.unique(names):
        own = names == name
        if own.sum() < least:
            continue
        known[own] = True
        mean, std = np.nanmean(rows[own], axis=0), np.nanstd(rows[own], axis=0)
        relative[own] = np.nan_to_num((rows[own] - mean) / np.maximum(std, 1e-9))
    return relative, known


def _labels(texts: Texts) -> npt.NDArray[np.int64]:
    return np.array([min(own) for own in texts.labels])


def _interval(gains: Floats, groups: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the interval of a mean, 95 %, by bootstrap over groups."""
    sums, counts = np.bincount(groups, gains), np.bincount(groups)
    drawn_sums, drawn_counts = resampled_sums(sums, counts)
    return percentile_interval(drawn_sums / drawn_counts)


def card(settings: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return the checkpoint's ``README.md``."""
    shares = ", ".join(f"{label} {value:+g}" for label, value in settings["shares"].items())
    example = 0.7 * float(np.log(4.0)) * 0.5
    rows = [
        [
            {"written": "as written", "plain": "plain text"}[kind],
            number(figures[kind]["words"]),
            f"{_gain(figures[kind]['fitted'])}, g = {figures[kind]['fitted_weight']:.2f}",
            _gain(figures[kind]["shipped"]),
        ]
        for kind in ("written", "plain")
    ]
    lines = [
        "# builtin:conversation-en",
        "",
        "What is said and how: `builtin:words-en` and `builtin:voice` together, each also shown alone. It is what `merkit "
        "analyze` uses where no checkpoint is named.",
        "",
        "```",
        "merkit analyze call.wav",
        "```",
        "",
        "## What it says",
        "",
        "* log p(label) = log p(label by the words) + g · a · s(label), where a is the log odds of the voice's arousal relative to "
        f"the speaker's own average, g = {settings['weight']:g}, and s is {shares}; 0 for fear, disgust and surprise, which rest on "
        f"the words alone. An arousal of 80 % multiplies happy and angry by {np.exp(example):.2f} and divides neutral and sad by it.",
        "* Where a speaker has fewer than 5 utterances, or 10 s, the words answer alone. Where there are no words, the voice does.",
        f"* Unsure, without a label, below a probability of {settings['unsure_below']:g}.",
        "* Labels and prior are those of `builtin:words-en`; `--labels` and `--prior` change both models.",
        "",
        "## What it cannot do",
        "",
        f"* **g = {settings['weight']:g} for this voice model is a guess.** No open corpus at hand has words and sound of the same real "
        "speech with labels, so that the joined probabilities are not calibrated, and no figure says how good both together are.",
        "* English alone: words that are known to be in another language say nothing, and the voice answers without them.",
        "* All limits of `builtin:words-en` and `builtin:voice`, which their cards name.",
        "",
        "## How well",
        "",
        "The rule on MELD, with eight measures by Praat in the voice's place, relative to the speaker's own over the split: a weak "
        "stand-in. Accuracy of the words alone, and its change with a weight fitted on the dev split in the same condition and with the "
        "shipped one, in points [95 % interval, bootstrap over dialogues]:",
        "",
        *table(["", "words alone", "fitted weight", "shipped weight"], rows),
        "",
        "## Licence",
        "",
        "It has no weights of its own. Those of the two are under the licences that their cards name: not for commercial use.",
        "",
    ]
    return "\n".join(lines)


def _gain(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['gain']:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="make weights", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the releases, each in a folder of its own")
    parser.add_argument("--out", type=Path, default=SHIPPED / NAME, help="the checkpoint's folder")
    parser.add_argument("--features", type=Path, default=Path("build/weights"), help="where vectors are kept")
    parser.add_argument("--settings", type=Path, default=HERE / "conversation.toml")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # sums of several threads have no fixed order
    try:
        words = tomllib.loads((HERE / "words.toml").read_text())
        material = Material(words, options.data, options.features)
        made = make(tomllib.loads(options.settings.read_text()), material, options.data, options.out)
    except MerkitError as error:
        print(f"make weights: {error}", file=sys.stderr)
        return 2
    print(json.dumps(made["figures"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
