"""The provenance of a run."""

import datetime
import hashlib
import json
import shlex
import sys
from typing import Any

from merkit.data.corpus.manifest import Manifest
from merkit.encoders.checkpoint import describe_extractors
from merkit.experiments.recipe import Recipe
from merkit.io.checkpoint import build_encoders
from merkit.io.provenance import RUN_FORMAT, describe_environment


def describe_run(recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
    """Return the content of a run's ``provenance.json``: environment, command, data, recipe and encoders."""
    settings = recipe.resolved()["encoders"]
    choices = {modality: choice for modality, choice in recipe.encoders.items() if modality not in recipe.extractors}
    built = build_encoders(choices, manifest.root, None)
    encoders = {modality: dict(encoder.describe()) for modality, encoder in built.items()}
    for modality, extractor in recipe.extractors.items():
        features = describe_extractors({modality: settings[modality]})
        encoders[modality] = {"encoder": "checkpoint", "feature extractor": extractor.model.name, "features": features}
    return {
        "format": RUN_FORMAT,
        **describe_environment(),
        "command": shlex.join(["merkit", *sys.argv[1:]]),
        "data": {
            "path": str(manifest.root.resolve()),
            "corpus": manifest.info.name,
            "corpus_version": manifest.info.version,
            "sha256": manifest.sha256,
            "partial": manifest.info.partial,
            "counts": dict(manifest.info.counts),
            "licence": manifest.info.licence,
        },
        "recipe_sha256": recipe_hash(recipe),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "encoders": encoders,
    }


def recipe_hash(recipe: Recipe) -> str:
    """Return a hash of a recipe without its number of seeds."""
    return hashlib.sha256(json.dumps(recipe.without_seeds(), sort_keys=True).encode()).hexdigest()
