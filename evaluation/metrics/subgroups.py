"""Utility of single groups: who pays for the protection, which the mean over all does not tell.

DP-SGD costs the smaller and the harder groups more: Bagdasaryan, Poursaeed, Shmatikov (2019),
"Differential privacy has disparate impact on model accuracy".
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy import stats

from evaluation.metrics import intervals
from reports.estimate import Estimate

LEAST = 20
"""A group of fewer examples, or clusters, is not told of: that would be of single people."""
MOST = 20
"""Of more groups than these, those with the most examples are told of."""
_WRONG = 0.05  # the chance that the interval of any group does not hold


def by_group(
    predictions: np.ndarray,
    labels: np.ndarray,
    group: np.ndarray,
    names: Mapping[int, str],
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
    scores: bool = False,
) -> dict[str, Estimate]:
    """Return the utility of every group by name: accuracy, or the mean absolute error of scores.

    predictions: class ids or scores [example], as labels; group [example] int64: which group each
    is of, of those that `names` knows. clusters [example]: as for `judge`. All intervals hold
    together, so that the worst group may be looked for (Bonferroni).
    """
    one = np.arange(len(group)) if clusters is None else clusters
    counts = {number: len(np.unique(one[group == number])) for number in names}
    known = sorted((n for n in names if counts[n] >= LEAST), key=lambda n: -counts[n])[:MOST]
    confidence = 1 - _WRONG / max(1, len(known))
    found: dict[str, Estimate] = {}
    for number in (each for each in names if each in known):
        of = group == number
        values = np.abs(predictions[of] - labels[of]) if scores else predictions[of] == labels[of]
        own = None if clusters is None else intervals.repeated(clusters[of])
        found[names[number]] = _mean(values.astype(float), own, rng, confidence, scores)
    return found


def _mean(
    values: np.ndarray,
    clusters: np.ndarray | None,
    rng: np.random.Generator,
    confidence: float,
    scores: bool,
) -> Estimate:
    """The mean of values [example] with its interval."""
    if not scores and clusters is None:
        hits, n = int(values.sum()), len(values)
        low, high = intervals.clopper_pearson(hits, n, confidence)
        return Estimate(hits / n, low, high, n, confidence, "Clopper-Pearson")
    each = np.arange(len(values)) if clusters is None else clusters
    sums, counts = (intervals.by_cluster(v, each) for v in (values, np.ones_like(values)))
    over = "examples" if clusters is None else intervals.CLUSTERS
    if not scores:
        return intervals.clustered_share(sums, counts, rng, confidence, over)
    mean, n = float(values.mean()), len(sums)
    spread = math.sqrt(n / (n - 1) * float(((sums - mean * counts) ** 2).sum())) / len(values)
    half = spread * float(stats.t.isf((1 - confidence) / 2, n - 1))
    return Estimate(
        mean, max(0.0, mean - half), mean + half, len(values), confidence, f"t over {over}"
    )


def thirds(lengths: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Return the third by length of each example [example] int64, and the thirds' names.

    Fewer than three where lengths are alike.

    >>> group, names = thirds(np.array([3, 4, 5, 6, 7, 9]))
    >>> group.tolist(), list(names.values())
    ([0, 0, 1, 1, 2, 2], ['up to 4 tokens', '5 to 6 tokens', '7 tokens and more'])
    """
    cuts = np.unique(np.quantile(lengths, [1 / 3, 2 / 3], method="inverted_cdf"))
    cuts = cuts[cuts < lengths.max()].astype(int)
    group = np.searchsorted(cuts, lengths, side="left")
    if len(cuts) == 0:
        return group, {0: "all lengths"}
    middle = [f"{a + 1} to {b} tokens" for a, b in pairwise(cuts)]
    names = [f"up to {cuts[0]} tokens", *middle, f"{cuts[-1] + 1} tokens and more"]
    return group, dict(enumerate(names))
