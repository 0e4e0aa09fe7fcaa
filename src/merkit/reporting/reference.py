"""Scores printed in papers (``results/reference.csv``), shown above our own and never mixed with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from merkit.core.settings import Settings
from merkit.experiments.shipped import shipped_folder
from merkit.reporting.csv_file import known_metric, read_csv


class Reference(Settings):
    """One printed score; the fields are the columns of the file."""

    system: str
    """Name of the model where merkit has it."""
    variant: str
    """Empty for the full system."""
    protocol: str
    """Name of the protocol, or the beginning of the names of a family such as ``iemocap4``."""
    modalities: str
    """Joined by ``+``."""
    metric: Annotated[str, AfterValidator(known_metric)]
    """Name of the metric by its formula, whatever the paper calls it."""
    value: Annotated[float, Field(gt=0, lt=100)]
    """Percent, as printed."""
    selection: str
    """What the paper selected the epoch on."""
    features: str
    source: str
    evidence: Literal["paper", "secondary", "derived"]
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
    """Return the path of the file that comes with merkit."""
    return shipped_folder("results") / "reference.csv"


def read_references(path: Path) -> list[Reference]:
    """Read the file.

    Raises:
        MerkitError: It cannot be read or has other columns, or a row is invalid; names the line.
    """
    return read_csv(path, Reference, "correct the file")


def above(references: Sequence[Reference], model: str, protocol: str, modalities: str) -> list[Reference]:
    """Return the scores printed for a model's full system, with the same modalities or else the first ones listed."""
    printed = [r for r in references if r.system == model and not r.variant and r.is_for(protocol)]
    same = [r for r in printed if r.modalities == modalities]
    return same or [r for r in printed if r.modalities == printed[0].modalities]
