"""``merkit features``: fill the feature store before training, import features of one's own, export them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from merkit.cli.console import show, show_prose
from merkit.cli.failures import FailFast, exit_if_failed
from merkit.cli.options import Data, Features, Settings, parse_values
from merkit.cli.progress import shown_progress
from merkit.core.characters import one_line

Modality = Annotated[str | None, typer.Option("--modality", help="The modality, for an encoder of several.")]


class ExtractByDefault(TyperGroup):
    """``merkit features DATA …`` means ``merkit features extract DATA …``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in front where none is given."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["extract", *args]
        return super().parse_args(ctx, args)


def extract(
    data: Data,
    encoder: Annotated[str, typer.Option("--encoder", help="Name of an encoder; 'merkit list encoders' names them.")],
    modality: Modality = None,
    set_: Settings = [],  # noqa: B006 (typer copies it)
    features: Features = None,
    fail_fast: FailFast = False,
) -> None:
    """Extract an encoder's features for a whole corpus: merkit features DATA --encoder NAME.

    Training does this by itself. Resumes an interrupted run. Utterances that cannot be read are listed at the end.
    """
    from merkit.experiments.features import fill_store

    with shown_progress() as progress:
        filled = fill_store(data, encoder, modality, parse_values(set_), features, progress, fail_fast=fail_fast)
    missing = f", {filled.absent} without {filled.modality}" if filled.absent else ""
    show(f"{filled.folder}: {filled.new} utterances extracted, {filled.old} already done{missing}")
    if filled.note is not None:
        show_prose(filled.note)
    exit_if_failed(filled.failures, filled.new + filled.old, "utterances")


def import_(
    data: Data,
    file: Annotated[
        Path, typer.Argument(help="npz, CSV, TSV, Parquet, HDF5 or a pickle of arrays.", show_default=False)
    ],
    modality: Annotated[
        str, typer.Option("--modality", help="What the features describe: text, audio or video.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--name", help="How recipes call the features.", show_default=False)],
    array: Annotated[
        str | None,
        typer.Option(
            "--array",
            help="Which features, where the file holds several: an array, group or key, or a position in a tuple.",
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Utterances without features lack the modality.")
    ] = False,
    allow_undefined: Annotated[
        bool,
        typer.Option("--allow-undefined", help="NaN and empty cells are undefined: they count as the training mean."),
    ] = False,
) -> None:
    """Store features of your own in a corpus, joined by utterance id, for the encoder 'precomputed'."""
    from merkit.core.errors import ConfigError
    from merkit.core.lookup import unknown
    from merkit.core.types import MODALITIES
    from merkit.io.feature_files.files import read_features

    if modality not in MODALITIES:
        raise ConfigError(unknown("modality", modality, MODALITIES))
    read = read_features(file, modality, array)  # before torch is imported: a hostile file is refused at once

    from merkit.experiments.own_features import import_features

    found = import_features(
        data, read, file, modality, name, allow_missing=allow_missing, allow_undefined=allow_undefined
    )
    kind = f"sequences of {found.dim} columns" if found.sequences else f"vectors of {found.dim} columns"
    counts = [f"{found.utterances:,} utterances", f"{modality} {kind}"]
    counts += [f"{found.sequences:,} of them with several frames"] if 0 < found.sequences < found.utterances else []
    counts += [f"{found.missing:,} without features"] if found.missing else []
    counts += [f"{found.surplus:,} ids of the file are in no utterance and were left out"] if found.surplus else []
    counts += [f"{found.undefined:,} undefined values"] if found.undefined else []
    show(f"{one_line(str(found.folder))}: {', '.join(counts)}{'; already imported' if found.unchanged else ''}")
    if found.padded:
        show(
            f"{found.padded:,} sequences begin or end with frames of zeros, which are read as data: if it is padding, "
            "remove it or give the lengths"
        )
    show(f'in a recipe: [encoders.{modality}] name = "precomputed", features = "{one_line(name)}"')


def export(
    data: Data,
    out: Annotated[Path, typer.Argument(help="The file to be written: .npz, .parquet or .h5.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--name", help="Features that were imported, or came with the corpus.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Or an encoder, whose features are extracted first.")
    ] = None,
    modality: Modality = None,
    set_: Settings = [],  # noqa: B006 (typer copies it)
    features: Features = None,
) -> None:
    """Write a corpus' features to a file that other programs read, and 'import' too."""
    from merkit.experiments.own_features import export_features

    with shown_progress() as progress:
        written = export_features(
            data,
            out,
            name=name,
            encoder=encoder,
            modality=modality,
            settings=parse_values(set_),
            features=features,
            progress=progress,
        )
    undefined = f", {written.undefined:,} undefined values (NaN)" if written.undefined else ""
    show(f"{one_line(str(out))}: {written.utterances:,} utterances, {written.dim} columns{undefined}")


COMMANDS: dict[str, Callable[..., None]] = {"extract": extract, "import": import_, "export": export}
"""By name below ``merkit features``."""
