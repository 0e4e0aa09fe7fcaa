"""Runs gathered for a report: read, scored, grouped by task, ordered, and compared."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import unknown
from merkit.core.types import MODALITIES
from merkit.encoders.checkpoint import describe_extractors
from merkit.evaluation.comparison import Comparison, compare_all
from merkit.evaluation.conditions import Condition
from merkit.evaluation.probes import ProbeScores
from merkit.evaluation.scores import score
from merkit.evaluation.stored import Run, open_run
from merkit.evaluation.text_columns import PLAIN
from merkit.experiments.grid import Variant, variant_of
from merkit.reporting.reference import Reference
from merkit.reporting.rows import BASELINES, SIMPLEST_FIRST, ResultRow, titles_of


@dataclass(frozen=True, eq=False)
class Entry:
    """A run with its scores and the name it is printed under."""

    name: str
    run: Run
    scores: dict[str, Any]
    subsets: tuple[Condition, ...] = ()
    """Scores with subsets of its modalities, where they were requested."""
    probes: tuple[ProbeScores, ...] | None = None
    """Scores of linear probes, empty for a model without named representations; ``None``: not requested."""
    texts: tuple[Condition, ...] = ()
    """Scores with the transcript and with another column of texts, where they were requested."""
    variant: Variant | None = None
    """Which variant of a grid it is; ``None`` for a run of no grid."""

    @property
    def is_baseline(self) -> bool:
        """Whether the model is one that every system must beat."""
        return self.run.model in BASELINES

    @property
    def step(self) -> int:
        """How simple its model is: a position in ``SIMPLEST_FIRST``, or the number after the last for a system."""
        steps = enumerate(SIMPLEST_FIRST)
        return next((number for number, models in steps if self.run.model in models), len(SIMPLEST_FIRST))

    @property
    def modalities(self) -> str:
        """Modalities of its encoders joined by ``+``; empty for a model without encoders."""
        encoders = self.run.recipe.get("encoders", {})
        return "+".join(name for name in MODALITIES if name in encoders)

    @property
    def features(self) -> str:
        """Description of its encoders, such as ``text: bert (minilm, frozen); audio: praat``, and of its teacher."""
        encoders = self.run.recipe.get("encoders", {})
        described = [f"{modality}: {_description(modality, keys)}" for modality, keys in encoders.items()]
        return "; ".join([*(described or ["no encoder"]), *_teacher(self.run.recipe)])

    @property
    def changes(self) -> str:
        """Description of its changes as a variant of a grid; empty for the base and a run of no grid."""
        return "" if self.variant is None else ", ".join(self.variant.changes)


@dataclass(frozen=True, eq=False)
class Group:
    """All runs of one task, baselines first, and their comparison with one of them."""

    protocol: str
    title: str
    """The protocol's name, with what sets the task apart from others of the report."""
    entries: tuple[Entry, ...]
    compared_with: Entry
    reason: str
    """Why the others are compared with this one, to follow its name in a sentence."""
    comparisons: tuple[Comparison, ...]
    printed: tuple[Reference, ...]
    """Scores printed in papers for this protocol, of all systems and variants."""

    @property
    def metric(self) -> str:
        """The protocol's first metric."""
        return self.entries[0].run.protocol.metrics[0]

    @cached_property
    def rows(self) -> list[ResultRow]:
        """The rows of `ResultRow`, one for each run and metric."""
        return [_row(entry, metric) for entry in self.entries for metric in entry.scores["test"]]


def gather(
    runs: Sequence[Path],
    printed: Sequence[Reference] = (),
    *,
    data: Path | None = None,
    reference: str | None = None,
) -> list[Group]:
    """Read and score runs and compare those of each task.

    Args:
        runs: Folders that `merkit train` wrote.
        printed: Scores printed in papers.
        data: The manifest's folder, if it was moved since training.
        reference: Name of the run (its folder's) that the others of its task are compared with. For other tasks,
            and by default: the base, if the runs are of one grid; else the best on validation of the runs
            whose models are simpler than the most complex one (``rows.SIMPLEST_FIRST``); else the best of all.

    Raises:
        MerkitError: A run cannot be read, or no run has the name.
    """
    if not runs:
        raise MerkitError("No run given; give at least one folder that `merkit train` wrote")
    opened = [open_run(path, data) for path in runs]
    labels = _labels([run.path for run in opened])
    entries = [
        Entry(name, run, score(run), variant=variant_of(run.path)) for name, run in zip(labels, opened, strict=True)
    ]
    if reference is not None and reference not in labels:
        raise MerkitError(unknown("run", reference, labels))
    by_task: dict[str, list[Entry]] = {}
    for entry in entries:
        by_task.setdefault(entry.run.task.id, []).append(entry)
    titles = titles_of(
        {task: [_row(entry, entry.run.protocol.metrics[0]) for entry in of] for task, of in by_task.items()}
    )
    return [_group(titles[task], of_task, printed, reference) for task, of_task in by_task.items()]


def _group(title: str, entries: Sequence[Entry], printed: Sequence[Reference], reference: str | None) -> Group:
    ordered = sorted(entries, key=_position)
    protocol = ordered[0].run.protocol_name
    compared_with, reason = _compared_with(ordered, reference)
    others = [(entry.name, entry.run) for entry in ordered if entry is not compared_with]
    return Group(
        protocol=protocol,
        title=title,
        entries=tuple(ordered),
        compared_with=compared_with,
        reason=reason,
        comparisons=tuple(compare_all(others, compared_with.run)),
        printed=tuple(reference for reference in printed if reference.is_for(protocol)),
    )


def _row(entry: Entry, metric: str) -> ResultRow:
    scores, provenance = entry.scores, entry.run.provenance
    score, leaky = scores["test"][metric], scores["legacy_best_on_test"]
    plain = next((condition.scores[metric]["mean"] for condition in entry.texts if condition.name == PLAIN), None)
    same = ("protocol", "model", "selection", "support", "clusters", "cluster", "parameters", "trainable_parameters")
    cost = ("frozen_parameters", "feature_seconds", "peak_memory_bytes")
    return ResultRow(
        **{name: scores[name] for name in (*same, *cost)},
        task=entry.run.task.id,
        corpus=entry.run.task.corpus,
        options=entry.run.task.options,
        run=entry.name,
        modalities=entry.modalities,
        features=entry.features,
        changes=entry.changes,
        metric=metric,
        mean=100 * score["mean"],
        std=None if score["std"] is None else 100 * score["std"],
        low=100 * score["interval"][0],
        high=100 * score["interval"][1],
        pooled=100 * score["pooled"],
        valid=100 * scores["valid"][metric]["mean"],
        leaky_best_on_test=None if leaky is None else 100 * leaky[metric]["mean"],
        plain_text=None if plain is None else 100 * plain,
        seeds=" ".join(map(str, scores["seeds"])),
        folds=len(scores["folds"]),
        averaging="pooled" if scores["pooled"] else "folds",
        published_counts=not scores["count_differences"],
        reads_recordings=not _reads_published(entry.run.recipe),
        seconds=f"{scores['seconds']:.1f}",
        corpus_version=provenance["data"]["corpus_version"],
        data_sha256=provenance["data"]["sha256"],
        recipe_sha256=provenance["recipe_sha256"],
        merkit=provenance["merkit"],
        commit=provenance.get("commit") or "",
        code_sha256=" ".join(sorted(_code_hashes(entry.run))),
    )


def _code_hashes(run: Run) -> set[str]:
    """Return one hash for each set of source files that made cells of a run, of the files' names and hashes."""
    codes = {json.dumps(cell.facts["code"], sort_keys=True) for cell in run.cells if "code" in cell.facts}
    return {hashlib.sha256(code.encode()).hexdigest() for code in codes}


def _reads_published(recipe: Mapping[str, Any]) -> bool:
    """Return whether an encoder of a recipe, or of the model below it, reads published features."""
    encoders = recipe.get("encoders", {}).values()
    return any(keys["name"] == "precomputed" or _reads_published(keys.get("recipe") or {}) for keys in encoders)


def _description(modality: str, keys: Mapping[str, Any]) -> str:
    """Return the description of a recipe's encoder: its weights and whether they are trained, or the features' name.

    Weights are named by the last part of their folder or hub id; a pretrained model of the two-stage recipes by its
    parts and by how the vectors were made, as in ``single on bert (minilm, fine-tuned), cross-fitted (5)``.
    """
    if keys["name"] == "precomputed":
        return f"published features ({keys['features']})"
    extracted = describe_extractors({modality: keys})
    if extracted is not None:
        below = keys.get("recipe")
        if not below:
            return f"a trained model, {extracted}"
        name = " ".join([below["model"], *(f"({teacher})" for teacher in _teacher(below))])
        return f"{name} on {_description(modality, below['encoders'][modality])}, {extracted}"
    details = [Path(keys["weights"]).name.removeprefix("builtin:")] if "weights" in keys else []
    details += [_trained(keys)] if "frozen" in keys else []
    return f"{keys['name']} ({', '.join(details)})" if details else str(keys["name"])


def _teacher(recipe: Mapping[str, Any]) -> list[str]:
    """Return the description of a resolved recipe's teacher, as in ``distilled from bc_lstm on text and audio``."""
    if "teacher" not in recipe:
        return []
    teacher = recipe["teacher"]["recipe"]
    reads = " and ".join(teacher["encoders"])
    return [f"distilled from {teacher['model']}" + (f" on {reads}" if reads else "")]


def _trained(keys: Mapping[str, Any]) -> str:
    layers = keys.get("trainable_layers")
    if keys["frozen"]:
        return "frozen"
    if "lora" in keys:
        return f"LoRA of rank {keys['lora']['rank']}"
    return "fine-tuned" if layers is None else f"last {layers} layers fine-tuned"


def _position(entry: Entry) -> tuple[int, int]:
    """Return the sort key of a row: baselines first, variants in their grid's order."""
    baseline = BASELINES.index(entry.run.model) if entry.is_baseline else len(BASELINES)
    return baseline, 0 if entry.variant is None else entry.variant.number


def _base(entries: Sequence[Entry]) -> Entry | None:
    """Return the base of the grid that all entries but the baselines are of, if it is one grid."""
    systems = [entry for entry in entries if entry.variant is not None or not entry.is_baseline]
    folders = {entry.run.path.resolve().parent for entry in systems}
    if len(folders) != 1 or any(entry.variant is None for entry in systems):
        return None
    return next((entry for entry in systems if entry.variant is not None and entry.variant.number == 0), None)


def _compared_with(entries: Sequence[Entry], named: str | None) -> tuple[Entry, str]:
    """Return the run that the others are compared with and why; chosen on validation, never on the test split."""
    chosen = next((entry for entry in entries if entry.name == named), None)
    if chosen is not None:
        return chosen, "is named by --reference"
    base = _base(entries)
    if base is not None:
        return base, "is the base of the grid"
    simpler = [entry for entry in entries if entry.step < max(entry.step for entry in entries)]
    metric = entries[0].run.protocol.metrics[0]
    best = max(simpler or entries, key=lambda entry: float(entry.scores["valid"][metric]["mean"]))
    if not simpler:
        return best, "has the best validation score; no run has a simpler model than the others"
    return best, f"has the best validation score of the runs with simpler models ({_ORDER})"


_ORDER = ", then ".join([*(" and ".join(step) for step in SIMPLEST_FIRST), "all others"])


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, each with as many folders above it as tell it from all others.

    Raises:
        ConfigError: A folder is given twice.
    """
    folders = [path.resolve() for path in paths]
    for path, folder in zip(paths, folders, strict=True):
        if folders.count(folder) > 1:
            raise ConfigError(f"'{path}' is given more than once: name each run once")
    labels, depth = [folder.name for folder in folders], 1
    while len(set(labels)) < len(labels):
        depth += 1
        times = Counter(labels)
        longer = ["/".join(folder.parts[-depth:]) for folder in folders]
        labels = [more if times[label] > 1 else label for label, more in zip(labels, longer, strict=True)]
    return labels
