"""Test scores with other words: a run's checkpoints read another column of the corpus in place of the transcript.

Training read the transcript. Another column (``asr_text``: the output of a speech recogniser), or the transcript in
plain text, replaces it, in the context too, and the same checkpoints predict the test split again.
"""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from merkit.core.errors import ConfigError
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest
from merkit.data.corpus.text_column import with_plain_text, with_text_column
from merkit.evaluation.conditions import Condition, LoadedCell, compare_conditions, predict_once
from merkit.evaluation.stored import Run

FILE = "predictions-text-column"
"""In a cell's folder; its column ``text_column`` names the column that was read."""
PLAIN_FILE = "predictions-plain-text"
"""In a cell's folder: predictions for the transcript in plain text."""
PLAIN = "plain"
"""The name of that condition."""


def text_conditions(
    run: Run, column: str, features: Path | None = None, progress: ProgressCallback | None = None
) -> list[Condition]:
    """Predict every cell's test split from another column's texts, unless that is stored, and score both columns.

    ``column`` is read in place of ``text``; the other arguments are those of `predict_once`.

    Raises:
        ManifestError: The column is missing or holds no texts.
        ConfigError: ``column`` is the transcript itself.
        MerkitError: A checkpoint or an input cannot be read.
    """
    if column == "text":
        raise ConfigError("--text-column text: the runs read it already; name another column, such as asr_text")
    return _conditions(run, with_text_column(run.manifest, column), column, FILE, features, progress)


def plain_conditions(
    run: Run, features: Path | None = None, progress: ProgressCallback | None = None
) -> list[Condition]:
    """Predict every cell's test split from plain text, in lower case and without punctuation, and score both.

    What a model loses by it is what it reads in case and punctuation, which a recogniser does not write. Arguments and
    errors are those of `predict_once`.
    """
    return _conditions(run, with_plain_text(run.manifest), PLAIN, PLAIN_FILE, features, progress)


def _conditions(
    run: Run, other: Manifest, name: str, file: str, features: Path | None, progress: ProgressCallback | None
) -> list[Condition]:
    def predict(loaded: LoadedCell) -> pa.Table:
        return loaded.test_predictions({name: lambda dataset: dataset}, "text_column")

    predict_once(
        replace(run, manifest=other),
        file,
        predict,
        description=f"texts: {name}",
        settings=f"{name} {other.sha256}",
        features=features,
        progress=progress,
    )
    tested = {id_ for cell in run.cells for id_ in cell.splits["test"].ids}
    return [
        replace(condition, missing=sum(u.text is None for u in read.utterances if u.id in tested))
        for condition, read in zip(
            compare_conditions(run, "text", file, "text_column"), (run.manifest, other), strict=True
        )
    ]
