"""Options that several commands share, and how ``key=value`` is read."""

import os
import tomllib
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
        help="Column that is read in the place of the transcript: asr_text, what a recogniser heard.",
        show_default=False,
    ),
]
AllowPartial = Annotated[
    bool,
    typer.Option("--allow-partial", help="Accept counts that differ from the published ones; said in every result."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def is_first_process() -> bool:
    """Return whether this process speaks: of those that ``accelerate launch`` or ``torchrun`` started, the first."""
    return os.environ.get("RANK", "0") == "0"


def parse_values(pairs: list[str]) -> dict[str, Any]:
    """Return ``key=value`` pairs as a dictionary; a value that is no TOML value is a string.

    Raises:
        MerkitError: A pair has no ``=``.
    """
    from merkit.core.errors import MerkitError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise MerkitError(f"--set {pair}: expected KEY=VALUE")
        try:
            values[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = text
    return values
