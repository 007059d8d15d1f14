"""Membership metrics (AUC, TPR at FPR, balanced accuracy) from an attack's scores."""

import numpy as np
from scipy import optimize, stats

from evaluation.metrics.candidate_clusters import Sides, halves, joint_effect, share_effect
from evaluation.metrics.intervals import CLUSTERS, CONFIDENCE, clopper_pearson, repeated
from evaluation.metrics.low_fpr import tpr_chance, tpr_interval
from fedbert.errors import InputError, expect
from reports.estimate import Estimate
from reports.scores import Scored

EVEN = {"auc": 0.5, "balanced_accuracy": 0.5}
TOO_FEW_CLUSTERS = f"too few {CLUSTERS} for two halves with members and others in each"
BY_CLUSTERS = f"by the design effect of {CLUSTERS}"
FPRS = {"tpr_at_1pct_fpr": 0.01, "tpr_at_01pct_fpr": 0.001}


def chance(metric: str, non_members: int) -> float:
    """Return what scores that tell nothing are expected to reach in a metric."""
    return EVEN[metric] if metric in EVEN else tpr_chance(FPRS[metric], non_members)


def judged(scored: Scored) -> dict[str, Estimate]:
    """Return every number of one attack on records, by metric of `reports.metrics`.

    What is not measured, for want of non-members or of clusters, is left out.

    Raises:
        InputError: if a side has fewer than two candidates.
    """
    both, clusters = (scored.member_scores, scored.non_member_scores), repeating(scored)
    rng = np.random.default_rng(scored.seed)
    found = {
        "auc": auc(*both, clusters=clusters),
        **{metric: tpr_at_fpr(*both, fpr, clusters=clusters) for metric, fpr in FPRS.items()},
        "balanced_accuracy": balanced_accuracy(*both, rng, clusters=clusters),
    }
    return {metric: estimate for metric, estimate in found.items() if estimate is not None}


def too_few(non_members: int, fpr: float) -> str:
    """Return why TPR at a low FPR is not measured."""
    return f"{non_members} non-members are too few for FPR {fpr:g}: not one may be accused"


def repeating(scored: Scored) -> Sides | None:
    """Return the clusters [member], [non-member]; None where every candidate is one by itself."""
    clusters = repeated(scored.clusters)
    return None if clusters is None else (clusters[scored.members], clusters[~scored.members])


def auc(
    member_scores: np.ndarray,
    non_member_scores: np.ndarray,
    confidence: float = CONFIDENCE,
    clusters: Sides | None = None,
) -> Estimate:
    """Return the probability that a member outscores a non-member, ties counted half.

    That is the area under the step curve. The interval is the hull of two: Newcombe's, a score
    interval with the variance of Hanley and McNeil, which is exact without a difference and sound
    near 0 and 1; and DeLong's, which also holds where the two spreads differ. clusters [member],
    [non-member]: both are then those of as many independent candidates as vary as much.

    References: Newcombe (2006), part 2, method 5; DeLong, DeLong, Clarke-Pearson (1988);
    Obuchowski (1997), for clusters.

    Raises:
        InputError: if a side is empty or a score is not finite.

    >>> auc(np.array([0, 4, 6, 7]), np.array([1, 2, 3, 5])).value == 11 / 16
    True
    """
    members, non_members = _scores(member_scores, non_member_scores)
    m, n = len(members), len(non_members)
    ranks = stats.rankdata(np.concatenate([members, non_members]))
    below = (ranks[:m] - stats.rankdata(members)) / n  # [member], share of non-members below it
    above = (
        1 - (ranks[m:] - stats.rankdata(non_members)) / m
    )  # [non-member], share of members above it
    value = min(1.0, max(0.0, float(below.mean())))
    z, method = float(stats.norm.isf((1 - confidence) / 2)), "hull of Newcombe and DeLong"
    wide = 1.0
    if clusters is not None:
        wide, method = joint_effect((below, above), clusters), f"{method}, {BY_CLUSTERS}"
    low, high = _newcombe(value, m / wide, n / wide, z)
    if min(m, n) > 1:
        half = z * float(np.sqrt((below.var(ddof=1) / m + above.var(ddof=1) / n) * wide))
        low, high = max(0.0, min(low, value - half)), min(1.0, max(high, value + half))
    return Estimate(value, low, high, m + n, confidence, method)


def _newcombe(value: float, m: float, n: float, z: float) -> tuple[float, float]:
    """Return the areas at which `value` lies just z standard errors away."""

    def error(area: float) -> float:
        extra = (m + n) / 2 - 1
        spread = 1 + extra * ((1 - area) / (2 - area) + area / (1 + area))
        return z * float(np.sqrt(area * (1 - area) * spread / (m * n)))

    def solve(side: int) -> float:
        end = 0.0 if side < 0 else 1.0
        if value == end:
            return end
        inner, outer = value, end
        gap = [side * (x - value) - error(x) for x in (inner, outer)]
        if gap[0] >= 0:  # at an end the error is zero: step inside
            inner = value + side * 1e-12
        return float(optimize.brentq(lambda x: side * (x - value) - error(x), inner, outer))

    return min(value, solve(-1)), max(value, solve(1))


def tpr_at_fpr(
    member_scores: np.ndarray,
    non_member_scores: np.ndarray,
    fpr: float,
    confidence: float = CONFIDENCE,
    attacks: int = 1,
    clusters: Sides | None = None,
) -> Estimate | None:
    """Return the largest share of members found while at most `fpr` of non-members are accused.

    Taken on the step curve: who scores at least a threshold is accused. The interval is for the
    population's share at that FPR (see `evaluation.metrics.low_fpr`); attacks: of how many it is to
    hold at once; clusters [member], [non-member]: whose candidates depend on each other. None where
    less than one non-member may be accused: that is not measured.

    Raises:
        InputError: if a side is empty, a score is not finite, `fpr` is not within [0, 1], or
            `attacks` is below 1.
    """
    expect(0 <= fpr <= 1, "0 <= fpr <= 1", "fpr", fpr)
    expect(attacks >= 1, "attacks >= 1", "attacks", attacks)
    members, non_members = _scores(member_scores, non_member_scores)
    return tpr_interval(members, non_members, fpr, confidence, attacks, clusters)


def balanced_accuracy(
    member_scores: np.ndarray,
    non_member_scores: np.ndarray,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    clusters: Sides | None = None,
) -> Estimate | None:
    """Return the mean of the shares of members and of non-members told rightly.

    The threshold is the best one on a random half of each side; the other half is judged, so that
    the search does not flatter the attack. The interval joins both sides' Clopper-Pearson ones.
    Clusters [member], [non-member] fall into a half whole, and the interval counts as many
    candidates as vary as much; None where they leave a half without a side.

    Reference: Zou and Donner (2008), for the way they are joined.

    Raises:
        InputError: if a side has fewer than two candidates or a score is not finite.
    """
    members, non_members = _scores(member_scores, non_member_scores)
    least = min(len(members), len(non_members))
    expect(least > 1, "two candidates a side", "n", least)
    method = "threshold from one half, judged on the other"
    if clusters is None:
        chosen = tuple(_half(len(side), rng) for side in (members, non_members))
    else:
        chosen, method = halves(clusters, rng), f"{method}, {BY_CLUSTERS}"
        if not all(side.any() and not side.all() for side in chosen):
            return None
    threshold = _best_threshold(members[chosen[0]], non_members[chosen[1]])
    right = members[~chosen[0]] >= threshold, non_members[~chosen[1]] < threshold
    effects = [1.0, 1.0]
    if clusters is not None:
        own = clusters[0][~chosen[0]], clusters[1][~chosen[1]]
        joint = joint_effect(right, own)
        effects = [max(joint, effect) for effect in map(share_effect, right, own)]
    shares = [float(side.mean()) for side in right]
    ends = [
        clopper_pearson(int(side.sum()) / wide, len(side) / wide, confidence)
        for side, wide in zip(right, effects, strict=True)
    ]
    off = [(share - low, high - share) for share, (low, high) in zip(shares, ends, strict=True)]
    value = sum(shares) / 2
    low = value - float(np.hypot(off[0][0], off[1][0])) / 2
    high = value + float(np.hypot(off[0][1], off[1][1])) / 2
    judged = sum(map(len, right))
    return Estimate(value, max(0.0, low), min(1.0, high), judged, confidence, method)


def _half(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random half [candidate] bool, the smaller one of an odd number."""
    found = np.zeros(count, dtype=bool)
    found[rng.permutation(count)[: count // 2]] = True
    return found


def _best_threshold(members: np.ndarray, non_members: np.ndarray) -> float:
    """Return the score from which to call "member" for the best balanced accuracy."""
    values = np.unique(np.concatenate([members, non_members]))
    found = 1 - np.searchsorted(np.sort(members), values, side="left") / len(members)
    spared = np.searchsorted(np.sort(non_members), values, side="left") / len(non_members)
    return float(values[np.argmax(found + spared)])


def _scores(*sides: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the sides' scores as float64, checked."""
    arrays = tuple(np.asarray(side, dtype=np.float64) for side in sides)
    for side in arrays:
        if side.ndim != 1 or len(side) == 0:
            raise InputError(f"expected scores [candidate] on both sides, got shape={side.shape}")
        if not np.isfinite(side).all():
            bad = int((~np.isfinite(side)).sum())
            raise InputError(f"expected finite scores, got non_finite={bad} of {len(side)}")
    return arrays
