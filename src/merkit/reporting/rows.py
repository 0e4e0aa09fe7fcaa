"""Rows of ``report.csv`` and ``results/ours.csv``: one for each run and metric, with all that describes the score."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from merkit.core.phrases import number_of
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
Score = Annotated[float, AfterValidator(lambda value: round(value, 4))]
"""As the file has it, so that tables of a run and of the file are the same."""
Percent = Annotated[Score | None, BeforeValidator(lambda cell: None if cell == "" else cell)]
Count = Annotated[int | None, BeforeValidator(lambda cell: None if cell == "" else cell)]


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
    mean: Score
    """Over seeds."""
    std: Percent
    """Standard deviation over seeds; empty for one seed."""
    low: Score
    """Of the 95 % bootstrap confidence interval over clusters."""
    high: Score
    pooled: Score
    """The mean where the predictions of all folds are put together before scoring."""
    valid: Score
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
    """Those of the frozen networks that its features come from included, where they were counted."""
    trainable_parameters: int
    seconds: str
    """Of training, all seeds and folds, without features."""
    peak_memory_bytes: int
    corpus_version: int
    data_sha256: str
    recipe_sha256: str
    merkit: str
    commit: str
    code_sha256: str
    """Of the names and hashes of the source files that made the run; several where the code of its cells differs."""
    task: str = ""
    """Its id: hash of protocol, classes, metrics, folds and data; empty in rows of earlier versions."""
    corpus: str = ""
    """Its name; of a user's own table that of its folder or file."""
    options: str = ""
    """Those of the protocol that differ from its defaults."""
    frozen_parameters: Count = None
    """How many of the parameters are in frozen networks outside the model; empty where they were not counted."""
    feature_seconds: Percent = None
    """Of extracting features, as far as they were not stored before; empty where it was not measured."""
    plain_text: Percent = None
    """The mean where the same checkpoints read the transcript in lower case and without punctuation; empty where it was
    not measured."""

    @property
    def is_baseline(self) -> bool:
        """Whether the model is one that every system must beat."""
        return self.model in BASELINES

    @property
    def counts_frozen(self) -> bool:
        """Whether ``parameters`` holds those of frozen networks, if there are any."""
        return self.frozen_parameters is not None or not re.search("frozen|cross-fitted", self.features)

    @property
    def table(self) -> str:
        """Which rows share a table: those of one task; without one, those of the same protocol, data and folds."""
        facts = (self.protocol, self.data_sha256, self.folds, self.support, self.clusters)
        return self.task or " ".join(map(str, facts))

    @property
    def seed_count(self) -> int:
        """The number of seeds."""
        return len(self.seeds.split())


COLUMNS = tuple(ResultRow.model_fields)


def by_run(rows: Iterable[ResultRow]) -> list[list[ResultRow]]:
    """Return the rows of each run, a row for each metric, in their order."""
    return [list(of_run) for _, of_run in groupby(rows, key=lambda row: (row.table, row.run))]


def titles_of(tables: Mapping[str, Sequence[ResultRow]]) -> dict[str, str]:
    """Return the title of each table: its protocol, with what sets it apart from other tables of that protocol."""
    firsts = {table: rows[0] for table, rows in tables.items()}
    titles = {}
    for table, row in firsts.items():
        same = [other for other in firsts.values() if other.protocol == row.protocol]
        facts = (
            ("corpus", row.corpus, f"corpus {row.corpus or 'not recorded'}"),
            ("options", row.options, row.options or "default options"),
            ("folds", row.folds, number_of(row.folds, "fold")),
        )
        apart = [text for name, value, text in facts if any(getattr(other, name) != value for other in same)]
        described = [(other.corpus, other.options, other.folds) for other in same]
        if described.count((row.corpus, row.options, row.folds)) > 1:
            apart.append(f"task {row.task[:8]}" if row.task else f"data {row.data_sha256[:8]}")
        titles[table] = f"{row.protocol} ({'; '.join(apart)})" if apart else row.protocol
    return titles


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
