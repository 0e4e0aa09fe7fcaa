"""Comparison of two runs of one protocol: the difference, its interval, and its significance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from merkit.core.errors import MerkitError
from merkit.evaluation.scores import mean_over_seeds, resampled
from merkit.evaluation.stored import Run
from merkit.metrics.classification import METRICS
from merkit.metrics.comparison import holm, paired_permutation_of, verdict
from merkit.metrics.intervals import percentile_interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """The score of ``system`` less that of ``reference`` on one metric, over the seeds that both have.

    ``interval`` is the 95 % bootstrap confidence interval, with the same draws of clusters for both; ``p_value`` is
    that of a paired permutation test that swaps the systems in whole clusters; ``adjusted`` is Holm's adjustment for
    all comparisons made together, which decides the ``verdict``.
    """

    system: str
    reference: str
    metric: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    adjusted: float
    verdict: str
    seeds: tuple[int, ...]


def compare_all(runs: Sequence[Run], reference: Run) -> list[Comparison]:
    """Compare every other run with the reference on the protocol's first metric, with Holm's adjustment over them.

    Raises:
        MerkitError: A run is of another protocol or tests other utterances, or shares no seed with the reference.
    """
    comparisons = [compare(run, reference) for run in runs if run is not reference]
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return [
        replace(comparison, adjusted=p, verdict=verdict(comparison.difference, p))
        for comparison, p in zip(comparisons, adjusted, strict=True)
    ]


def compare(run: Run, reference: Run) -> Comparison:
    """Compare one run with another, without adjustment for other comparisons.

    Raises:
        MerkitError: The runs are of different protocols or test other utterances, or they share no seed.
    """
    for name, mine, other in (
        ("protocol", run.protocol_name, reference.protocol_name),
        ("data", run.provenance["data"]["sha256"][:12], reference.provenance["data"]["sha256"][:12]),
    ):
        if mine != other:
            raise MerkitError(
                f"{run.path} and {reference.path}: {name} {mine} and {other}; only equal ones can be compared"
            )
    seeds = tuple(seed for seed in run.seeds if seed in reference.seeds)
    first = run.counts[:, [run.seeds.index(seed) for seed in seeds]]
    second = reference.counts[:, [reference.seeds.index(seed) for seed in seeds]]
    metric = run.protocol.metrics[0]
    measure, pooled = METRICS[metric], run.protocol.pooled
    of = mean_over_seeds(measure, pooled)
    drawn = resampled(measure, first, pooled) - resampled(measure, second, pooled)
    difference = float(of(first.sum(axis=0)) - of(second.sum(axis=0)))
    p_value = paired_permutation_of(of, first, second)
    return Comparison(
        system=run.path.name,
        reference=reference.path.name,
        metric=metric,
        difference=difference,
        interval=percentile_interval(drawn),
        p_value=p_value,
        adjusted=p_value,
        verdict=verdict(difference, p_value),
        seeds=seeds,
    )
