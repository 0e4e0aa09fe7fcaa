"""Scores printed in papers (``results/reference.csv``), shown above our own and never mixed with them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import merkit
from merkit.core.errors import MerkitError
from merkit.metrics.classification import METRICS

EVIDENCE = ("paper", "secondary", "derived")


@dataclass(frozen=True, slots=True)
class Reference:
    """One printed score; the fields are the columns of the file."""

    system: str
    """Name of the model where merkit has it."""
    variant: str
    """Empty for the full system."""
    protocol: str
    """Name of the protocol, or the beginning of the names of a family such as ``iemocap4``."""
    modalities: str
    """Joined by ``+``."""
    metric: str
    """Name of the metric by its formula, whatever the paper calls it."""
    value: float
    """Percent, as printed."""
    selection: str
    """What the paper selected the epoch on."""
    features: str
    source: str
    evidence: str
    """``paper``; ``secondary``: quoted elsewhere; ``derived``: computed from other printed values."""
    note: str

    def is_for(self, protocol: str) -> bool:
        """Return whether the score was measured by a protocol, or by its family: ``iemocap4`` is for ``iemocap4-…``."""
        return protocol == self.protocol or protocol.startswith(self.protocol + "-")

    @property
    def made_of(self) -> str:
        """Modalities and features, such as ``text+audio: BERT; openSMILE 300``."""
        return ": ".join(dict.fromkeys([self.modalities, self.features]))


def shipped_references() -> Path:
    """Return the path of the file: inside an installed package, or in the source checkout."""
    package = Path(merkit.__file__).parent
    installed = package / "results" / "reference.csv"
    return installed if installed.exists() else package.parent.parent / "results" / "reference.csv"


def read_references(path: Path) -> list[Reference]:
    """Read the file.

    Raises:
        MerkitError: It is missing, lacks a column, or a row has an unknown metric, a value that is no percentage, or
            unknown evidence; names the line.
    """
    columns = [field.name for field in fields(Reference)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != columns:
                raise MerkitError(f"{path}: columns {reader.fieldnames} found, {columns} expected")
            rows = list(reader)
    except OSError as error:
        raise MerkitError(f"Cannot read the table of printed scores '{path}': {error.strerror}") from error
    return [_reference(path, number, row) for number, row in enumerate(rows, start=2)]


def above(references: Sequence[Reference], model: str, protocol: str, modalities: str) -> list[Reference]:
    """Return the scores printed for a model's full system, with the same modalities or else the first ones listed."""
    printed = [r for r in references if r.system == model and not r.variant and r.is_for(protocol)]
    same = [r for r in printed if r.modalities == modalities]
    return same or [r for r in printed if r.modalities == printed[0].modalities]


def _reference(path: Path, line: int, row: dict[str, str]) -> Reference:
    try:
        value = float(row["value"])
    except (TypeError, ValueError):
        raise MerkitError(f"{path} line {line}: value '{row['value']}' found, a percentage expected") from None
    for name, known in (("metric", tuple(METRICS)), ("evidence", EVIDENCE)):
        if row[name] not in known:
            raise MerkitError(f"{path} line {line}: {name} '{row[name]}' found, one of {', '.join(known)} expected")
    if not 0 < value < 100 or None in row:
        raise MerkitError(
            f"{path} line {line}: value {value} or a surplus cell found, a percentage and 11 cells expected"
        )
    return Reference(
        system=row["system"],
        variant=row["variant"],
        protocol=row["protocol"],
        modalities=row["modalities"],
        metric=row["metric"],
        value=value,
        selection=row["selection"],
        features=row["features"],
        source=row["source"],
        evidence=row["evidence"],
        note=row["note"] or "",
    )
