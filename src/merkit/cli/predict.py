"""``merkit predict``: a checkpoint's predictions for a whole corpus."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show
from merkit.cli.options import Checkpoint, Data, Features, TextColumn
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
) -> None:
    """Predict every utterance of a prepared corpus.

    Resumes an interrupted run.
    """
    from merkit.data.corpus.manifest import read_manifest
    from merkit.inference.bulk import predict_corpus

    with shown_progress() as progress:
        count = predict_corpus(
            checkpoint,
            read_manifest(data),
            out,
            features=features,
            text_column=text_column,
            batch_size=batch_size,
            progress=progress,
        )
    show(f"{out}: {count} predictions")
