"""Options that several commands share, and the reading of ``key=value``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.core.errors import ConfigError

if TYPE_CHECKING:
    from merkit.io.decision_rule import DecisionOptions

Data = Annotated[Path, typer.Argument(help="Folder of a prepared corpus.", show_default=False)]
Checkpoint = Annotated[
    Path,
    typer.Option(
        "--checkpoint",
        help="Folder 'checkpoint' of a run, or a built-in model, such as builtin:conversation-en.",
        show_default=False,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="all|LABEL,LABEL",
        help="Labels that a model with a decision rule, such as builtin:voice, may give; by default those it names.",
    ),
]
Prior = Annotated[
    str | None,
    typer.Option(
        "--prior",
        metavar="even|LABEL=P,LABEL=P",
        help="How probable labels are before anything is read, for such a model; other labels share the rest evenly.",
    ),
]
Channels = Annotated[
    str,
    typer.Option(
        "--channels",
        help="auto: two that differ are two speakers, those of the same sound are mixed; split: each channel is a "
        "speaker; mix, left or right.",
    ),
]
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
TextCondition = Annotated[
    str | None,
    typer.Option(
        "--text-condition",
        metavar="plain",
        help="plain: score the runs also on texts in lower case without punctuation, as most recognisers write.",
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


def decision_options(labels: str | None, prior: str | None) -> "DecisionOptions":
    """Return what ``--labels`` and ``--prior`` say.

    Raises:
        ConfigError: A part of the prior has no ``=`` or no number, or names a label again.
    """
    from merkit.io.decision_rule import ALL_LABELS, EVEN_PRIOR, DecisionOptions

    chosen = labels if labels in (None, ALL_LABELS) else [label.strip() for label in str(labels).split(",")]
    if prior in (None, EVEN_PRIOR):
        return DecisionOptions(chosen, prior)
    by_label: dict[str, float] = {}
    for part in str(prior).split(","):
        label, equals, number = (each.strip() for each in part.rpartition("="))
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or label in by_label:
            expected = f"'{EVEN_PRIOR}' or a probability for each label once, such as neutral=0.8"
            raise ConfigError(f"--prior {prior}: found '{part.strip()}', expected {expected}")
        by_label[label] = value
    return DecisionOptions(chosen, by_label)


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
