"""Gain over the majority class: by how much more often a training is right, paired by example."""

import numpy as np
from scipy import stats

from evaluation.metrics import intervals
from evaluation.metrics.intervals import CLUSTERS, CONFIDENCE, TASK_RESAMPLES, percentiles
from fedbert.errors import expect
from reports.estimate import Estimate


def accuracy_gain(
    answers: np.ndarray,
    labels: np.ndarray,
    constant: int,
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
) -> Estimate:
    """Return the accuracy of answers less that of always answering `constant`.

    answers, labels [example] int; clusters [example] int as for `tasks.judge`. Where both are right
    or both are wrong an example says nothing: the interval is the credible one of the shares of
    wins, losses and ties (Jeffreys), and so never of zero width. In clusters they count as many
    examples as vary as much.

    Raises:
        InputError: without an example.
    """
    expect(len(labels) > 0, "at least one example", "labels", len(labels))
    ours, theirs = answers == labels, labels == constant
    table = np.stack([ours & ~theirs, theirs & ~ours, ours == theirs], 1).astype(float)
    counts = table.sum(0)
    value = float((counts[0] - counts[1]) / len(labels))
    drawn = _drawn(counts, rng)
    method = "paired with the majority class, credible interval (Jeffreys)"
    clusters = intervals.repeated(clusters)
    if clusters is not None:
        drawn = _drawn(counts * _effective(table, clusters, float(drawn.var()), rng), rng)
        method += f", by the design effect of {CLUSTERS}"
    low, high = percentiles(value, drawn)
    return Estimate(value, low, high, len(labels), CONFIDENCE, method)


def _drawn(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return gains [resample] of shares drawn by Jeffreys' posterior of counts [3]."""
    shares = rng.dirichlet(counts + 0.5, size=TASK_RESAMPLES)
    return np.asarray(shares[:, 0] - shares[:, 1])


def _effective(
    table: np.ndarray, clusters: np.ndarray, variance: float, rng: np.random.Generator
) -> float:
    """Return by which share of the examples the gain varies as it does over clusters; at most 1.

    table [example, 3]; variance: where examples are independent.

    Reference: Kish (1965), for the design effect.
    """
    sums = intervals.by_cluster(table, clusters)
    again = intervals.sum_resamples(sums, rng, TASK_RESAMPLES)
    found = float(((again[:, 0] - again[:, 1]) / again.sum(1)).var())
    if found == 0:
        return len(sums) / len(table)
    narrowing = float(stats.norm.isf(0.025) / stats.t.isf(0.025, len(sums) - 1)) ** 2
    return min(1.0, variance / found * narrowing)
