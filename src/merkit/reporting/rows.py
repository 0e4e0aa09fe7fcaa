"""Rows of ``report.csv`` and ``results/ours.csv``: one for each run and metric, with all that describes the score."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from merkit.core.settings import Settings
from merkit.reporting.csv_file import known_metric, read_csv
from merkit.reporting.section import to_csv

SIMPLEST_FIRST = (
    ("majority",),
    ("text_lookup",),
    ("bag_of_words", "linear", "svm"),
    ("single", "single_conversation"),
    ("late_average", "concat"),
)
"""The models that are simpler than a system, by steps; every other model comes after them."""
BASELINES = tuple(model for step in SIMPLEST_FIRST[:3] for model in step)
"""Models that every system must beat, in the order of the table."""
Percent = Annotated[float | None, BeforeValidator(lambda cell: None if cell == "" else cell)]


class ResultRow(Settings):
    """Test score of one run on one metric; the fields are the columns of the file, scores are percentages."""

    protocol: str
    run: str
    model: str
    modalities: str
    """Those of its encoders, joined by ``+``."""
    features: str
    changes: str
    """What a variant of a grid changes; empty elsewhere."""
    metric: Annotated[str, AfterValidator(known_metric)]
    mean: float
    """Over seeds."""
    std: Percent
    """Standard deviation over seeds; empty for one seed."""
    low: float
    """Of the 95 % bootstrap confidence interval over clusters."""
    high: float
    pooled: float
    """The mean where the predictions of all folds are put together before scoring."""
    valid: float
    """The mean on validation."""
    selection: Literal["best_valid", "last", "best_test", "none"]
    """What selected the epoch; ``none``: the model is fitted without epochs."""
    leaky_best_on_test: Percent
    """The mean of the epochs that are best on the test split: not a result."""
    seeds: str
    folds: int
    averaging: Literal["folds", "pooled"]
    """Whether ``mean`` averages the folds' scores or is that of their pooled predictions."""
    support: int
    """Test utterances."""
    clusters: int
    """How many conversations or speakers the interval resamples."""
    cluster: str
    published_counts: bool
    """Whether the corpus has the counts of the published one, where any are published."""
    reads_recordings: bool
    """Whether the checkpoint can be used on recordings; not where an input is published features."""
    parameters: int
    trainable_parameters: int
    seconds: str
    """Of training, all seeds and folds."""
    peak_memory_bytes: int
    corpus_version: int
    data_sha256: str
    recipe_sha256: str
    merkit: str
    commit: str
    code_sha256: str
    """Of the names and hashes of the source files that made the run; several where the code of its cells differs."""

    @property
    def is_baseline(self) -> bool:
        """Whether the model is one that every system must beat."""
        return self.model in BASELINES

    @property
    def seed_count(self) -> int:
        """The number of seeds."""
        return len(self.seeds.split())


COLUMNS = tuple(ResultRow.model_fields)


def by_run(rows: Iterable[ResultRow]) -> list[list[ResultRow]]:
    """Return the rows of each run, a row for each metric, in their order."""
    return [list(of_run) for _, of_run in groupby(rows, key=lambda row: (row.protocol, row.run))]


def rows_csv(rows: Iterable[ResultRow]) -> str:
    """Return rows as CSV with a header; truth values are ``yes`` and ``no``."""
    words = {False: "no", True: "yes"}
    records = ({name: words[value] if isinstance(value, bool) else value for name, value in row} for row in rows)
    return to_csv(records, COLUMNS)


def read_rows(path: Path) -> list[ResultRow]:
    """Read a file of results; nothing where the file is missing.

    Raises:
        MerkitError: The file cannot be read or has other columns, or a row is invalid; names the line.
    """
    return read_csv(path, ResultRow, "move it away and give the runs of all its protocols") if path.exists() else []
