"""One cell of an experiment's grid: one fold, one seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from merkit.core.protocol import Fold, Protocol
from merkit.data.corpus.manifest import Manifest
from merkit.experiments.recipe import Recipe


@dataclass(frozen=True)
class Cell:
    """All settings and inputs of one fold and seed."""

    folder: Path
    run: Path
    """Folder of the run, below which other models that the cell needs are trained."""
    recipe: Recipe
    protocol: Protocol
    manifest: Manifest
    """Without the attributes, and so the labels, of the fold's test split."""
    members: Sequence[str]
    """Ids of the utterances that take part in the protocol, in the manifest's order."""
    fold: Fold
    seed: int
    folds: Callable[[int], Sequence[Fold]]
    """Returns the protocol's folds with a seed."""
    features: Path
    """Folder of the feature stores."""
    extractor_folder: Path
    """Folder of the runs of the feature extractors, by modality."""
    extractors: Mapping[str, Path] = field(default_factory=dict)
    """By modality the checkpoint of the feature extractor that the recipe had trained on the whole training split."""
    legacy_best_on_test: bool = False
    """Keep unlabelled test predictions of every epoch, for the leaky score that is printed beside the clean one."""

    @property
    def name(self) -> str:
        """Return the cell's fold and seed in words."""
        return f"fold {self.fold.name}, seed {self.seed}"

    @property
    def splits(self) -> dict[str, Sequence[str]]:
        """Return the ids of the utterances of each split."""
        return {"train": tuple(self.fold.train), "valid": tuple(self.fold.valid), "test": self.fold.test}
