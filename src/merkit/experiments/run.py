"""The run: folds times seeds of one recipe on one corpus, resumable, ending in stored predictions."""

import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.progress import ProgressCallback, Share
from merkit.core.protocol import Protocol
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.files import atomic_path
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.accelerator import open_accelerator
from merkit.experiments.cell import Cell
from merkit.experiments.cross_fit import CrossFit, teachers_of, with_teachers
from merkit.experiments.extractors import FOLDER, TrainedExtractor, check_named, check_offer, side_by_side
from merkit.experiments.lock import alone
from merkit.experiments.provenance import describe_run, recipe_hash
from merkit.experiments.recipe import Recipe
from merkit.experiments.run_cell import run_cell
from merkit.experiments.teachers import FOLDER as TEACHERS

_log = logging.getLogger(__name__)


def train_recipe(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    features: Path | None = None,
    allow_partial: bool = False,
    legacy_best_on_test: bool = False,
    extractors: Path | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Train every fold and seed of a recipe on a manifest and store their predictions; finished ones are kept.

    Nothing is scored here: what trains cannot reach a test label.

    Args:
        recipe: What to do.
        data: The manifest's folder.
        run: The run's folder; made if need be.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        allow_partial: Accept counts that differ from the published ones; said in the result.
        legacy_best_on_test: Compute the leaky best-epoch-on-test figure beside the clean one.
        extractors: Folder of the stages that are trained first, which several runs may share; ``None``:
        ``feature-extractors`` in the run's folder.
        progress: Called during feature extraction and after every epoch.

    Raises:
        MerkitError: Anything a user can mend.
    """
    manifest = read_manifest(data)
    protocol = open_protocol(recipe, manifest, allow_partial or manifest.info.partial)
    _check_folder(run, recipe, manifest)
    accelerator = open_accelerator(recipe)
    provenance = describe_run(recipe, manifest, data)
    with alone(run) if accelerator.is_main_process else nullcontext():
        if accelerator.is_main_process:
            _check_folder(run, recipe, manifest)  # again: another process may have finished something meanwhile
            _write(run / "recipe.toml", recipe.to_toml())
            _write(run / "provenance.json", json.dumps(_of_run(run, provenance), indent=2))
        members = [utterance.id for utterance in protocol.members(manifest.utterances)]
        cells = [
            Cell(
                folder=run / f"fold-{fold.name}" / f"seed-{seed}",
                recipe=recipe,
                protocol=protocol,
                manifest=manifest,
                members=members,
                fold=fold,
                seed=seed,
                features=manifest.root / "features" if features is None else features,
                legacy_best_on_test=legacy_best_on_test,
            )
            for seed in range(recipe.seeds)
            for fold in protocol.folds(manifest.utterances, seed)
        ]
        for cell in cells:
            check_named(recipe, protocol, cell.fold, cell.seed)
        if recipe.teacher is not None:
            cells = with_teachers(cells, teachers_of(recipe, run / TEACHERS, data, progress))
        for modality in recipe.extractors:
            place = (run / FOLDER if extractors is None else extractors) / modality
            cells = _train_extractor(cells, modality, place, data, allow_partial=allow_partial, progress=progress)
        for number, cell in enumerate(cells):
            share = Share(run.name, number, len(cells))
            run_cell(cell, provenance, open_accelerator(recipe), progress, share)
    accelerator.wait_for_everyone()


def _train_extractor(
    cells: Sequence[Cell],
    modality: str,
    folder: Path,
    data: Path,
    *,
    allow_partial: bool,
    progress: ProgressCallback | None,
) -> list[Cell]:
    """Train the feature extractor of a modality for these cells, and return the cells with it.

    Raises:
        MerkitError: The feature extractor cannot give what the downstream model reads, or the training part is too
        small to be cut.
    """
    first = cells[0]
    recipe, config = first.recipe.extractors[modality], first.recipe.encoders[modality][1]
    assert isinstance(config, ExtractorConfig)
    check_offer(first.recipe, modality, first.manifest, first.protocol)
    key = f"encoders.{modality}.cross_fit"
    fitted = CrossFit(recipe, folder / "cross-fit", key, config.cross_fit, config.ensemble, data, progress)
    fitted.check(cells)
    _log.info("feature extractor, %s", modality)
    seeded = replace(recipe, seeds=config.ensemble or first.recipe.seeds)
    train_recipe(seeded, data, folder, features=first.features, allow_partial=allow_partial, progress=progress)
    made: dict[tuple[str, tuple[int, ...]], TrainedExtractor] = {}  # an ensemble serves every seed of a fold
    for cell in cells:
        name, seeds = cell.fold.name, fitted.seeds(cell)
        if (name, seeds) not in made:
            whole = [folder / f"fold-{name}" / f"seed-{seed}" / "checkpoint" for seed in seeds]
            unseen: dict[str, Path] = {}
            for part in fitted.parts(cell):
                unseen |= dict.fromkeys(part.held, _joined(part.checkpoints, folder, recipe))
            made[name, seeds] = TrainedExtractor(_joined(whole, folder, recipe), unseen)
    return [
        replace(cell, extractors={**cell.extractors, modality: made[cell.fold.name, fitted.seeds(cell)]})
        for cell in cells
    ]


def _joined(checkpoints: Sequence[Path], folder: Path, recipe: Recipe) -> Path:
    """Return the folder of an ensemble's models, side by side."""
    with open_accelerator(recipe).main_process_first():
        return side_by_side(checkpoints, folder / "ensemble")


def open_protocol(recipe: Recipe, manifest: Manifest, allow_partial: bool) -> Protocol:
    """Build a recipe's protocol for a manifest.

    Raises:
        ConfigError: The protocol is for another corpus.
    """
    wanted = recipe.protocol.corpus
    if wanted is not None and manifest.info.name != wanted:
        raise ConfigError(
            f"protocol '{recipe.protocol.name}' is for the corpus '{wanted}', '{manifest.root}' holds "
            f"'{manifest.info.name}'. Prepare it with 'merkit prepare {wanted}', or choose another recipe."
        )
    protocol: Protocol = recipe.protocol.build(recipe.options, allow_partial)
    return protocol


def _check_folder(run: Path, recipe: Recipe, manifest: Manifest) -> None:
    """Refuse a folder that holds another experiment; more seeds of the same one are welcome.

    What failed or was stopped before its first epoch ended holds nothing.
    """
    found = _begun(run)
    if found is None:
        return
    if found["recipe_sha256"] != recipe_hash(recipe) or found["data"]["sha256"] != manifest.sha256:
        what = "recipe" if found["recipe_sha256"] != recipe_hash(recipe) else "corpus"
        raise MerkitError(f"'{run}' holds a run of another {what}: give another folder with --out, or remove this one.")


def _of_run(run: Path, now: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance that a run began with, and where its data lies now: asking again is not making it again."""
    begun = _begun(run)
    return now if begun is None else {**begun, "data": now["data"]}


def _begun(run: Path) -> dict[str, Any] | None:
    """Return the provenance of what a folder holds; ``None``: no epoch and no cell of it was ever finished.

    Teachers do not count: a student that failed at once leaves them to a mended one, as far as they are the same.
    """
    path = run / "provenance.json"
    finished = (file for name in ("history.jsonl", "cell.json") for file in run.rglob(name))
    if not path.exists() or all(TEACHERS in file.relative_to(run).parts for file in finished):
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)
