"""Rows of ``report.csv`` and ``results/ours.csv``: one for each run and metric, with all that describes the score."""

import csv
import io
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from merkit.core.errors import MerkitError
from merkit.metrics.classification import METRICS
from merkit.reporting.section import to_csv

BASELINES = ("majority", "text_lookup", "bag_of_words")
"""Models that every system must beat, in the order of the table."""
Percent = Annotated[float | None, BeforeValidator(lambda cell: None if cell == "" else cell)]
Metric = Annotated[str, BeforeValidator(lambda cell: _known_metric(cell))]


class ResultRow(BaseModel):
    """Test score of one run on one metric; the fields are the columns of the file, scores are percentages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    run: str
    model: str
    modalities: str
    """Those of its encoders, joined by ``+``."""
    features: str
    changes: str
    """What a variant of a grid changes; empty elsewhere."""
    metric: Metric
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
    """Of the code that the results depend on; empty where the run did not record it."""

    @property
    def is_baseline(self) -> bool:
        """Whether the model is one that every system must beat."""
        return self.model in BASELINES

    @property
    def share_std(self) -> float | None:
        """The standard deviation between 0 and 1."""
        return None if self.std is None else self.std / 100

    @property
    def seed_count(self) -> int:
        """The number of seeds."""
        return len(self.seeds.split())


COLUMNS = tuple(ResultRow.model_fields)


def by_run(rows: Iterable[ResultRow]) -> list[dict[str, ResultRow]]:
    """Return the rows of each run by metric, in their order."""
    return [{row.metric: row for row in of_run} for _, of_run in groupby(rows, key=lambda row: (row.protocol, row.run))]


def rows_csv(rows: Iterable[ResultRow]) -> str:
    """Return rows as CSV with a header."""
    return to_csv(({name: _printed(value) for name, value in row} for row in rows), COLUMNS)


def read_rows(path: Path) -> list[ResultRow]:
    """Read a file of results; nothing where there is no file.

    Raises:
        MerkitError: The file cannot be read or has other columns, or a row is none; names the line.
    """
    if not path.exists():
        return []
    remedy = "move it away and give the runs of all its protocols"
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    rows = []
    try:
        found = list(reader.fieldnames or ())
        if found != list(COLUMNS):
            missing, unknown = (
                ", ".join(name for name in names if name not in others) or "none"
                for names, others in ((COLUMNS, found), (found, COLUMNS))
            )
            raise MerkitError(
                f"{path}: columns missing: {missing}, unknown: {unknown}; {len(COLUMNS)} expected in the order"
                f" {', '.join(COLUMNS)}; {remedy}"
            )
        for cells in reader:
            if None in cells or None in cells.values():
                raise MerkitError(f"{path}: line {reader.line_num}: not {len(COLUMNS)} cells, as expected; {remedy}")
            rows.append(ResultRow.model_validate(cells))
    except csv.Error as error:
        raise MerkitError(f"{path}: line {reader.line_num}: not CSV ({error}); {remedy}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise MerkitError(
            f"{path}: line {reader.line_num}: {first['loc'][0]} '{first['input']}': {first['msg']}; {remedy}"
        ) from error
    return rows


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        MerkitError: It cannot be read, or has another encoding.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MerkitError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise MerkitError(f"Cannot read '{path}': {error.strerror}") from error


def _printed(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def _known_metric(cell: str) -> str:
    if cell not in METRICS:
        raise ValueError(f"one of {', '.join(METRICS)} expected")
    return cell
