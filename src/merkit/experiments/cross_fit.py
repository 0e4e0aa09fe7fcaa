"""Cross-fitting: models of one recipe, each of which has learned from all parts of a training part but one.

A model says more of what it has learned from than of anything else. So the vectors of training utterances that stage
two learns from, and a teacher's answers, come from models that have not learned from that conversation.
"""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from merkit.core.progress import ProgressCallback, Share
from merkit.experiments.accelerator import open_accelerator
from merkit.experiments.cell import Cell
from merkit.experiments.extractors import check_ensemble, cut_by_conversation
from merkit.experiments.lock import alone
from merkit.experiments.provenance import describe_run
from merkit.experiments.recipe import Recipe
from merkit.experiments.run_cell import run_cell
from merkit.experiments.teachers import FOLDER as TEACHERS
from merkit.experiments.teachers import check_student

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Some of a cell's training conversations, and the models that have learned from the others alone."""

    held: frozenset[str]
    checkpoints: tuple[Path, ...]
    """One for each seed."""


@dataclass(frozen=True)
class CrossFit:
    """How the training parts of cells are cut, and where the models of one recipe for them lie."""

    recipe: Recipe
    folder: Path
    key: str
    """Of the recipe, such as ``teacher.cross_fit``, for errors."""
    count: int
    """Of parts; 0: there are none."""
    ensemble: int
    """0: a cell's parts are trained with its own seed. k >= 1: with the seeds 0 to k - 1, for cells of any seed."""
    data: Path
    progress: ProgressCallback | None
    _made: dict[tuple[str, tuple[int, ...]], list[Part]] = field(default_factory=dict, init=False, repr=False)

    def check(self, cells: Sequence[Cell]) -> None:
        """Refuse, before anything is trained, cells that cannot be served.

        Raises:
            MerkitError: A training part is too small to be cut (what is left of it, for the teachers of a part), or an
                ensemble's seeds have other validation parts.
        """
        if self.ensemble:
            seeds = max(self.ensemble, 1 + max(cell.seed for cell in cells))
            check_ensemble(cells[0].protocol, cells[0].manifest, seeds)
        for cell in cells:
            for number, (_, students) in enumerate(self._students(cell)):
                if self.recipe.teacher is not None:
                    self._teachers(cell, number).check(students)

    def seeds(self, cell: Cell) -> tuple[int, ...]:
        """Return the seeds of a cell's models."""
        return tuple(range(self.ensemble)) or (cell.seed,)

    def parts(self, cell: Cell) -> list[Part]:
        """Return a cell's parts; trains the models that are not there.

        The teachers of a model that is to be taught have not learned from its held-out part either.
        """
        key = cell.fold.name, self.seeds(cell)
        if key not in self._made:
            provenance = describe_run(self.recipe, cell.manifest, self.data)
            parts = []
            cuts = self._students(cell)
            for number, (held, students) in enumerate(cuts):
                if self.recipe.teacher is not None:
                    students = with_teachers(students, self._teachers(cell, number))
                for model, student in enumerate(students):
                    share = Share(self.key, number * len(students) + model, len(cuts) * len(students))
                    accelerator = open_accelerator(self.recipe)
                    with alone(self.folder) if accelerator.is_main_process else nullcontext():
                        run_cell(student, provenance, accelerator, self.progress, share)
                parts.append(Part(held, tuple(student.folder / "checkpoint" for student in students)))
            self._made[key] = parts
        return self._made[key]

    def _students(self, cell: Cell) -> list[tuple[frozenset[str], list[Cell]]]:
        """Return the conversations of each part, and for each seed the cell that learns from the others alone."""
        if not self.count:
            return []
        conversation = {id_: cell.manifest.by_id[id_].conversation for id_ in cell.fold.train}
        seeds, names = self.seeds(cell), list(dict.fromkeys(conversation.values()))
        cuts = []
        for number, held in enumerate(cut_by_conversation(names, self.count, seeds[0], self.key)):
            others = {id_: label for id_, label in cell.fold.train.items() if conversation[id_] not in held}
            students = [
                replace(
                    cell,
                    folder=self.folder / self._place(cell, seed, number),
                    recipe=self.recipe,
                    fold=replace(cell.fold, train=others, test=()),
                    seed=seed,
                    legacy_best_on_test=False,
                    extractors={},
                    teachers={},
                )
                for seed in seeds
            ]
            cuts.append((held, students))
        return cuts

    def _teachers(self, cell: Cell, number: int) -> "CrossFit":
        """Return the cross-fitting of one part's teachers, which the part's seeds share if they are an ensemble."""
        folder = self.folder / TEACHERS / self._place(cell, self.seeds(cell)[0], number)
        return teachers_of(
            self.recipe, folder, self.data, self.progress, self.key.removesuffix("cross_fit") + "recipe."
        )

    def _place(self, cell: Cell, seed: int, number: int) -> str:
        return f"fold-{cell.fold.name}/seed-{seed}/part-{number}-of-{self.count}"


def teachers_of(
    student: Recipe, folder: Path, data: Path, progress: ProgressCallback | None, table: str = ""
) -> CrossFit:
    """Return the cross-fitting of a student's teachers; ``table`` is where its recipe stands, for errors."""
    assert student.teacher is not None
    config = student.teacher.config
    key = f"{table}teacher.cross_fit"
    return CrossFit(student.teacher.recipe, folder, key, config.cross_fit, config.ensemble, data, progress)


def with_teachers(cells: Sequence[Cell], fitted: CrossFit) -> list[Cell]:
    """Train the teachers of these cells, and return the cells with them.

    Raises:
        MerkitError: The student cannot be taught, the training part is too small to be cut, or an ensemble's seeds have
            other validation parts.
    """
    check_student(cells[0].recipe, cells[0].manifest, cells[0].protocol)
    fitted.check(cells)
    _log.info("teachers")
    return [
        replace(cell, teachers={name: part.checkpoints for part in fitted.parts(cell) for name in part.held})
        for cell in cells
    ]
