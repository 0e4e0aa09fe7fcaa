"""Scores from stored predictions: mean and standard deviation over seeds, intervals over clusters, classes,
calibration.

Conventions, which every report prints:

* With several folds a metric is computed for each fold and averaged over the folds, for each seed; ``mean`` and ``std``
  (n - 1; ``None`` for one seed) are over seeds. ``pooled`` puts the test predictions of all folds together instead. A
  protocol that sets ``pooled`` is always scored that way.
* ``interval`` is the 95 % bootstrap confidence interval (percentiles) of that mean: conversations (or speakers) are
  drawn with replacement 1000 times, the same draw for all seeds and folds. In the mean of a draw the weight of a fold
  is the number of its clusters in the draw, counted with repetition, divided by their number in the data. A label that
  the data have and a draw lacks has no F1, precision or recall in it: means over labels, folds and seeds leave it out.
* Scores by class, the confusion matrix and calibration are pooled over folds and averaged over seeds. A multi-label
  protocol has neither of the latter two; ``threshold`` of a class is the mean over all models.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from merkit.core.errors import MerkitError
from merkit.data.files import write_texts
from merkit.encoders.checkpoint import describe_extractors
from merkit.evaluation.stored import Run, open_run
from merkit.metrics.calibration import brier, expected_calibration_error, reliability_bins, risk_coverage_area
from merkit.metrics.classification import Matrices, class_scores, known_mean, ratio
from merkit.metrics.intervals import percentile_interval, resampled_sums
from merkit.metrics.multi_label import label_scores, score_drawn

DRAWS = 1000
FloatArray = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]
Metric = Callable[[Matrices], FloatArray]
Scores = Mapping[str, Mapping[str, Any]]
"""By metric ``mean``, ``std``, ``interval`` and ``pooled``, as in ``scores.json``."""
_LEAKY = (
    "leaky: for every fold and seed the epoch with the best score on the test split; only for comparison with papers"
    " that selected so, never a result"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two scores and its 95 % bootstrap confidence interval over clusters."""

    mean: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Draws:
    """The counts of `DRAWS` draws of clusters."""

    sums: FloatArray
    """``[draws, seeds, folds, …]``"""
    shares: FloatArray
    """Weights of the folds, ``[draws, seeds, folds]``."""
    whole: Counts
    """Of all clusters, ``[seeds, folds, …]``."""

    def means(self, metric: Metric, pooled: bool) -> FloatArray:
        """Return the reported mean for each draw."""
        return known_mean(_by_seed(metric, self.sums, pooled, self.shares, self.whole))


def score_run(run: Path, data: Path | None = None) -> dict[str, Any]:
    """Recompute the scores of a run from its stored predictions, write them to ``scores.json`` and return them.

    Args:
        run: The run's folder.
        data: Where the manifest lies now, if not where it lay in training.

    Raises:
        MerkitError: The run is incomplete, or its predictions do not cover exactly the protocol's test split.
    """
    scores = score(open_run(run, data))
    write_texts({run / "scores.json": json.dumps(scores, indent=2)})
    return scores


def score(run: Run) -> dict[str, Any]:
    """Return the content of ``scores.json`` of a run; scores are between 0 and 1, not percentages.

    Undefined values (the precision of a class that was never predicted, the standard deviation of one seed) are
    ``None``.
    """
    first, several, draws = run.cells[0].facts, run.protocol.multi_label, _draw(run.counts)
    features_s = [cell.facts.get("feature_seconds") for cell in run.cells]
    return {
        "run": run.path.name,
        "model": run.model,
        "protocol": run.protocol_name,
        "task": {**asdict(run.task), "labels": list(run.task.labels)},
        "selection": run.selection,
        "seeds": list(run.seeds),
        "folds": list(run.folds),
        "support": sum(len(cell.splits["test"].ids) for cell in run.cells if cell.seed == run.seeds[0]),
        "clusters": len(run.clusters),
        "cluster": run.protocol.cluster,
        "pooled": run.protocol.pooled,
        "count_differences": run.protocol.differences(run.manifest.utterances),
        "warnings": run.protocol.warnings(run.manifest.utterances),
        "features": describe_extractors(run.recipe.get("encoders", {})),
        "test": _scores_of(run, draws),
        "valid": _spread_of(run, [run.matrix(cell.splits["valid"]) for cell in run.cells], pooled=False),
        "labels": list(run.protocol.labels),
        "per_class": _per_class(run, draws),
        "confusion": None if several else draws.whole.sum(axis=1).mean(axis=0).round(6).tolist(),
        "calibration": None if several else _calibration(run),
        "legacy_best_on_test": _best_on_test(run),
        "seconds": sum(float(cell.facts["seconds"]) for cell in run.cells),
        "peak_memory_bytes": max((cell.facts.get("peak_memory_bytes") or 0 for cell in run.cells), default=0),
        "feature_seconds": None if None in features_s else sum(features_s),
        "parameters": first["parameters"] + (first.get("frozen_parameters") or 0),
        "frozen_parameters": first.get("frozen_parameters"),
        "trainable_parameters": first["trainable_parameters"],
    }


def scores_of(run: Run, counts: Counts) -> Scores:
    """Return the scores of counts like ``run.counts``."""
    return _scores_of(run, _draw(counts))


def _scores_of(run: Run, draws: _Draws) -> Scores:
    pooled = run.protocol.pooled
    return {
        name: {
            **_spread(_by_seed(run.metrics[name], draws.whole, pooled)),
            "interval": list(percentile_interval(draws.means(run.metrics[name], pooled))),
            "pooled": float(mean_over_seeds(run.metrics[name], draws.whole, pooled=True)),
        }
        for name in run.protocol.metrics
    }


def difference(metric: Metric, first: Counts, second: Counts, pooled: bool) -> Difference:
    """Return how much higher the mean of the first counts ``[clusters, seeds, folds, …]`` is than that of the second.

    Both are resampled with the same draws.
    """
    sums = (mean_over_seeds(metric, counts.sum(axis=0), pooled) for counts in (first, second))
    draws = _draw(first).means(metric, pooled) - _draw(second).means(metric, pooled)
    return Difference(float(np.subtract(*sums)), percentile_interval(draws))


def mean_over_seeds(metric: Metric, counts: Matrices, pooled: bool) -> FloatArray:
    """Return the reported mean ``[...]`` of counts ``[..., seeds, folds, classes, classes]``."""
    return known_mean(_by_seed(metric, counts, pooled))


def _draw(counts: Counts) -> _Draws:
    """Draw the clusters of ``[clusters, seeds, folds, …]`` counts.

    The draws depend on the number of clusters alone, so that the scores of two systems can be subtracted draw by draw.
    """
    holds = np.asarray(counts.any(axis=(-1, -2)))
    sums, held = resampled_sums(counts, holds, draws=DRAWS)
    return _Draws(sums, held / holds.sum(axis=0), counts.sum(axis=0))


def _by_seed(
    metric: Metric, counts: Matrices, pooled: bool, shares: FloatArray | float = 1.0, whole: Matrices | None = None
) -> FloatArray:
    """Return the score of each seed: of all folds' counts as one, or the folds' scores averaged with ``shares``.

    ``whole`` has the counts ``[seeds, folds, …]`` of all clusters, where ``counts`` are those of drawn ones.
    """
    if pooled:
        counts, shares = counts.sum(axis=-3, keepdims=True), 1.0
        whole = None if whole is None else whole.sum(axis=-3, keepdims=True)
    scores = metric(counts) if whole is None else score_drawn(metric, counts, whole)
    weights = np.where(np.isnan(scores), 0.0, shares)
    return ratio((np.nan_to_num(scores) * weights).sum(axis=-1), weights.sum(axis=-1), empty=np.nan)


def _spread(by_seed: FloatArray) -> dict[str, Any]:
    known = by_seed[~np.isnan(by_seed)]
    if not known.size:
        return {"mean": None, "std": None}
    return {"mean": float(known.mean()), "std": float(known.std(ddof=1)) if known.size > 1 else None}


def _spread_of(run: Run, matrices: Sequence[Counts], pooled: bool) -> dict[str, Any]:
    """Return the spread over seeds of every metric, from one confusion matrix for each cell."""
    stacked = np.stack(matrices).reshape(len(run.seeds), len(run.folds), *matrices[0].shape)
    return {name: _spread(_by_seed(run.metrics[name], stacked, pooled)) for name in run.protocol.metrics}


def _per_class(run: Run, draws: _Draws) -> list[dict[str, Any]]:
    by_seed, drawn = draws.whole.sum(axis=1), draws.sums.sum(axis=2)
    scores = label_scores if run.protocol.multi_label else class_scores
    never = np.isnan(scores(by_seed, absent=np.nan)["f1"])
    f1 = known_mean(np.where(never, 0.0, scores(drawn, absent=np.nan)["f1"]), axis=1)
    thresholds = _thresholds(run) if run.protocol.multi_label else None
    rows = []
    for number, label in enumerate(run.protocol.labels):
        has_it = by_seed[0, number, 2:] if run.protocol.multi_label else by_seed[0, number]
        row: dict[str, Any] = {"label": label, "support": int(has_it.sum())}
        row |= {name: _spread(values[:, number]) for name, values in scores(by_seed).items()}
        row["f1"]["interval"] = list(percentile_interval(f1[:, number]))
        if thresholds is not None:
            row["threshold"] = _spread(thresholds[:, number])
        rows.append(row)
    return rows


def _thresholds(run: Run) -> FloatArray:
    """Return the thresholds of a multi-label run's models, ``[cells, labels]``."""
    return np.array([cell.facts["thresholds"] for cell in run.cells], dtype=np.float64)


def _calibration(run: Run) -> dict[str, Any]:
    measures = (expected_calibration_error, brier, risk_coverage_area)
    by_seed = []
    for seed in run.seeds:
        tests = [cell.splits["test"] for cell in run.cells if cell.seed == seed]
        by_seed.append([np.concatenate(of) for of in zip(*((t.labels, t.probabilities) for t in tests), strict=True)])
    labels, probabilities = (np.concatenate(values) for values in zip(*by_seed, strict=True))
    undefined = {"confidence": None, "accuracy": None}
    return {
        **{measure.__name__: _spread(np.array([measure(*of_seed) for of_seed in by_seed])) for measure in measures},
        "bins": [
            {**asdict(row), "count": row.count / len(run.seeds), **({} if row.count else undefined)}
            for row in reliability_bins(labels, probabilities, bins=10)
        ],
    }


def _best_on_test(run: Run) -> dict[str, Any] | None:
    """Scores of the epoch with the best score on the test split: what a paper that selects so would print."""
    kept = [bool(cell.by_epoch) for cell in run.cells]
    if not any(kept):
        return None
    if not all(kept):
        raise MerkitError(
            f"{run.path}: {sum(kept)} of {len(kept)} folds and seeds keep predictions of every epoch; train all of them"
            " with --legacy-best-on-test or delete predictions-by-epoch.parquet"
        )
    choose = run.metrics[run.protocol.metrics[0]]
    best = [
        max((run.matrix(test) for _, test in sorted(cell.by_epoch.items())), key=lambda m: float(choose(m)))
        for cell in run.cells
    ]
    return {**_spread_of(run, best, run.protocol.pooled), "note": _LEAKY}
