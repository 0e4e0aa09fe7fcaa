"""The run: every fold and seed of one recipe on one corpus, resumable; it ends in stored predictions."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from merkit.core.arguments import checked_arguments
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.progress import ProgressCallback, Share
from merkit.core.protocol import Protocol
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.accelerator import open_accelerator
from merkit.experiments.cell import Cell
from merkit.experiments.cross_fit import ensemble_seeds
from merkit.experiments.extractors import FOLDER, check_named, check_offer, side_by_side
from merkit.experiments.provenance import describe_run, recipe_hash
from merkit.experiments.recipe import Recipe
from merkit.experiments.resume import code_of
from merkit.experiments.run_cell import run_cell
from merkit.experiments.transforms.distillation import FOLDER as TEACHERS
from merkit.experiments.transforms.registry import transforms_of
from merkit.io.cell_record import HISTORY, RECORD
from merkit.io.lock import alone
from merkit.io.provenance import PROVENANCE, check_run_format, find_provenance, read_provenance, write_run_files

_log = logging.getLogger(__name__)


@checked_arguments
def train_recipe(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    features: Path | None = None,
    allow_partial: bool = False,
    legacy_best_on_test: bool = False,
    extractors: Path | None = None,
    again: bool = False,
    progress: ProgressCallback | None = None,
) -> None:
    """Train every fold and seed of a recipe on a manifest and store their predictions; finished ones are kept.

    Nothing is scored here, and what trains gets a manifest without the labels of the test split.

    Args:
        recipe: The experiment.
        data: The manifest's folder.
        run: The run's folder; created if missing.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        allow_partial: Accept counts that differ from the published ones; the scores report them.
        legacy_best_on_test: Compute the leaky best-epoch-on-test score beside the clean one.
        extractors: Folder of the feature extractors, which several runs may share; ``None``: ``feature-extractors`` in
            the run's folder.
        again: Train anew the cells that other code made from the same settings and data, instead of refusing them.
        progress: Called during feature extraction and after every epoch.

    Raises:
        MerkitError: Anything a user can mend.
    """
    manifest = read_manifest(data)
    protocol = open_protocol(recipe, manifest, allow_partial)
    for warning in protocol.warnings(manifest.utterances):
        _log.warning("warning: %s, %s. Training continues with them unchanged.", manifest.root, warning)
    _check_folder(run, recipe, manifest)
    is_main = open_accelerator(recipe).is_main_process
    provenance = describe_run(recipe, manifest)
    if data.is_file():
        provenance["data"]["path"] = str(data.resolve())  # its folder may hold other tables
    members = [utterance.id for utterance in protocol.members(manifest.utterances)]
    folds = cache(partial(protocol.folds, manifest.utterances))
    sealed = cache(manifest.sealed)  # once for the folds that share a test split
    cells = [
        Cell(
            folder=run / f"fold-{fold.name}" / f"seed-{seed}",
            run=run,
            recipe=recipe,
            protocol=protocol,
            manifest=sealed(fold.test),
            members=members,
            fold=fold,
            seed=seed,
            folds=folds,
            features=manifest.root / "features" if features is None else features,
            extractor_folder=run / FOLDER if extractors is None else extractors,
            legacy_best_on_test=legacy_best_on_test,
        )
        for seed in range(recipe.seeds)
        for fold in folds(seed)
    ]
    for cell in cells:
        check_named(recipe, protocol, cell.fold, cell.seed)
        transforms_of(cell)  # refuses what cannot be cut
    transforms = transforms_of(cells[0])
    code_of(cells[0], transforms)  # reads the files as they are now, before the hours of features and teachers
    for transform in transforms.values():
        transform.check()
    for modality in recipe.extractors:
        check_offer(recipe, modality, manifest, protocol)
    trained: set[Path] = set()

    def train_other(cell: Cell, share: Share) -> None:
        """Train a cell of another model, such as a teacher, once in a run."""
        if cell.folder not in trained:
            with alone(cell.run) if is_main else nullcontext():
                run_cell(cell, describe_run(cell.recipe, manifest), train_other, progress, share, again=again)
            trained.add(cell.folder)

    with alone(run) if is_main else nullcontext():
        if is_main:
            _check_folder(run, recipe, manifest)  # again: another process may have finished something meanwhile
            begun = {} if again else _begun(run, warn=True) or {}
            # a second call that makes nothing keeps what the run began with, but for the folder of its data
            today = {name: provenance[name] for name in ("data", "command")}
            kept = {name: value for name, value in begun.items() if name in provenance}
            write_run_files(run, recipe.to_toml(), {**provenance, **kept, **today})
        for modality in recipe.extractors:
            cells = _train_extractor(cells, modality, data, allow_partial=allow_partial, progress=progress, again=again)
        for number, cell in enumerate(cells):
            run_cell(cell, provenance, train_other, progress, Share(run.name, number, len(cells)), again=again)
    open_accelerator(recipe).wait_for_everyone()


def _train_extractor(cells: Sequence[Cell], modality: str, data: Path, **options: Any) -> list[Cell]:
    """Train the feature extractor of a modality on the whole training splits, and return the cells with it."""
    first = cells[0]
    recipe, config = first.recipe.extractors[modality], first.recipe.encoders[modality][1]
    assert isinstance(config, ExtractorConfig)
    seeds = [ensemble_seeds(cell, config.ensemble) for cell in cells]
    folder = first.extractor_folder / modality
    _log.info("feature extractor, %s", modality)
    seeded = replace(recipe, seeds=config.ensemble or first.recipe.seeds)
    train_recipe(seeded, data, folder, features=first.features, **options)
    served = []
    for cell, own in zip(cells, seeds, strict=True):
        checkpoints = [folder / f"fold-{cell.fold.name}" / f"seed-{seed}" / "checkpoint" for seed in own]
        with open_accelerator(recipe).main_process_first():
            joined = side_by_side(checkpoints, folder / "ensemble")
        served.append(replace(cell, extractors={**cell.extractors, modality: joined}))
    return served


def open_protocol(recipe: Recipe, manifest: Manifest, allow_partial: bool) -> Protocol:
    """Build a recipe's protocol for a manifest; that of a part of a corpus may have other counts than published.

    Raises:
        ConfigError: The protocol is for another corpus.
        MerkitError: An option of the protocol names what the corpus lacks.
    """
    wanted = recipe.protocol.corpus
    if wanted is not None and manifest.info.name != wanted:
        raise ConfigError(
            f"protocol '{recipe.protocol.name}' is for the corpus '{wanted}', '{manifest.root}' holds "
            f"'{manifest.info.name}'. Prepare it with 'merkit prepare {wanted}', or choose another recipe."
        )
    protocol: Protocol = recipe.protocol.build(recipe.options, allow_partial or manifest.info.partial)
    protocol.check_options(manifest.utterances)
    return protocol


def _check_folder(run: Path, recipe: Recipe, manifest: Manifest) -> None:
    """Refuse a folder that holds another experiment; more seeds of the same one are welcome.

    A run that failed or was stopped before the end of its first epoch does not count.
    """
    written = run / "recipe.toml"
    if written.exists() and not (run / "provenance.json").exists() and written.read_text() != recipe.to_toml():
        raise MerkitError(f"'{written}' exists, and no run wrote it: give another folder with --out, or move it away.")
    begun = _begun(run)
    if begun is None:
        return
    check_run_format(run, begun)
    if begun.get("recipe_sha256") != recipe_hash(recipe) or begun["data"]["sha256"] != manifest.sha256:
        what = "recipe" if begun.get("recipe_sha256") != recipe_hash(recipe) else "corpus"
        raise MerkitError(f"'{run}' holds a run of another {what}: give another folder with --out, or remove this one.")


def _begun(run: Path, *, warn: bool = False) -> dict[str, Any] | None:
    """Return the provenance of the run in a folder; ``None``: no epoch and no cell of it was ever finished.

    Teachers do not count: they can serve another student, as far as they are the same.
    """
    finished = [file for name in (HISTORY, RECORD) for file in run.rglob(name)]
    if all(TEACHERS in file.relative_to(run).parts for file in finished):
        return None
    provenance = find_provenance(run)
    if warn:
        try:
            read_provenance(run)
        except (OSError, ValueError) as error:
            _log.warning("'%s' is damaged or missing (%s): it is written anew", run / PROVENANCE, error)
    return provenance
