"""A small corpus that needs no media: conversations with texts and published sound vectors that tell the label."""

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from merkit.core.corpus import PublishedFeatures
from merkit.core.lookup import load
from merkit.core.model import Model, ModelSpec
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, read_manifest, write_manifest
from merkit.data.features.published import write_published
from merkit.io.checkpoint import CheckpointConfig, build_encoders, build_model, choose_encoders

LABELS = ("calm", "cross", "glad")
WORDS = {"calm": "well then", "cross": "stop this", "glad": "how lovely"}
WIDTH = 6


def write_corpus(folder: Path, *, seed: int = 0, conversations: int = 30, turns: int = 5) -> Manifest:
    """Write a manifest for the protocol `table`: label and split columns, features ``sound``, two speakers."""
    generator = np.random.default_rng(seed)
    utterances, arrays = [], {}
    for number in range(conversations):
        split = "test" if number % 5 == 0 else "valid" if number % 5 == 1 else "train"
        for turn in range(turns):
            label = int(generator.integers(3))
            name = f"c{number:03d}_{turn}"
            told = WORDS[LABELS[label]] if generator.random() < 0.7 else "so it is"
            length = int(generator.integers(1, 6))
            arrays[name] = generator.normal(size=(length, WIDTH)) + np.eye(WIDTH)[label]
            speaker = f"{split}-{turn % 2}"
            attributes = {"label": LABELS[label], "split": split}
            utterances.append(Utterance(name, f"c{number:03d}", turn, speaker, text=told, attributes=attributes))
    manifest = write_manifest(folder, utterances, name="tiny", version=1)
    write_published(folder / "precomputed" / "sound", PublishedFeatures("sound", "audio", arrays))
    return manifest


def copy_without_validation(source: Path, folder: Path) -> None:
    """Copy a corpus with its validation part as training: the protocol cuts another one for every seed."""
    halves = [
        replace(u, attributes={**u.attributes, "split": "test" if u.attributes["split"] == "test" else "train"})
        for u in read_manifest(source).utterances
    ]
    write_manifest(folder, halves, name="tiny", version=1)
    shutil.copytree(source / "precomputed", folder / "precomputed")


def recipe_values(model: str, **training: Any) -> dict[str, Any]:
    """Return a recipe for the tiny corpus as TOML values."""
    values: dict[str, Any] = {"model": model, "protocol": "table", "seeds": 1}
    if model not in ("majority", "text_lookup", "bag_of_words"):
        values["encoders"] = {"audio": {"name": "precomputed", "features": "sound"}}
        values["training"] = {"epochs": 3, "batch_size": 8, **training}
        learns = {"head": 1e-2}
        values["training"]["learning_rates"] = learns
    return values


def write_recipe(path: Path, values: dict[str, Any]) -> Path:
    """Write a recipe file."""
    text = tomli_w.dumps(values)
    assert tomllib.loads(text) == values
    path.write_text(text)
    return path


def built(
    name: str,
    encoders: Mapping[str, Mapping[str, Any]],
    labels: tuple[str, ...],
    data: Path | None = None,
    **settings: Any,
) -> tuple[Model, CheckpointConfig]:
    """Return an untrained model with what its checkpoint says; ``encoders`` are a recipe's tables by modality."""
    spec: ModelSpec = load("models", name)
    config = CheckpointConfig(spec, spec.config(**settings), labels, choose_encoders(encoders), "table")
    return build_model(spec, config.config, build_encoders(config.encoders, data, None), len(labels)), config
