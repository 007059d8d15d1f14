"""Intervals around measured shares and ratios: closed forms, and a bootstrap over clusters."""

import math

import numpy as np
from scipy import special, stats

from fedbert.errors import expect
from reports.estimate import Estimate

CONFIDENCE = 0.95
RESAMPLES = 2000
TASK_RESAMPLES = 1000  # of a task's metrics
CLUSTERS = "first texts"  # what examples share that belong together
_CELLS_AT_ONCE = 4_000_000  # of a resampling table: bounds its memory to 32 MB


def clopper_pearson(hits: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of a share whose coverage is never below the confidence.

    Counts need not be whole: n may be an effective number of trials.

    Reference: Clopper and Pearson (1934).

    >>> [round(x, 4) for x in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
    high = float(special.betainccinv(hits + 1, n - hits, tail)) if hits < n else 1.0
    return low, high


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the score interval of a share: near its confidence on average, also at the ends.

    Reference: Wilson (1927).

    >>> [round(x, 4) for x in wilson(10, 10)]
    [0.7225, 1.0]
    """
    z = float(stats.norm.isf((1 - confidence) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def share(hits: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Return a share of independent trials with its Wilson interval."""
    expect(n > 0, "at least one example", "n", n)
    low, high = wilson(hits, n, confidence)
    return Estimate(hits / n, low, high, n, confidence, "Wilson")


def ratio_resamples(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Return bootstrap values [resample] of total sum / total count, sequences being resampled.

    sums, counts [sequence], every count > 0.
    """
    n = len(sums)
    step = max(1, _CELLS_AT_ONCE // n)
    found = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size)  # [resample, sequence]
        found.append((weights @ sums) / (weights @ counts))
    return np.concatenate(found)


def sum_resamples(values: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Return bootstrap sums [resample, value] of values [cluster, value], clusters resampled."""
    n = len(values)
    step = max(1, _CELLS_AT_ONCE // n)
    found = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        found.append(rng.multinomial(n, np.full(n, 1 / n), size=size) @ values)
    return np.concatenate(found)


def by_cluster(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the sums [cluster, ...] of values [example, ...] over each cluster's examples.

    >>> by_cluster(np.array([1, 2, 4]), np.array([7, 3, 7])).tolist()
    [2.0, 5.0]
    """
    names, place = np.unique(clusters, return_inverse=True)
    found = np.zeros((len(names), *values.shape[1:]))
    np.add.at(found, place, values)
    return found


def repeated(clusters: np.ndarray | None) -> np.ndarray | None:
    """Return the clusters [example]; None where every example is one by itself."""
    if clusters is None or len(np.unique(clusters)) == len(clusters):
        return None
    return clusters


def percentiles(
    value: float, resampled: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the percentile interval of resampled values, widened to hold `value`."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return min(value, float(low)), max(value, float(high))


def clustered_share(
    hits: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    over: str = "sequences",
) -> Estimate:
    """Return the share sum(hits) / sum(counts) of hits that come in sequences, or what `over` says.

    hits, counts [sequence]; sequences without counted tokens play no part. The interval is the
    hull of two: a percentile bootstrap over sequences, and Clopper-Pearson's for the number of
    independent trials that would vary as much, which holds near 0 and 1 too. Where all
    sequences are alike, as when everything or nothing was hit, it counts sequences as trials:
    tokens of one sequence may stand and fall together.

    Reference: Korn and Graubard (1998), for the effective number of trials.
    """
    hits, counts = hits[counts > 0].astype(float), counts[counts > 0].astype(float)
    expect(len(counts) > 0, "at least one counted token", "counted", 0)
    value, n = float(hits.sum() / counts.sum()), len(counts)
    trials = float(n)
    if np.ptp(hits / counts) > 0:
        variance = n / (n - 1) * float(((hits - value * counts) ** 2).sum()) / counts.sum() ** 2
        tail = (1 - confidence) / 2
        narrowing = float(stats.norm.isf(tail) / stats.t.isf(tail, n - 1)) ** 2
        trials = min(value * (1 - value) / variance * narrowing, float(counts.sum()))
    low, high = clopper_pearson(value * trials, trials, confidence)
    low, high = percentiles(value, np.array([low, high]), 1.0)
    again = percentiles(value, ratio_resamples(hits, counts, rng), confidence)
    method = f"hull of bootstrap over {over} and Korn-Graubard"
    bounds = min(low, again[0]), max(high, again[1])
    return Estimate(value, *bounds, int(counts.sum()), confidence, method)
