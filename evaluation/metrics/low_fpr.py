"""TPR at a fixed false-positive rate: an interval that counts the threshold's own error as well."""

import math
from functools import lru_cache

import numpy as np
from scipy import stats

from evaluation.metrics.candidate_clusters import Sides, tail_effect
from evaluation.metrics.intervals import CLUSTERS, CONFIDENCE, clopper_pearson
from reports.estimate import Estimate

JOINED = "Clopper-Pearson joined with ranks of the threshold"
CORNERS = "Clopper-Pearson at ranks around a tied threshold"
DISTINCT = 5  # scores between the ranks: from so many on the curve is near enough to a line


def tpr_chance(fpr: float, n: int) -> float:
    """Return the expected TPR of scores that tell nothing, at a threshold from n non-members.

    >>> round(tpr_chance(0.01, 100), 4)
    0.0198
    """
    return min(1.0, (math.floor(fpr * n + 1e-9) + 1) / (n + 1))


@lru_cache(maxsize=256)
def ranks(fpr: float, n: int, tail: float) -> tuple[int, int]:
    """Return ranks (few, many), 1 for the highest of n scores, around where the upper `fpr` begins.

    The score of rank `few` lies below that threshold with probability `tail` at most, and so does
    that of rank `many` above it. Rank 0 stands for above every score, n + 1 for below every one.
    """
    few = int(stats.binom.ppf(tail, n, fpr)) + 1
    while few > 0 and stats.binom.cdf(few - 1, n, fpr) > tail:
        few -= 1
    return few, min(int(stats.binom.isf(tail, n, fpr)) + 1, n + 1)


def tpr_interval(
    ins: np.ndarray,
    outs: np.ndarray,
    fpr: float,
    confidence: float = CONFIDENCE,
    attacks: int = 1,
    clusters: Sides | None = None,
) -> Estimate | None:
    """Return the TPR at the threshold found, with an interval for the population's at that FPR.

    Two errors meet: the members' (Clopper and Pearson's interval), and the threshold's, which lies
    between two order statistics of the non-members (binomial ranks). Their distances from the value
    are joined as roots of sums of squares. Where few distinct scores lie between the ranks, the
    curve jumps and nothing is near linear: then the interval reaches over both ends. Each has the
    whole error, as ties leave but one end in danger: a tie that the threshold may be mistaken for
    on one side is far from the other.

    attacks: of how many the interval is to hold at once (Bonferroni), as for the worst of them.
    clusters: whose candidates depend on each other; ranks and counts are then those of as many
    independent candidates as vary as much, on each side. None, not measured, where less than one
    non-member may be accused.

    References: Clopper and Pearson (1934); Zou and Donner (2008), for the way they are joined.
    """
    n, m = len(outs), len(ins)
    if fpr * n < 1 - 1e-9:
        return None
    tail = (1 - confidence) / attacks / 2
    bounds = np.concatenate([[np.inf], np.sort(outs)[::-1], [-np.inf]])  # [rank]
    threshold = float(bounds[min(int(fpr * n + 1e-9), n) + 1])
    wide, wide_out = 1.0, 1.0
    if clusters is not None:
        wide, wide_out = map(tail_effect, (ins, outs), (threshold, threshold), clusters)
    few, many = ranks(fpr, max(1, int(n / wide_out)), tail)
    few, many = int(few * wide_out), min(math.ceil(many * wide_out), n + 1)

    def share(rank: int | None) -> tuple[float, float, float]:
        """The share of members above a rank's score, or the threshold, with its interval."""
        found = _above(ins, threshold if rank is None else float(bounds[rank]))
        return found / m, *clopper_pearson(found / wide, m / wide, 1 - 2 * tail)

    (value, low, high), least, most = share(None), share(few), share(many)
    method = JOINED
    if len(np.unique(bounds[few : many + 1])) >= min(DISTINCT, many + 1 - few):
        low = value - math.hypot(value - low, value - least[0])
        high = value + math.hypot(high - value, most[0] - value)
    else:
        low, high, method = least[1], most[2], CORNERS
    low, high = max(0.0, min(low, value)), min(1.0, max(high, value))
    if clusters is not None:
        method += f", by the design effect of {CLUSTERS}"
    return Estimate(value, low, high, m, 1 - 2 * tail, method)


def _above(ins: np.ndarray, threshold: float) -> int:
    return int((ins > threshold).sum())
