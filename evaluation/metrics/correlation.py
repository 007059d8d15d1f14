"""Correlation of predicted and true scores, with a bootstrap over examples or clusters of them."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from evaluation.metrics.intervals import (
    CLUSTERS,
    CONFIDENCE,
    TASK_RESAMPLES,
    by_cluster,
    percentiles,
    sum_resamples,
)
from fedbert.errors import InputError
from reports.estimate import Estimate

_CELLS_AT_ONCE = 1_000_000  # of a table of resampled examples


def correlation(
    name: str,
    answers: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    clusters: np.ndarray | None,
) -> Estimate:
    """Return a correlation with a percentile bootstrap over examples or clusters of them.

    0 where undefined.

    Fewer than four examples, or resamples that all agree, say nothing: then the interval is the
    whole range.
    """
    if name not in ("pearson", "spearman"):
        raise InputError(f"expected pearson or spearman, got metric={name!r}")
    x, y = answers.astype(float), labels.astype(float)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(0.0, 0.0, 0.0, len(x), CONFIDENCE, "constant: 0 by convention")
    value = float(_correlations(name, x[None], y[None])[0])
    if clusters is None:
        chosen = rng.integers(len(x), size=(TASK_RESAMPLES, len(x)))
        step = max(1, _CELLS_AT_ONCE // len(x))
        parts = [chosen[i : i + step] for i in range(0, TASK_RESAMPLES, step)]
        resampled = np.concatenate([_correlations(name, x[part], y[part]) for part in parts])
    elif name == "pearson":
        resampled = _of_sums(x, y, clusters, rng)
    else:
        weights = _weights(clusters, rng)
        resampled = np.concatenate([weighted_correlations(name, x, y, part) for part in weights])
    low, high = percentiles(value, resampled)
    units = len(x) if clusters is None else len(np.unique(clusters))
    if units < 4 or low == high:
        return Estimate(value, -1.0, 1.0, len(x), CONFIDENCE, "too few examples to say")
    over = "examples" if clusters is None else CLUSTERS
    return Estimate(value, low, high, len(x), CONFIDENCE, f"bootstrap over {over}")


def _of_sums(
    x: np.ndarray, y: np.ndarray, clusters: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return Pearson's correlations [resample] of x and y [example] where clusters are drawn.

    From six sums of each cluster, so that no resample is written out. 0 where one is constant.
    """
    x, y = ((each - each.mean()) / each.std() for each in (x, y))
    sums = by_cluster(np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1), clusters)
    n, sx, sy, xx, yy, xy = sum_resamples(sums, rng, TASK_RESAMPLES).T
    spreads = (xx - sx * sx / n) / n, (yy - sy * sy / n) / n
    defined = np.minimum(*spreads) > 1e-12  # of the variance of all: below is rounding
    root = np.sqrt(np.where(defined, spreads[0] * spreads[1], 1.0))
    return np.clip(np.where(defined, (xy - sx * sy / n) / n / root, 0.0), -1.0, 1.0)


def _weights(clusters: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield how often each example is drawn where clusters are [resample, example]."""
    names, place = np.unique(clusters, return_inverse=True)
    n, step = len(names), max(1, _CELLS_AT_ONCE // len(clusters))
    for start in range(0, TASK_RESAMPLES, step):
        size = min(step, TASK_RESAMPLES - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=size)[:, place]


def weighted_correlations(
    name: str, x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the correlations [row] of x and y [example], each so often as weights [row, example].

    0 where one is constant.
    """
    varied = np.ones(len(weights), dtype=bool)
    for each in (x, y):
        there = np.where(weights > 0, each, np.nan)
        varied &= np.nanmax(there, axis=1) > np.nanmin(there, axis=1)
    if name == "spearman":
        x, y = _ranks(x, weights), _ranks(y, weights)
    total = weights.sum(1, keepdims=True)
    x, y = (each - (weights * each).sum(1, keepdims=True) / total for each in (x, y))
    root = np.sqrt((weights * x**2).sum(1)) * np.sqrt((weights * y**2).sum(1))
    defined = varied & (root > 0)
    found = np.divide((weights * x * y).sum(1), root, out=np.zeros(len(weights)), where=defined)
    return np.asarray(np.clip(found, -1.0, 1.0))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean ranks [row, example] of values [example], each so often as weights say."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(place.max() + 1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)  # [row, value]
    return np.asarray((np.cumsum(counts, axis=1) - counts + (counts + 1) / 2)[:, place])


def _correlations(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the correlations [row] of x and y [row, example]; 0 where one is constant."""
    if name == "spearman":
        x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
    varied = (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    x, y = (each - each.mean(1, keepdims=True) for each in (x, y))
    root = np.sqrt((x**2).sum(1)) * np.sqrt((y**2).sum(1))
    defined = varied & (root > 0)
    found = np.divide((x * y).sum(1), root, out=np.zeros(len(x)), where=defined)
    return np.asarray(np.clip(found, -1.0, 1.0))
