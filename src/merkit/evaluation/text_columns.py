"""Test scores with other words: a run's checkpoints read another column of the corpus in place of the transcript.

Training read the transcript. Another column (``asr_text``: the output of a speech recogniser) replaces it, in the
context too, and the same checkpoints predict the test split again.
"""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from merkit.core.errors import ConfigError
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest
from merkit.data.corpus.text_column import with_text_column
from merkit.evaluation.conditions import Condition, LoadedCell, compare_conditions, predict_once
from merkit.evaluation.stored import Run
from merkit.io.predictions import predictions_table

FILE = "predictions-text-column.parquet"
"""In a cell's folder; its column ``text_column`` names the column that was read."""


def text_conditions(
    run: Run, manifest: Manifest, column: str, features: Path | None = None, progress: ProgressCallback | None = None
) -> list[Condition]:
    """Predict every cell's test split from another column's texts, unless that is stored, and score both columns.

    Args:
        run: A finished run of the manifest, of a model that reads text.
        manifest: The run's inputs.
        column: What is read in place of ``text``.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        progress: Called with the number of finished cells.

    Raises:
        ManifestError: The column is missing or holds no texts.
        ConfigError: ``column`` is the transcript itself.
        MerkitError: A checkpoint or an input cannot be read.
    """
    if column == "text":
        raise ConfigError("--text-column text: the runs read it already; name another column, such as asr_text")
    other = with_text_column(manifest, column)

    def predict(loaded: LoadedCell) -> pa.Table:
        wanted = set(loaded.cell.splits["test"].ids)
        predictions = loaded.recognizer.predict_dataset(loaded.dataset(wanted))
        kept = [prediction for prediction in predictions if prediction.id in wanted]
        return predictions_table(kept, loaded.recognizer.labels, text_column=column)

    predict_once(
        run,
        other,
        FILE,
        predict,
        description=f"text column {column}",
        settings=f"{column} {other.sha256}",
        features=features,
        progress=progress,
    )
    tested = {id_ for cell in run.cells for id_ in cell.splits["test"].ids}
    return [
        replace(condition, missing=sum(u.text is None for u in read.utterances if u.id in tested))
        for condition, read in zip(compare_conditions(run, "text", FILE, "text_column"), (manifest, other), strict=True)
    ]
