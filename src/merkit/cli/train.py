"""``merkit train``: folds times seeds of one recipe."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from merkit.cli.options import AllowPartial, AsJson, Features
from merkit.cli.progress import shown_progress


def train(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe file, such as recipes/concat/meld7.toml.", show_default=False)
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder of the prepared corpus.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; by default runs/MODEL-RECIPE.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="How many seeds: 0, 1, …")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", help="Override a key of the recipe: training.epochs=3. May be repeated.")
    ] = [],  # noqa: B006 (typer copies it)
    group: Annotated[str | None, typer.Option("--group", help="Protocol table: column that no fold may cut.")] = None,
    folds: Annotated[int | None, typer.Option("--folds", help="Protocol table: how many folds.")] = None,
    features: Features = None,
    allow_partial: AllowPartial = False,
    legacy_best_on_test: Annotated[
        bool,
        typer.Option("--legacy-best-on-test", help="Print the leaky best-epoch-on-test figure beside the clean one."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe: folds times seeds, sealed test, intervals. Goes on where it was stopped."""
    from merkit.experiments.recipe import read_recipe
    from merkit.experiments.run import train_recipe

    overrides = list(set_)
    overrides += [f"seeds={seeds}"] if seeds is not None else []
    overrides += [f"options.group={json.dumps(group)}"] if group is not None else []
    overrides += [f"options.folds={folds}"] if folds is not None else []
    checked = read_recipe(recipe, overrides)
    run = out if out is not None else Path("runs") / f"{checked.model.name}-{recipe.stem}"
    with shown_progress() as progress:
        scores = train_recipe(
            checked,
            data,
            run,
            features=features,
            allow_partial=allow_partial,
            legacy_best_on_test=legacy_best_on_test,
            progress=progress,
        )
    if as_json:
        print(json.dumps(summary(scores)))
    else:
        print_scores(scores)


_SUMMARY = ("model", "protocol", "selection", "seeds", "folds", "test", "seconds", "peak_memory_bytes", "run")


def summary(scores: dict[str, Any]) -> dict[str, Any]:
    """Return what ``--json`` prints of a run's scores."""
    return {key: scores[key] for key in _SUMMARY}


def print_scores(scores: dict[str, Any]) -> None:
    """Print a run's test figures and per-class F1 as two tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    count = len(scores["seeds"])
    title = (
        f"{scores['model']} on {scores['protocol']}: sealed test, {scores['support']} utterances, "
        f"{count} seed{'s' * (count != 1)}, {len(scores['folds'])} fold{'s' * (len(scores['folds']) != 1)}, "
        f"epoch by {scores['selection']}"
    )
    table = Table("metric", "mean", "sd", "95 % interval", title=title, title_justify="left")
    for name, figure in scores["test"].items():
        low, high = figure["interval"]
        table.add_row(
            name, f"{100 * figure['mean']:.2f}", f"{100 * figure['sd']:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"
        )
    console.print(table)
    classes = Table("class", "utterances", "precision", "recall", "F1")
    for row in scores["per_class"]:
        figures = (_percent(row[name]["mean"]) for name in ("precision", "recall", "f1"))
        classes.add_row(row["label"], str(row["support"]), *figures)
    console.print(classes)
    leaky = scores.get("legacy_best_on_test")
    if leaky:
        told = ", ".join(f"{name} {100 * leaky[name]['mean']:.2f}" for name in scores["test"])
        console.print(f"LEAKY, best epoch on test, not a result: {told}")
    console.print(f"run: {scores['run']}")


def _percent(share: float | None) -> str:
    """Return a share in percent; a dash where it is undefined, as the precision of a class that is never predicted."""
    return "–" if share is None else f"{100 * share:.1f}"
