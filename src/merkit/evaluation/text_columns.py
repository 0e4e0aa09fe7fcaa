"""A run's checkpoints with other words: the transcript and another column of the corpus side by side on the test part.

Training read the transcript. What another column holds (``asr_text``, what a speech recogniser heard) is put in its
place, in the context too, and the same checkpoints are asked again. Predictions lie beside those of training,
unlabelled; they are made once for a column.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from merkit.core.errors import ConfigError
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest
from merkit.data.corpus.text_column import lacking, with_text_column
from merkit.evaluation.replay import Difference, Figures, Replay, draw, figures_of, join_replayed, replay, replayed
from merkit.evaluation.stored import Run
from merkit.io.predictions import predictions_table
from merkit.metrics.intervals import percentile_interval

FILE = "predictions-text-column.parquet"
"""In a cell's folder: column ``text_column`` names the one that was read."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """The test figures of a run that reads one column of texts."""

    column: str
    missing: int
    """Test utterances without a text in it."""
    figures: Figures
    drops: Mapping[str, Difference]
    """By metric, how much is lost against the transcript; empty for the transcript itself."""

    @property
    def given(self) -> str:
        """Return what the run was given, in words."""
        return self.column


def text_rows(
    run: Run, manifest: Manifest, column: str, features: Path | None = None, progress: ProgressCallback | None = None
) -> list[TextRow]:
    """Predict every cell's test part with another column's texts, unless that is there, and score both.

    Args:
        run: A finished run of the manifest, of a model that reads text.
        manifest: Where its inputs are.
        column: What is read in the place of ``text``.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        progress: Told how many cells are done.

    Raises:
        ManifestError: The column is not there or holds no texts.
        ConfigError: ``column`` is the transcript itself.
        MerkitError: A checkpoint or an input cannot be read.
    """
    if column == "text":
        raise ConfigError("--text-column text: the runs read it already; name another column, such as asr_text")
    other = with_text_column(manifest, column)

    def answer(asked: Replay) -> pa.Table:
        wanted = set(asked.cell.splits["test"].ids)
        found = asked.recognizer.predict_dataset(asked.dataset(wanted))
        predictions = [prediction for prediction in found if prediction.id in wanted]
        return predictions_table(predictions, asked.recognizer.labels, text_column=column)

    settings = f"{column} {other.sha256}"
    replay(
        run, other, FILE, answer, told=f"text column {column}", settings=settings, features=features, progress=progress
    )
    counts = run.count(join_replayed(run, replayed(run, FILE), FILE, "text_column", column))
    before, after = draw(run, run.counts), draw(run, counts)
    first, second = figures_of(run, run.counts, before), figures_of(run, counts, after)
    drops = {
        name: Difference(first[name]["mean"] - second[name]["mean"], percentile_interval(before[name] - after[name]))
        for name in second
    }
    tested = {id_ for cell in run.cells for id_ in cell.splits["test"].ids}
    missing = [lacking([u for u in each.utterances if u.id in tested]) for each in (manifest, other)]
    return [TextRow("text", missing[0], first, {}), TextRow(column, missing[1], second, drops)]
