"""``merkit train``: every fold and seed of a recipe."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from merkit.cli.console import show_json
from merkit.cli.options import AllowPartial, AsJson, Features, Overrides, Seeds, is_first_process
from merkit.cli.progress import shown_progress
from merkit.cli.scores import grid_summary, print_grid, print_next_steps, print_scores, summary


def train(
    recipe: Annotated[
        Path,
        typer.Argument(help="A recipe: a file, or a name that 'merkit list recipes' prints.", show_default=False),
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder of the prepared corpus.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; by default runs/MODEL-RECIPE.")] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            "--grid", help="Variants of the recipe, a file or a name: each a run below --out, all in one table."
        ),
    ] = None,
    seeds: Seeds = None,
    set_: Overrides = [],  # noqa: B006 (typer copies it)
    group: Annotated[str | None, typer.Option("--group", help="Protocol table: column that no fold may cut.")] = None,
    folds: Annotated[int | None, typer.Option("--folds", help="Protocol table: how many folds.")] = None,
    features: Features = None,
    allow_partial: AllowPartial = False,
    legacy_best_on_test: Annotated[
        bool,
        typer.Option("--legacy-best-on-test", help="Also print the leaky score of the epoch that is best on test."),
    ] = False,
    extractors: Annotated[
        Path | None,
        typer.Option(
            "--feature-extractors", help="Where feature extractors lie; runs may share it. [RUN/feature-extractors]"
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Train anew what other code made from the same settings and data."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe on every fold and seed, and score it.

    The test split is scored once, after training; scores have 95 % intervals. Resumes an interrupted run.
    """
    from merkit.api.training import train_and_score
    from merkit.core.errors import ConfigError
    from merkit.experiments.recipe_reader import read_recipe

    if grid is not None and extractors is not None:
        raise ConfigError("--feature-extractors goes with one recipe: variants of a grid may differ in theirs")
    overrides = list(set_)
    overrides += [f"seeds={seeds}"] if seeds is not None else []
    overrides += [f"options.group={json.dumps(group)}"] if group is not None else []
    overrides += [f"options.folds={folds}"] if folds is not None else []
    options: dict[str, Any] = {
        "features": features,
        "allow_partial": allow_partial,
        "legacy_best_on_test": legacy_best_on_test,
        "again": again,
    }
    if grid is not None:
        _train_variants(grid, recipe, overrides, data, out, as_json=as_json, **options)
        return
    checked = read_recipe(recipe, overrides)
    run = out if out is not None else Path("runs") / f"{checked.model.name}-{recipe.stem}"
    with shown_progress() as progress:
        scores = train_and_score(checked, data, run, extractors=extractors, progress=progress, **options)
    if not is_first_process():
        return
    if as_json:
        show_json(summary(scores))
    else:
        print_scores(scores)
        print_next_steps(run, scores)


def _train_variants(
    grid: Path, recipe: Path, overrides: list[str], data: Path, out: Path | None, *, as_json: bool, **options: Any
) -> None:
    from merkit.api.training import train_and_score_grid
    from merkit.experiments.grid import read_grid
    from merkit.reporting.results import gather

    variants = read_grid(grid, recipe, overrides)
    folder = out if out is not None else Path("runs") / f"{variants[0].recipe.model.name}-{recipe.stem}-{grid.stem}"
    with shown_progress() as progress:
        runs = train_and_score_grid(variants, data, folder, progress=progress, **options)
    if not is_first_process():
        return
    group = gather(runs, data=data)[0]
    if as_json:
        show_json(grid_summary(group))
    else:
        print_grid(group)
