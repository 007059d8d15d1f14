"""Paired bootstrap of the difference between two attacks' AUC on the same candidates."""

import math

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from reports.estimate import Estimate
from reports.scores import Scored

RESAMPLES = 2000
CONFIDENCE = 0.95
_CELLS_AT_ONCE = 2_000_000  # of a resampling table: bounds its memory to 16 MB
METHOD = "paired bootstrap over candidates that share no text, percentiles expanded"


def same_candidates(a: Scored, b: Scored) -> bool:
    """Whether two scorings are of the same candidates, as far as members and clusters tell."""
    if a.members.shape != b.members.shape or not (a.members == b.members).all():
        return False
    if a.clusters is None or b.clusters is None:
        return a.clusters is b.clusters
    return bool((a.clusters == b.clusters).all())


def auc_difference(a: Scored, b: Scored, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The AUC of `b` less that of `a` with its interval, candidates resampled together.

    Clusters are resampled as wholes. The percentiles are those of Student's t, since a bootstrap
    of n has the variance of n - 1; the interval is never narrower than what n clusters alike on
    the smaller side leave open, as where both tell every candidate.

    Raises: ValueError for scorings of different candidates.

    Reference: Hesterberg (2015), section 4.3, for the expanded percentiles.
    """
    if not same_candidates(a, b):
        raise ValueError("expected scores of the same candidates, got others")
    clusters = np.arange(len(a.scores)) if a.clusters is None else a.clusters
    _, where = np.unique(clusters, return_inverse=True)
    count = int(where.max()) + 1
    whole = np.ones((1, len(where)))
    value = float(auc(b, whole)[0] - auc(a, whole)[0])
    rng = np.random.default_rng(seed)
    found = []
    step = max(1, _CELLS_AT_ONCE // len(where))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size)
        weights = drawn[:, where].astype(float)  # [resample, candidate]
        found.append(auc(b, weights) - auc(a, weights))
    differences = np.concatenate(found)
    differences = differences[np.isfinite(differences)]
    sides = [len(np.unique(clusters[a.members == side])) for side in (True, False)]
    least = min(sides)
    low, high = expanded(differences, least)
    half = 1 - ((1 - CONFIDENCE) / 2) ** (1 / least)
    low, high = min(low, value - half), max(high, value + half)
    return Estimate(value, max(low, -1.0), min(high, 1.0), len(where), CONFIDENCE, METHOD)


def auc(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """The AUC [resample] under weights [resample, candidate]; NaN where a side has no weight.

    >>> found = Scored(np.array([2.0, 1.0, 1.0]), np.array([True, True, False]), 0)
    >>> auc(found, np.ones((1, 3))).tolist()
    [0.75]
    """
    order = np.argsort(scored.scores, kind="stable")
    values = scored.scores[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    sorted_ = weights[:, order]
    bits = scored.members[order]
    members = np.add.reduceat(sorted_ * bits, starts, axis=1)
    others = np.add.reduceat(sorted_ * ~bits, starts, axis=1)
    below = np.cumsum(others, axis=1) - others
    both = members.sum(axis=1) * others.sum(axis=1)
    hits = (members * (below + 0.5 * others)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(both > 0, hits / both, np.nan))


def expanded(resampled: np.ndarray, n: int) -> tuple[float, float]:
    """The percentile interval of resampled values as wide as n observations need.

    >>> expanded(np.linspace(0, 1, 1001), 10_000)[0] < 0.026
    True
    """
    tail = (1 - CONFIDENCE) / 2
    if n < 3:
        return float(resampled.min()), float(resampled.max())
    wide = math.sqrt(n / (n - 1)) * float(stdtrit(n - 1, 1 - tail))
    share = float(ndtr(-wide))
    low, high = np.quantile(resampled, [share, 1 - share])
    return float(low), float(high)


def p_value(difference: Estimate, seeds: int = 1) -> float:
    """The two-sided p-value that goes with a difference's interval, at most 1.

    It is 0.05 where one end of a 95 % interval is 0: of one seed by a normal distribution, of
    several by Student's t with seeds - 1 degrees of freedom, as the interval was made.
    """
    value = difference.value
    half = value - difference.low if value > 0 else difference.high - value
    if value == 0 or half <= 0:
        return 1.0 if value == 0 else 0.0
    tail = (1 + difference.confidence) / 2
    if seeds == 1:
        return float(2 * ndtr(-abs(value) / half * ndtri(tail)))
    return float(2 * stdtr(seeds - 1, -abs(value) / half * stdtrit(seeds - 1, tail)))
