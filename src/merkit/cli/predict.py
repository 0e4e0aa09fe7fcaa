"""``merkit predict``: a checkpoint's predictions for a whole corpus."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show, show_prose
from merkit.cli.failures import FailFast, exit_if_failed
from merkit.cli.options import Checkpoint, Data, Features, Labels, Prior, TextColumn, decision_options
from merkit.cli.progress import shown_progress


def predict(
    data: Data,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option("--out", help="File to write: .parquet, .csv or .jsonl.", show_default=False)],
    features: Features = None,
    text_column: TextColumn = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Utterances in a batch: changes the speed, not the predictions.")
    ] = 32,
    labels: Labels = None,
    prior: Prior = None,
    fail_fast: FailFast = False,
) -> None:
    """Predict every utterance of a prepared corpus.

    Resumes an interrupted run; what is done already is left out. Utterances that cannot be read are listed at the end
    and in the record OUT.json.
    """
    from merkit.formats.checkpoint_folder import check_folder
    from merkit.inference.parts import locked_parts

    check_folder(checkpoint)
    options = decision_options(labels, prior)
    with locked_parts(out), shown_progress() as progress:  # before the slow imports
        from merkit.api.recognition import checkpoint_folder
        from merkit.data.corpus.manifest import read_manifest
        from merkit.inference.bulk import predict_corpus

        done = predict_corpus(
            checkpoint_folder(str(checkpoint)),
            read_manifest(data),
            out,
            features=features,
            text_column=text_column,
            batch_size=batch_size,
            fail_fast=fail_fast,
            options=options,
            name=str(checkpoint),
            progress=progress,
        )
    incomplete = f", {len(done.failures)} utterances without one" if done.failures else ""
    unlabelled = f", {done.without_label} without a label (column reason)" if done.without_label else ""
    show(f"{out}: {done.count} predictions, {done.old} of them already done{unlabelled}{incomplete}")
    if done.note is not None:
        show_prose(done.note)
    exit_if_failed(done.failures, done.count, "utterances")
