"""Comparison of two runs of one task: the difference, its interval, and its significance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from merkit.core.errors import MerkitError
from merkit.evaluation.scores import difference, mean_over_seeds
from merkit.evaluation.stored import Run
from merkit.metrics.comparison import holm, paired_permutation_of, verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """The score of ``system`` less that of the reference on one metric, over the seeds that both have.

    ``interval`` is the 95 % bootstrap confidence interval, with the same draws of clusters for both; ``p_value`` is
    that of a paired permutation test that swaps the systems in whole clusters; ``adjusted`` is Holm's adjustment for
    all comparisons made together, which decides the ``verdict``.
    """

    system: str
    metric: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    adjusted: float
    verdict: str
    seeds: tuple[int, ...]


def compare_all(runs: Sequence[tuple[str, Run]], reference: Run) -> list[Comparison]:
    """Compare runs with the reference on the protocol's first metric, with Holm's adjustment over them.

    Args:
        runs: Each with the name that it is printed under.
        reference: The run to compare them with.

    Raises:
        MerkitError: A run is of another task than the reference.
    """
    comparisons = [_compare(system, run, reference) for system, run in runs]
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return [
        replace(comparison, adjusted=p, verdict=verdict(comparison.difference, p))
        for comparison, p in zip(comparisons, adjusted, strict=True)
    ]


def _compare(system: str, run: Run, reference: Run) -> Comparison:
    """Compare one run with another, without adjustment for other comparisons."""
    if run.task.id != reference.task.id:
        differences = "; ".join(run.task.differences(reference.task)) or "metrics"
        raise MerkitError(
            f"{run.path} and {reference.path}: only runs of one task can be compared, found {differences}"
        )
    seeds = tuple(seed for seed in run.seeds if seed in reference.seeds)
    first, second = (of.counts[:, [of.seeds.index(seed) for seed in seeds]] for of in (run, reference))
    metric, pooled = run.protocol.metrics[0], run.protocol.pooled
    gap = difference(run.metrics[metric], first, second, pooled)
    p_value = paired_permutation_of(partial(mean_over_seeds, run.metrics[metric], pooled=pooled), first, second)
    return Comparison(
        system=system,
        metric=metric,
        difference=gap.mean,
        interval=gap.interval,
        p_value=p_value,
        adjusted=p_value,
        verdict=verdict(gap.mean, p_value),
        seeds=seeds,
    )
