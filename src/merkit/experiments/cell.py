"""One cell of an experiment's grid: one fold, one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from merkit.core.protocol import Fold, Protocol
from merkit.data.corpus.manifest import Manifest
from merkit.experiments.extractors import TrainedExtractor
from merkit.experiments.recipe import Recipe


@dataclass(frozen=True)
class Cell:
    """What one fold and seed needs to be run."""

    folder: Path
    recipe: Recipe
    protocol: Protocol
    manifest: Manifest
    members: Sequence[str]
    """Ids of the utterances that take part in the protocol, in the manifest's order."""
    fold: Fold
    seed: int
    features: Path
    legacy_best_on_test: bool
    """Keep unlabelled test predictions of every epoch, for the leaky figure that is printed beside the clean one."""
    extractors: Mapping[str, TrainedExtractor] = field(default_factory=dict)
    """By modality: what the encoders are made of that the recipe has trained first."""
    teachers: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """By training conversation the checkpoints that answer for it, none of which has learned from it; empty: labels
    alone teach."""

    @property
    def name(self) -> str:
        """Return the cell's place in its run."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def splits(self) -> dict[str, Sequence[str]]:
        """Return the ids of the utterances of each split."""
        return {"train": tuple(self.fold.train), "valid": tuple(self.fold.valid), "test": self.fold.test}
