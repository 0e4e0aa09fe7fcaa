"""``merkit features``: fill the feature store before training."""

from typing import Annotated

import typer

from merkit.cli.console import show
from merkit.cli.failures import FailFast, end
from merkit.cli.options import Data, Features, Settings, parse_values
from merkit.cli.progress import shown_progress


def features(
    data: Data,
    encoder: Annotated[str, typer.Option("--encoder", help="Name of an encoder; 'merkit list encoders' names them.")],
    modality: Annotated[str | None, typer.Option("--modality", help="The modality, for an encoder of several.")] = None,
    set_: Settings = [],  # noqa: B006 (typer copies it)
    features: Features = None,
    fail_fast: FailFast = False,
) -> None:
    """Extract an encoder's features for a whole corpus.

    Training does so by itself. Resumes an interrupted run. Utterances that cannot be read are listed at the end.
    """
    from merkit.experiments.features import fill_store

    with shown_progress() as progress:
        filled = fill_store(data, encoder, modality, parse_values(set_), features, progress, fail_fast=fail_fast)
    missing = f", {filled.absent} without {filled.modality}" if filled.absent else ""
    show(f"{filled.folder}: {filled.new} utterances extracted, {filled.old} already done{missing}")
    end(filled.failures, filled.new + filled.old, "utterances")
