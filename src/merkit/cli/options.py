"""Options that several commands share, and the reading of ``key=value``."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

Data = Annotated[Path, typer.Argument(help="Folder of a prepared corpus.", show_default=False)]
Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Folder 'checkpoint' of a run.", show_default=False)]
Features = Annotated[
    Path | None,
    typer.Option("--features", help="Folder for extracted features; by default 'features' in the data folder."),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        help="Column to read instead of the transcript, such as asr_text, the output of a speech recogniser.",
        show_default=False,
    ),
]
AllowPartial = Annotated[
    bool,
    typer.Option("--allow-partial", help="Accept counts that differ from the published ones; every result states it."),
]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Setting of the corpus, encoder or aligner. May be repeated."),
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the recipe: training.epochs=3. May be repeated."
    ),
]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="How many seeds: 0, 1, …")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


def is_first_process() -> bool:
    """Return whether this is the process that prints: the first of those started by ``accelerate`` or ``torchrun``."""
    return os.environ.get("RANK", "0") == "0"


def parse_values(pairs: list[str]) -> dict[str, Any]:
    """Return ``key=value`` pairs as a dictionary; a value that is not TOML is a string.

    Raises:
        MerkitError: A pair has no key or no ``=``.
    """
    from merkit.experiments.recipe_files import put_override

    values: dict[str, Any] = {}
    for pair in pairs:
        put_override(values, pair)
    return values
