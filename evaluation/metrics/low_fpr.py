"""TPR at a fixed false-positive rate: an interval that counts the threshold's own error as well."""

import math
from functools import lru_cache

import numpy as np
from scipy import stats

from evaluation.metrics.intervals import CONFIDENCE, clopper_pearson
from reports.estimate import Estimate

JOINED = "Clopper-Pearson joined with ranks of the threshold"
CORNERS = "Clopper-Pearson at ranks around a tied threshold"


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
    ins: np.ndarray, outs: np.ndarray, fpr: float, confidence: float = CONFIDENCE, attacks: int = 1
) -> Estimate | None:
    """Return the TPR at the threshold found, with an interval for the population's at that FPR.

    Two errors meet: the members' (Clopper and Pearson's interval), and the threshold's, which lies
    between two order statistics of the non-members (binomial ranks). Their distances from the value
    are joined as roots of sums of squares. Where non-members tie between the ranks, the curve jumps
    and nothing is near linear: then the interval reaches over both ends, each with half the error.

    attacks: of how many the interval is to hold at once (Bonferroni), as for the worst of them.
    None, not measured, where less than one non-member may be accused.

    References: Clopper and Pearson (1934); Zou and Donner (2008), for the way they are joined.
    """
    n, m = len(outs), len(ins)
    if fpr * n < 1 - 1e-9:
        return None
    tail = (1 - confidence) / attacks / 2
    descending = np.sort(outs)[::-1]
    bounds = np.concatenate([[np.inf], descending, [-np.inf]])  # [rank]
    found = _above(ins, float(bounds[min(int(fpr * n + 1e-9), n) + 1]))
    value, method = found / m, JOINED
    few, many = ranks(fpr, n, tail)
    between = bounds[few : many + 1]
    if len(np.unique(between)) == len(between):
        low, high = clopper_pearson(found, m, 1 - 2 * tail)
        least, most = (_above(ins, float(bounds[rank])) / m for rank in (few, many))
        low = value - math.hypot(value - low, value - least)
        high = value + math.hypot(high - value, most - value)
    else:
        method = CORNERS
        few, many = ranks(fpr, n, tail / 2)
        low, _ = clopper_pearson(_above(ins, float(bounds[few])), m, 1 - tail)
        _, high = clopper_pearson(_above(ins, float(bounds[many])), m, 1 - tail)
    low, high = max(0.0, min(low, value)), min(1.0, max(high, value))
    return Estimate(value, low, high, m, 1 - 2 * tail, method)


def _above(ins: np.ndarray, threshold: float) -> int:
    return int((ins > threshold).sum())
