"""Generate the augmented views of a recipe before training, as ``merkit augment`` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.core.errors import ConfigError
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import read_manifest
from merkit.experiments.recipe import Recipe
from merkit.experiments.run import open_protocol
from merkit.experiments.transforms.augmented_views import Maker, ViewsTable


@dataclass(frozen=True)
class Augmented:
    """The views of one fold and seed."""

    fold: str
    seed: int
    utterances: int
    views: int
    new: int
    kept: int
    """Views with the utterance's own recording, since its text has no words to speak."""
    voices: tuple[str, ...]
    """Speakers whose voices are used, sorted."""
    tested: tuple[str, ...]
    """The speakers of the test split, sorted."""


def augment_recipe(
    recipe: Recipe, data: Path, *, allow_partial: bool = False, progress: ProgressCallback | None = None
) -> Sequence[Augmented]:
    """Generate the missing views of all folds and seeds of a recipe.

    Raises:
        MerkitError: The recipe has no ``[views]``, or anything else a user can mend.
    """
    views = recipe.transforms.get("views")
    if not isinstance(views, ViewsTable):
        raise ConfigError("the recipe has no table [views]: add one, which names engines")
    manifest = read_manifest(data)
    protocol = open_protocol(recipe, manifest, allow_partial)
    maker = Maker(views, manifest)
    turns = {turn.utterance.id: turn for turn in manifest.turns()}
    rows = []
    for seed in range(recipe.seeds):
        for fold in protocol.folds(manifest.utterances, seed):
            made = maker.make(maker.plan(fold), turns, progress)
            rows.append(
                Augmented(
                    fold=fold.name,
                    seed=seed,
                    utterances=len(fold.train),
                    views=len(made.turns),
                    new=made.new,
                    kept=made.kept,
                    voices=tuple(sorted({view.voice for view in made.planned})),
                    tested=tuple(sorted({manifest.by_id[name].speaker for name in fold.test})),
                )
            )
    return rows
