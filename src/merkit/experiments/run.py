"""The run: folds times seeds of one recipe on one corpus, resumable, ending in ``scores.json``."""

import datetime
import fcntl
import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, is_initialized

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.protocol import Fold, Protocol
from merkit.data.files import atomic_path
from merkit.data.manifest import Manifest, read_manifest
from merkit.data.sources import Progress
from merkit.encoders.checkpoint import StageOneConfig
from merkit.experiments.cell import Cell
from merkit.experiments.recipe import Recipe
from merkit.experiments.run_cell import run_cell
from merkit.experiments.score import score_run
from merkit.experiments.stages import (
    FOLDER,
    StageOne,
    check_ensemble,
    check_named,
    check_offer,
    cut_by_conversation,
    side_by_side,
    told_features,
)
from merkit.experiments.teachers import FOLDER as TEACHERS
from merkit.experiments.teachers import check_student, describe_teacher
from merkit.io.checkpoint import build_encoders
from merkit.io.provenance import describe_environment

_log = logging.getLogger(__name__)

_LOCK = ".lock"


def train_recipe(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    features: Path | None = None,
    allow_partial: bool = False,
    legacy_best_on_test: bool = False,
    stage_one: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a recipe on a manifest, go on where an earlier call was stopped, and return the scores.

    Args:
        recipe: What to do.
        data: The manifest's folder.
        run: The run's folder; made if need be.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        allow_partial: Accept counts that differ from the published ones; said in the result.
        legacy_best_on_test: Compute the leaky best-epoch-on-test figure beside the clean one.
        stage_one: Folder of the stages that are trained first, which several runs may share; ``None``: ``stage-one``
            in the run's folder.
        progress: Told about feature extraction.

    Raises:
        MerkitError: Anything a user can mend.
    """
    manifest = read_manifest(data)
    protocol = open_protocol(recipe, manifest, allow_partial or manifest.info.partial)
    _check_folder(run, recipe, manifest)
    accelerator = _accelerator(recipe)
    provenance = _provenance(recipe, manifest, data)
    with _alone(run) if accelerator.is_main_process else nullcontext():
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
            told = _provenance(recipe.teacher.recipe, manifest, data)
            cells = _with_teachers(cells, run / TEACHERS, told, progress)
        for modality in recipe.stages:
            place = (run / FOLDER if stage_one is None else stage_one) / modality
            cells = _train_stage(cells, modality, place, data, allow_partial=allow_partial, progress=progress)
        for cell in cells:
            run_cell(cell, provenance, _accelerator(recipe), progress)
        if accelerator.is_main_process:
            scores = score_run(run, protocol, manifest)
            _write(run / "scores.json", json.dumps(scores, indent=2))
    accelerator.wait_for_everyone()
    loaded: dict[str, Any] = json.loads((run / "scores.json").read_text())
    return loaded


def _train_stage(
    cells: Sequence[Cell], modality: str, folder: Path, data: Path, *, allow_partial: bool, progress: Progress | None
) -> list[Cell]:
    """Train the stage one of a modality for these cells, and return the cells with it.

    Raises:
        MerkitError: Stage one cannot give what stage two reads, or the training part is too small to be cut.
    """
    first = cells[0]
    recipe, config = first.recipe.stages[modality], first.recipe.encoders[modality][1]
    assert isinstance(config, StageOneConfig)
    check_offer(first.recipe, modality, first.manifest, first.protocol)
    seeds = {cell.seed: tuple(range(config.ensemble)) or (cell.seed,) for cell in cells}
    cuts = {cell.folder: _held_out(replace(cell, seed=seeds[cell.seed][0]), config.cross_fit) for cell in cells}
    if config.ensemble:
        check_ensemble(first.protocol, first.manifest, max(config.ensemble, first.recipe.seeds))
    provenance = _provenance(recipe, first.manifest, data)
    _log.info("stage one, %s", modality)
    seeded = replace(recipe, seeds=config.ensemble or first.recipe.seeds)
    train_recipe(seeded, data, folder, features=first.features, allow_partial=allow_partial, progress=progress)

    parts = _Parts(recipe, provenance, folder / "cross-fit", config.cross_fit, progress)
    made: dict[tuple[str, tuple[int, ...]], StageOne] = {}  # an ensemble serves every seed of a fold
    found = []
    for cell in cells:
        members, name = seeds[cell.seed], cell.fold.name
        if (name, members) not in made:
            whole = [folder / f"fold-{name}" / f"seed-{seed}" / "checkpoint" for seed in members]
            unseen: dict[str, Path] = {}
            for number, (held, fold) in enumerate(cuts[cell.folder]):
                part = [parts.trained(cell, fold, seed, number) for seed in members]
                unseen |= dict.fromkeys(held, _joined(part, folder, recipe))
            made[name, members] = StageOne(_joined(whole, folder, recipe), unseen)
        found.append(replace(cell, stages={**cell.stages, modality: made[name, members]}))
    return found


def _joined(checkpoints: Sequence[Path], folder: Path, recipe: Recipe) -> Path:
    """Return the folder of an ensemble's models, side by side."""
    with _accelerator(recipe).main_process_first():
        return side_by_side(checkpoints, folder / "ensemble")


def _with_teachers(
    cells: Sequence[Cell], folder: Path, provenance: dict[str, Any], progress: Progress | None
) -> list[Cell]:
    """Train the teachers of these cells, and return the cells with them.

    Raises:
        MerkitError: The student cannot be taught, the training part is too small to be cut, or an ensemble's seeds have
            other validation parts.
    """
    first = cells[0]
    assert first.recipe.teacher is not None
    recipe, config = first.recipe.teacher.recipe, first.recipe.teacher.config
    check_student(first.recipe, first.manifest, first.protocol)
    if config.ensemble:
        check_ensemble(first.protocol, first.manifest, max(config.ensemble, first.recipe.seeds))
    seeds = {cell.seed: tuple(range(config.ensemble)) or (cell.seed,) for cell in cells}
    cuts = {cell.folder: _held_out(replace(cell, seed=seeds[cell.seed][0]), config.cross_fit) for cell in cells}
    parts = _Parts(recipe, provenance, folder, config.cross_fit, progress)
    _log.info("teachers")
    made: dict[
        tuple[str, tuple[int, ...]], dict[str, tuple[Path, ...]]
    ] = {}  # an ensemble teaches every seed of a fold
    for cell in cells:
        key = cell.fold.name, seeds[cell.seed]
        if key not in made:
            made[key] = {}
            for number, (held, fold) in enumerate(cuts[cell.folder]):
                trained = tuple(parts.trained(cell, fold, seed, number) for seed in seeds[cell.seed])
                made[key] |= dict.fromkeys(held, trained)
    return [replace(cell, teachers=made[cell.fold.name, seeds[cell.seed]]) for cell in cells]


@dataclass(frozen=True)
class _Parts:
    """Models for cross-fitting, each of which has learned from all parts of a training part but one."""

    recipe: Recipe
    provenance: Mapping[str, Any]
    folder: Path
    count: int
    progress: Progress | None

    def trained(self, cell: Cell, fold: Fold, seed: int, number: int) -> Path:
        """Return the checkpoint of one part, trained unless it is there; ``fold`` is the cell's without that part."""
        part = replace(
            cell,
            folder=self.folder / f"fold-{fold.name}" / f"seed-{seed}" / f"part-{number}-of-{self.count}",
            recipe=self.recipe,
            fold=fold,
            seed=seed,
            legacy_best_on_test=False,
            stages={},
            teachers={},
        )
        accelerator = _accelerator(self.recipe)
        with _alone(self.folder) if accelerator.is_main_process else nullcontext():
            run_cell(part, self.provenance, accelerator, self.progress)
        return part.folder / "checkpoint"


def _held_out(cell: Cell, count: int) -> list[tuple[frozenset[str], Fold]]:
    """Return cross-fitting's parts: the conversations of each, and the cell's fold without them and without a test."""
    if not count:
        return []
    conversation = {id_: cell.manifest.by_id[id_].conversation for id_ in cell.fold.train}
    parts = []
    for held in cut_by_conversation(list(dict.fromkeys(conversation.values())), count, cell.seed):
        others = {id_: label for id_, label in cell.fold.train.items() if conversation[id_] not in held}
        parts.append((held, replace(cell.fold, train=others, test=())))
    return parts


def _accelerator(recipe: Recipe) -> Accelerator:
    """Return a fresh accelerator: a used one keeps its models in memory, and fp16's loss scale for the next one.

    Raises:
        ConfigError: The device cannot compute in the recipe's precision.
    """
    precision = recipe.training.precision
    mixed = {"float32": "no"}.get(precision, precision)
    if is_initialized() and AcceleratorState().mixed_precision != mixed:
        AcceleratorState._reset_state()  # a stage or variant of another precision: the library has no public way
    # A batch without a modality leaves that encoder's weights without gradients, which must not stop the others.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    try:
        accelerator = Accelerator(mixed_precision=mixed, kwargs_handlers=[unused])
    except ValueError as error:
        raise ConfigError(f"training.precision = '{precision}': {error} Set it to 'float32' or 'bf16'.") from error
    if mixed == "fp16" and accelerator.device.type == "cpu":  # the library would train in float32 without a word
        raise ConfigError("training.precision = 'fp16' needs an accelerator. Set it to 'float32' or 'bf16'.")
    return accelerator


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


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; the system lets go of the lock when this one is killed.

    Raises:
        MerkitError: Another process is at work there.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / _LOCK).open("w")
    except OSError:  # told in words by the first file that is written
        yield
        return
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MerkitError(
                f"Another process is at work on '{run}': wait for it or stop it, or give another folder with --out."
            ) from None
        except OSError as error:  # a file system without locks
            _log.debug("'%s' is not locked: %s", run, error)
        yield


def _check_folder(run: Path, recipe: Recipe, manifest: Manifest) -> None:
    """Refuse a folder that holds another experiment; more seeds of the same one are welcome.

    What failed or was stopped before its first epoch ended holds nothing.
    """
    found = _begun(run)
    if found is None:
        return
    if found["recipe_sha256"] != _recipe_hash(recipe) or found["data"]["sha256"] != manifest.sha256:
        what = "recipe" if found["recipe_sha256"] != _recipe_hash(recipe) else "corpus"
        raise MerkitError(f"'{run}' holds a run of another {what}: give another folder with --out, or remove this one.")


def _recipe_hash(recipe: Recipe) -> str:
    values = {name: value for name, value in recipe.resolved().items() if name != "seeds"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _provenance(recipe: Recipe, manifest: Manifest, data: Path) -> dict[str, Any]:
    settings = recipe.resolved()["encoders"]
    there = build_encoders({m: keys for m, keys in settings.items() if m not in recipe.stages}, manifest.root, None)
    encoders = {modality: dict(encoder.describe()) for modality, encoder in there.items()}
    for modality, stage in recipe.stages.items():
        features = told_features({modality: settings[modality]})
        encoders[modality] = {"encoder": "checkpoint", "stage one": stage.model.name, "features": features}
    return {
        **describe_environment(),
        "command": " ".join(["merkit", *sys.argv[1:]]),
        "data": {
            "path": str(data.resolve()),
            "corpus": manifest.info.name,
            "corpus_version": manifest.info.version,
            "sha256": manifest.sha256,
            "partial": manifest.info.partial,
            "counts": dict(manifest.info.counts),
            "licence": manifest.info.licence,
        },
        "recipe_sha256": _recipe_hash(recipe),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "encoders": encoders,
        **({} if recipe.teacher is None else {"teacher": describe_teacher(recipe.teacher, manifest)}),
    }


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
