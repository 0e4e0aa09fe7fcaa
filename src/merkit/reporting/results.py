"""Runs gathered for print: read back, scored anew, grouped by protocol, ordered, and compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.core.lookup import unknown
from merkit.encoders.checkpoint import describe_extractors
from merkit.evaluation.comparison import Comparison, compare_all
from merkit.evaluation.probes import ProbeRow
from merkit.evaluation.scores import score
from merkit.evaluation.stored import Run, open_run
from merkit.evaluation.subsets import SubsetRow
from merkit.evaluation.text_columns import TextRow
from merkit.experiments.grid import Variant, variant_of
from merkit.reporting.reference import Reference, above

FLOORS = ("majority", "text_lookup", "bag_of_words")
"""Models that every system must beat, in the order of the table."""
METRIC_NAMES = {
    "accuracy": "Accuracy (WA)",
    "mean_recall": "Mean recall (UA)",
    "weighted_f1": "Weighted F1",
    "macro_f1": "Macro F1",
}
SELECTION_NAMES = {
    "best_valid": "epoch best on the validation part",
    "last": "last epoch",
    "best_test": "epoch best on the TEST part: leaky, the paper's own rule",
}


@dataclass(frozen=True, eq=False)
class Entry:
    """A run with its scores and the name it is printed under."""

    name: str
    run: Run
    scores: dict[str, Any]
    subsets: tuple[SubsetRow, ...] = ()
    """Figures with some of its modalities, where they were asked for."""
    probes: tuple[ProbeRow, ...] | None = None
    """Figures of linear probes, empty for a model that offers no representation; ``None``: they were not asked for."""
    texts: tuple[TextRow, ...] = ()
    """Figures with the transcript and with another column's texts, where they were asked for."""
    variant: Variant | None = None
    """Which variant of a grid it is; ``None`` for a run of no grid."""

    @property
    def is_floor(self) -> bool:
        """Whether the model is one that every system must beat."""
        return self.run.model in FLOORS

    @property
    def modalities(self) -> str:
        """Modalities of its encoders joined by ``+``; empty for a model without encoders."""
        encoders = self.run.recipe.get("encoders", {})
        return "+".join(name for name in ("text", "audio", "video") if name in encoders)

    @property
    def encoders(self) -> str:
        """Its encoders in words, such as ``text: bert (minilm, frozen); audio: praat``, and its teacher, if any."""
        encoders = self.run.recipe.get("encoders", {})
        told = "; ".join(f"{modality}: {_told(modality, keys)}" for modality, keys in encoders.items()) or "no encoder"
        return "; ".join([told, *_taught(self.run.recipe)])

    @property
    def changes(self) -> str:
        """What it changes as a variant of a grid, in words; empty for the base and a run of no grid."""
        return "" if self.variant is None else ", ".join(self.variant.changes)


@dataclass(frozen=True, eq=False)
class Group:
    """All runs of one protocol, floors first, and what their comparison with one of them says."""

    protocol: str
    entries: tuple[Entry, ...]
    compared_with: Entry
    comparisons: tuple[Comparison, ...]
    printed: tuple[Reference, ...]
    """Printed figures of this protocol, of all systems and variants."""

    @property
    def metric(self) -> str:
        """The protocol's first metric."""
        return self.entries[0].run.protocol.metrics[0]

    def printed_for(self, entry: Entry) -> list[Reference]:
        """Return the printed figures of an entry's system."""
        return above(self.printed, entry.run.model, self.protocol, entry.modalities)

    def printed_above(self, entry: Entry) -> list[Reference]:
        """Return likewise what stands above an entry in a table: nothing where an earlier one has the same."""
        printed = self.printed_for(entry)
        earlier = self.entries[: self.entries.index(entry)]
        return [] if any(self.printed_for(other) == printed for other in earlier) else printed


def gather(
    runs: Sequence[Path],
    printed: Sequence[Reference] = (),
    *,
    data: Path | None = None,
    reference: str | None = None,
) -> list[Group]:
    """Read and score runs and compare those of each protocol.

    Args:
        runs: Folders that `merkit train` wrote.
        printed: Figures printed in papers.
        data: Where the manifest lies, if not where the runs found it.
        reference: Name of the run (its folder's) that the others of its protocol are compared with. Elsewhere, and
            if none is named: the base, if the runs are of one grid; else the `single` model that is best on validation,
            else the best floor on validation.

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
    protocols = list(dict.fromkeys(entry.run.protocol_name for entry in entries))
    return [_group(name, [e for e in entries if e.run.protocol_name == name], printed, reference) for name in protocols]


def _group(protocol: str, entries: Sequence[Entry], printed: Sequence[Reference], reference: str | None) -> Group:
    ordered = sorted(entries, key=_place)
    named = next((entry for entry in ordered if entry.name == reference), None)
    chosen = named or _base(ordered) or _yardstick(ordered)
    compared = [entry for entry in ordered if entry is not chosen]
    comparisons = compare_all([entry.run for entry in compared], chosen.run)
    return Group(
        protocol=protocol,
        entries=tuple(ordered),
        compared_with=chosen,
        comparisons=tuple(
            replace(comparison, system=entry.name, reference=chosen.name)
            for entry, comparison in zip(compared, comparisons, strict=True)
        ),
        printed=tuple(figure for figure in printed if figure.is_for(protocol)),
    )


def _told(modality: str, keys: Mapping[str, Any]) -> str:
    """Return a recipe's encoder in words: its weights and whether they are trained, or the published features' name.

    A folder or hub id is told by its last part; a feature extractor by what it is made of and by how the downstream
    model's vectors were made, as in ``single on bert (minilm, fine-tuned), cross-fitted (5)``.
    """
    features = describe_extractors({modality: keys})
    if features is not None:
        stage = keys.get("recipe")
        if not stage:
            return f"a trained model, {features}"
        name = " ".join([stage["model"], *(f"({told})" for told in _taught(stage))])
        return f"{name} on {_told(modality, stage['encoders'][modality])}, {features}"
    told = [Path(keys["weights"]).name.removeprefix("builtin:")] if "weights" in keys else []
    told += [_trained(keys)] if "frozen" in keys else []
    told += [keys["features"]] if "features" in keys else []
    return f"{keys['name']} ({', '.join(told)})" if told else str(keys["name"])


def _taught(recipe: Mapping[str, Any]) -> list[str]:
    """Return a resolved recipe's teacher in words, as in ``distilled from bc_lstm on text and audio``, if it has
    one.
    """
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


def _place(entry: Entry) -> tuple[int, int]:
    """Return what orders the rows: floors first, variants in their grid's order."""
    floor = FLOORS.index(entry.run.model) if entry.is_floor else len(FLOORS)
    return floor, 0 if entry.variant is None else entry.variant.number


def _base(entries: Sequence[Entry]) -> Entry | None:
    """Return the base of the one grid that the entries are of, floors aside."""
    systems = [entry for entry in entries if entry.variant is not None or not entry.is_floor]
    folders = {entry.run.path.resolve().parent for entry in systems}
    if len(folders) != 1 or any(entry.variant is None for entry in systems):
        return None
    return next((entry for entry in systems if entry.variant is not None and entry.variant.number == 0), None)


def _yardstick(entries: Sequence[Entry]) -> Entry:
    """Return what fusion has to beat, chosen on validation so that the choice is not made on the test part."""
    metric = entries[0].run.protocol.metrics[0]
    singles = [entry for entry in entries if entry.run.model == "single"]
    floors = [entry for entry in entries if entry.is_floor]
    candidates = singles or floors or list(entries)
    return max(candidates, key=lambda entry: float(entry.scores["valid"][metric]["mean"]))


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, with as much of the path as tells equal ones apart."""
    names = [path.resolve().name for path in paths]
    doubled = {name for name, times in Counter(names).items() if times > 1}
    return [
        f"{path.resolve().parent.name}/{name}" if name in doubled else name
        for path, name in zip(paths, names, strict=True)
    ]
