"""``merkit augment``: make the augmented utterances of a recipe before training."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show, show_json
from merkit.cli.options import AllowPartial, AsJson, Data, Overrides, Seeds
from merkit.cli.progress import shown_progress


def augment(
    data: Data,
    recipe: Annotated[
        Path, typer.Option("--recipe", help="Recipe with a table [views]: the files are made for its folds and seeds.")
    ],
    seeds: Seeds = None,
    set_: Overrides = [],  # noqa: B006 (typer copies it)
    allow_partial: AllowPartial = False,
    as_json: AsJson = False,
) -> None:
    """Augment the training split with other words and voices.

    Training does so by itself where the recipe asks for it. Resumes an interrupted run.
    """
    from merkit.experiments.augment import augment_recipe
    from merkit.experiments.recipe_reader import read_recipe

    checked = read_recipe(recipe, [*set_, *([f"seeds={seeds}"] if seeds is not None else [])])
    with shown_progress() as progress:
        made = augment_recipe(checked, data, allow_partial=allow_partial, progress=progress)
    if as_json:
        show_json([asdict(row) for row in made])
        return
    for row in made:
        kept = f", {row.kept} with the original recording (no words to speak)" if row.kept else ""
        shared = len(set(row.voices) & set(row.tested))
        voices = f"{len(row.voices)} voices, {shared or 'none'} of them among the {len(row.tested)} test speakers"
        show(
            f"fold {row.fold}, seed {row.seed}: {row.views} views of {row.utterances} utterances, {row.new} new "
            f"files{kept}; {voices}"
        )
